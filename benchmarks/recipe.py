"""How well short recipes rank networks as a long one does, beside the ceiling: the long one's other seed."""

import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from cgp import Graph, Shape, Space, draw
from evaluate.augment import Images
from evaluate.checkpoint import ModelFolder
from evaluate.data import load
from evaluate.job import DataSpec, Recipe, recipe
from evaluate.numerics import Numerics
from evaluate.probe import resolve_precision
from evaluate.train import Diverged, Setting, fresh_network, train
from evaluate.worker import settle_numerics

#: `resnet` without its widest blocks, so that a long training of a deep network takes half a minute.
FUNCTION_SET = "conv_16_3,conv_16_5,conv_32_3,res_16_3,res_16_5,res_32_3,maxpool,avgpool,sum"
NETWORKS = 40
_LONG = recipe("retrain", epochs=30, batch_size=64, lr=0.05)

#: name: (recipe, seed). The long recipe first; every other is compared with it.
ARMS: dict[str, tuple[Recipe, int]] = {
    "long, 30 epochs SGD": (_LONG, 0),
    "long, other seed": (_LONG, 1),
    "Adam 1e-3, 32 x 6 epochs": (recipe("fast", optimizer="adam", lr=0.001, batch_size=32, epochs=6), 2),
    "Adam 1e-3, 32 x 3 epochs": (recipe("fast", optimizer="adam", lr=0.001, batch_size=32, epochs=3), 2),
    "Adam 1e-3, 32 x 2 epochs": (recipe("fast", optimizer="adam", lr=0.001, batch_size=32, epochs=2), 2),
    "Adam 1e-3, 32 x 1 epoch": (recipe("fast", optimizer="adam", lr=0.001, batch_size=32, epochs=1), 2),
    "Adam 2e-3, 64 x 6 epochs": (recipe("fast", optimizer="adam", lr=0.002, batch_size=64, epochs=6), 2),
    "SGD .05, 32 x 6 epochs": (recipe("fast", optimizer="sgd", lr=0.05, batch_size=32, epochs=6), 2),
    "SGD .2, 128 x 6 epochs": (recipe("fast", optimizer="sgd", lr=0.2, batch_size=128, epochs=6), 2),
}


def genomes(count: int) -> list[Graph]:
    """Return graphs of `count` depths spread evenly over 20..70, drawn with seed 0."""
    rng = np.random.default_rng(0)
    spaces = [
        Space(FUNCTION_SET, int(depth), int(depth), Shape(1, 8, 8), 10)
        for depth in np.linspace(20, 70, count).round()
    ]
    return [draw(space, rng).graph(space) for space in spaces]


def trained(graph: Graph, name: str) -> dict[str, Any]:
    """Train `graph` on digits by the arm `name`; return curve and processor seconds."""
    settle_numerics("cpu")
    chosen, seed = ARMS[name]
    setting = Setting(chosen, seed, Numerics("cpu", resolve_precision("auto", "cpu")))
    data = load(DataSpec("digits"))
    images, validation = (Images.of(data, (split,), "cpu") for split in ("train", "validation"))
    started = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        try:
            curve = train(fresh_network(graph, setting), images, validation, setting, ModelFolder(Path(folder), {}))
        except Diverged:
            curve = []
    return {"arm": name, "depth": graph.depth, "curve": curve, "seconds": time.process_time() - started}
