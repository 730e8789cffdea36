"""How well short recipes rank networks as a long one does, beside the ceiling: the long one's other seed."""

import tempfile
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

import joblib
import numpy as np
from scipy.stats import spearmanr

from benchmarks.measure import Benchmark, Samples
from cgp import Graph, Space, draw
from evaluate.data.images import Images
from evaluate.data.splits import load
from evaluate.devices.numerics import Numerics
from evaluate.devices.place import settle_process
from evaluate.devices.probe import resolve_precision
from evaluate.job import DataSpec, Recipe, recipe
from evaluate.training.checkpoint import ModelFolder
from evaluate.training.train import Diverged, Row, Setting, fresh_network, train

#: `resnet` without its widest blocks, so that a long training of a deep network takes half a minute.
FUNCTION_SET = "conv_16_3,conv_16_5,conv_32_3,res_16_3,res_16_5,res_32_3,maxpool,avgpool,sum"
NETWORKS = 40
_LONG = recipe("retrain", epochs=8, batch_size=32, lr=0.03, init="dirac")
_HE = {"init": "kaiming_normal"}
LONG, OTHER, FAST, PAUSED = "long", "long, other seed", "fast", "1 of 4 epochs of fast"

#: name: (recipe, seed). The long recipe first; every other is compared with it.
ARMS: dict[str, tuple[Recipe, int]] = {
    LONG: (_LONG, 0),
    OTHER: (_LONG, 1),
    FAST: (recipe("fast"), 2),
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


@dataclass(frozen=True)
class Field:
    """Networks of depths spread evenly over 20..70, what they are trained on, and by which arms."""

    data: DataSpec
    arms: dict[str, tuple[Recipe, int]]
    flops_per_node: int | None = None  #: limit
    validation: int = 1  #: one image in so many is validated with

    def graphs(self, count: int) -> list[Graph]:
        """Return `count` graphs, drawn with seed 0."""
        rng, shape = np.random.default_rng(0), load(self.data).shape
        spaces = [
            Space(
                FUNCTION_SET, depth, depth, shape, 10, max_flops=self.flops_per_node and self.flops_per_node * depth
            )
            for depth in np.linspace(20, 70, count).round().astype(int).tolist()
        ]
        return [draw(space, rng).graph(space) for space in spaces]

    def trained(self, graph: Graph, name: str) -> list[Row]:
        """Train `graph` by the arm `name` and return its curve; empty where it diverged."""
        settle_process("cpu")
        chosen, seed = self.arms[name]
        setting = Setting(chosen, seed, Numerics("cpu", resolve_precision("auto", "cpu")))
        data = load(self.data)
        images, validation = (Images.of(data, (split,), "cpu") for split in ("train", "validation"))
        fewer = replace(validation, rows=validation.rows[:: self.validation])
        with tempfile.TemporaryDirectory() as folder:
            try:
                return train(fresh_network(graph, setting), images, fewer, setting, ModelFolder(Path(folder), {}))
            except Diverged:
                return []

    def samples(self, count: int, notes: dict[str, Any]) -> Samples:
        """Train `count` networks by every arm; note Spearman's correlation with the long recipe, and means."""
        graphs = self.graphs(count)
        tasks = [joblib.delayed(self.trained)(graph, name) for graph in graphs for name in self.arms]
        curves = joblib.Parallel(n_jobs=-1)(tasks)
        places = {name: place for place, name in enumerate(self.arms)}
        samples = {name: [_best(curve) for curve in curves[place :: len(places)]] for name, place in places.items()}
        samples[PAUSED] = [_best(curve[:1]) for curve in curves[places[FAST] :: len(places)]]
        for name, accuracies in samples.items():
            rank = float(spearmanr(accuracies, samples[LONG]).statistic)
            notes[f"{name}: mean accuracy; rank correlation with long"] = f"{fmean(accuracies):.4f}; {rank:.2f}"
        notes["depths"] = [graph.depth for graph in graphs]
        return samples

    def benchmark(self, name: str, images: str, quick: bool) -> Benchmark:
        """Return the benchmark `name` on `images`, in words; quick: three networks instead of forty."""
        count, notes = 3 if quick else NETWORKS, dict[str, Any]()
        return Benchmark(
            name,
            f"Best validation accuracy of {count} networks of depths spread over 20..70 by short recipes and by a "
            f"long one (retrain, {self.arms[LONG][0].epochs} epochs), on {images}; no timing",
            "accuracy",
            partial(self.samples, count, notes),
            tuple((arm, LONG) for arm in self.arms if arm != LONG),
            "",
            notes,
        )


def benchmark(quick: bool) -> Benchmark:
    """Return the benchmark on digits; quick: three networks instead of forty."""
    return Field(DataSpec("digits"), ARMS).benchmark("recipe", "digits", quick)


def _best(curve: list[Row]) -> float:
    return max((row["val_accuracy"] for row in curve), default=0.0)
