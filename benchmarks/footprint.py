"""The memory that a training is predicted to take, against what its tensors hold: over networks of every kind."""

import tempfile
from itertools import cycle
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from benchmarks.measure import Benchmark, Samples
from cgp import Graph, Shape, Space, draw
from cgp.blocks import FUNCTION_SETS
from evaluate.data.images import Images
from evaluate.data.splits import Data
from evaluate.devices.numerics import Numerics
from evaluate.devices.place import settle_process
from evaluate.job import Recipe, recipe
from evaluate.memory.footprint import held_bytes, predicted_bytes
from evaluate.memory.heap import give_back_memory
from evaluate.memory.ledger import Ledger
from evaluate.memory.peak import peak_memory_mb, reset_peak_memory
from evaluate.training.checkpoint import ModelFolder
from evaluate.training.train import Setting, fresh_network, train

IMAGE = Shape(3, 16, 16)
_EACH = 8  # networks of each function set
_MB = 2**20


class _Way(NamedTuple):
    """How networks are trained: a recipe, and how many images go through the network at once."""

    recipe: Recipe
    chunk: int | None = None


_WAYS = (
    _Way(recipe("fast", epochs=1, precision="fp32")),
    _Way(recipe("fast", epochs=1, precision="fp32", batch_size=128)),
    _Way(recipe("fast", epochs=1, precision="fp32", batch_size=128, optimizer="adamw")),
    _Way(recipe("fast", epochs=1, precision="fp32", batch_size=128, checkpoint_activations=True)),
    _Way(recipe("fast", epochs=1, precision="fp32", batch_size=128, ghost_batch=16), 32),
    _Way(recipe("fast", epochs=1, precision="bf16", batch_size=128)),
)  #: taken in turn


def benchmark(quick: bool) -> Benchmark:
    """Return the benchmark; quick: one shallow network of each set instead of eight."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    settle_process(device)
    count, deepest = (1, 6) if quick else (_EACH, 30)
    graphs, data = [graph for name in FUNCTION_SETS for graph in _drawn(name, count, deepest)], _noise()
    notes: dict[str, Any] = {"device": device}
    predict = predicted_bytes if device == "cuda" else held_bytes  # which has no room for a GPU's workspaces

    def samples() -> Samples:
        found: Samples = {"predicted": [], "measured": []}
        for graph, way in zip(graphs, cycle(_WAYS), strict=False):
            found["predicted"].append(predict(graph, way.recipe, way.chunk) / _MB)
            found["measured"].append(_measured(graph, way, data, device))
        ratios = np.array(found["predicted"]) / np.array(found["measured"])
        notes["networks within 15 %"] = f"{(abs(ratios - 1) <= 0.15).sum()} of {len(ratios)}"
        notes["standard deviation of the ratio"] = round(float(ratios.std(ddof=1)), 4)
        return found

    return Benchmark(
        "footprint",
        "MB (2^20 bytes) that tensors hold at most while a network is trained for an epoch of 256 images, scores as "
        f"many and is checkpointed, predicted and measured: networks of depth 4 to 30, {_EACH} of each function set "
        f"(quick: one of depth 4 to 6), on images of {'x'.join(map(str, IMAGE))}, trained in turn by recipe `fast` "
        "with batches of 32, of 128, with adamw, with activations computed twice, with 32 of 128 images at once in "
        "two ghost groups, and in bf16. On a CPU every tensor that an operator makes is counted until it is freed; "
        "on a GPU it is the allocator's peak",
        "MB",
        samples,
        (("predicted", "measured"),),
        "within 15 % for every network",
        notes,
    )


def _drawn(name: str, count: int, deepest: int) -> list[Graph]:
    space = Space(name, 4, deepest, IMAGE, 10, max_flops=60_000_000)
    return [draw(space, np.random.default_rng([7, n])).graph(space) for n in range(count)]


def _measured(graph: Graph, way: _Way, data: Data, device: str) -> float:
    """Return the peak of a training in MB, beside the images and what was there before."""
    images, validation = (Images.of(data, (name,), device) for name in ("train", "validation"))
    numerics = Numerics(device, way.recipe.precision).scoring(way.chunk)
    setting = Setting(way.recipe, 0, numerics, chunk=way.chunk)
    with tempfile.TemporaryDirectory() as folder:
        if device == "cuda":
            give_back_memory()
            before = torch.cuda.memory_allocated() / _MB
            network = fresh_network(graph, setting)
            reset_peak_memory(device)
            train(network, images, validation, setting, ModelFolder(Path(folder), {}))
            return peak_memory_mb(device) - before
        ledger = Ledger()
        with ledger:
            network = fresh_network(graph, setting)
            ledger.peak = 0  # drawing weights takes memory of its own
            train(network, images, validation, setting, ModelFolder(Path(folder), {}))
        return float(ledger.peak / _MB)


def _noise() -> Data:
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (512, *IMAGE), dtype=np.uint8), rng.integers(0, 10, 512)
    splits = {"train": np.arange(256), "validation": np.arange(256, 512)}
    classes, channels = [str(n) for n in range(10)], IMAGE.channels
    return Data(images, labels, splits, classes, (127.5,) * channels, (73.6,) * channels, False, "noise")
