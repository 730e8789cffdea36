"""How well short recipes rank networks as a long one does, beside the ceiling: the long one's other seed."""

import tempfile
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

import joblib
import numpy as np
from scipy.stats import spearmanr

from benchmarks.measure import Benchmark, Samples
from cgp import Graph, Shape, Space, draw
from evaluate.augment import Images
from evaluate.checkpoint import ModelFolder
from evaluate.data import load
from evaluate.job import DataSpec, Recipe, recipe
from evaluate.numerics import Numerics
from evaluate.probe import resolve_precision
from evaluate.train import Diverged, Row, Setting, fresh_network, train
from evaluate.worker import settle_numerics

#: `resnet` without its widest blocks, so that a long training of a deep network takes half a minute.
FUNCTION_SET = "conv_16_3,conv_16_5,conv_32_3,res_16_3,res_16_5,res_32_3,maxpool,avgpool,sum"
NETWORKS = 40
_LONG = recipe("retrain", epochs=8, batch_size=32, lr=0.03, init="dirac")
_HE = {"init": "kaiming_normal"}

#: name: (recipe, seed). The long recipe first; every other is compared with it.
ARMS: dict[str, tuple[Recipe, int]] = {
    "long": (_LONG, 0),
    "long, other seed": (_LONG, 1),
    "fast": (recipe("fast"), 2),
    "fast, augmented": (recipe("fast", augment=True), 2),
    "fast, He initialisation": (recipe("fast", **_HE), 2),
    "fast, batch 128 and 4 x the rate": (recipe("fast", batch_size=128, lr=0.12), 2),
    "fast, Adam 1e-3": (recipe("fast", optimizer="adam", lr=0.001), 2),
    "fast before: Adam 1e-3, He, augmented, 6 epochs": (
        recipe("fast", optimizer="adam", lr=0.001, augment=True, epochs=6, **_HE),
        2,
    ),
    "1 epoch to rate zero": (recipe("fast", epochs=1), 2),
}
PAUSED = "1 of 4 epochs of fast"


def genomes(count: int) -> list[Graph]:
    """Return graphs of `count` depths spread evenly over 20..70, drawn with seed 0."""
    rng = np.random.default_rng(0)
    spaces = [
        Space(FUNCTION_SET, int(depth), int(depth), Shape(1, 8, 8), 10)
        for depth in np.linspace(20, 70, count).round()
    ]
    return [draw(space, rng).graph(space) for space in spaces]


def trained(graph: Graph, name: str) -> list[Row]:
    """Train `graph` on digits by the arm `name` and return its curve; empty where it diverged."""
    settle_numerics("cpu")
    chosen, seed = ARMS[name]
    setting = Setting(chosen, seed, Numerics("cpu", resolve_precision("auto", "cpu")))
    data = load(DataSpec("digits"))
    images, validation = (Images.of(data, (split,), "cpu") for split in ("train", "validation"))
    with tempfile.TemporaryDirectory() as folder:
        try:
            return train(fresh_network(graph, setting), images, validation, setting, ModelFolder(Path(folder), {}))
        except Diverged:
            return []


def benchmark(quick: bool) -> Benchmark:
    """Return the benchmark; quick: three networks instead of forty."""
    notes: dict[str, Any] = {}
    return Benchmark(
        "recipe",
        f"Best validation accuracy of {3 if quick else NETWORKS} networks of depths spread over 20..70 by short "
        f"recipes and by a long one (retrain, {_LONG.epochs} epochs), on digits; no timing",
        "accuracy",
        partial(_samples, 3 if quick else NETWORKS, notes),
        tuple((name, "long") for name in ARMS if name != "long"),
        "",
        notes,
    )


def _samples(count: int, notes: dict[str, Any]) -> Samples:
    """Train every network by every arm; note Spearman's correlation with the long recipe, and means."""
    graphs = genomes(count)
    tasks = [joblib.delayed(trained)(graph, name) for graph in graphs for name in ARMS]
    curves = joblib.Parallel(n_jobs=-1)(tasks)
    samples = {name: [_best(curve) for curve in curves[place :: len(ARMS)]] for place, name in enumerate(ARMS)}
    samples[PAUSED] = [_best(curve[:1]) for curve in curves[list(ARMS).index("fast") :: len(ARMS)]]
    for name, accuracies in samples.items():
        rank = float(spearmanr(accuracies, samples["long"]).statistic)
        notes[f"{name}: mean accuracy; rank correlation with long"] = f"{fmean(accuracies):.4f}; {rank:.2f}"
    notes["depths"] = [graph.depth for graph in graphs]
    return samples


def _best(curve: list[Row]) -> float:
    return max((row["val_accuracy"] for row in curve), default=0.0)
