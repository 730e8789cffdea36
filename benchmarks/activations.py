"""What it costs to record activations: trainings that do, against the same that do not."""

import dataclasses
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.measure import Benchmark, Samples, in_turn
from cgp import Graph, Shape, Space, draw
from evaluate.data.images import Images
from evaluate.data.splits import Data, load
from evaluate.devices.numerics import Numerics
from evaluate.devices.place import settle_process
from evaluate.devices.probe import resolve_precision
from evaluate.job import DataSpec, recipe
from evaluate.training.checkpoint import ModelFolder
from evaluate.training.train import Setting, fresh_network, train

_NETWORKS = 2  # of each kind of images, trained one after another for a sample
_MAX_FLOPS = 30_000_000  # of a network, so that a sample takes seconds


class _Case(NamedTuple):
    """Images, and networks to train on them."""

    data: Data
    graphs: list[Graph]


def benchmark(quick: bool) -> Benchmark:
    """Return the benchmark; quick: one network a sample, two turns and no warm-up."""
    settle_process("cpu")
    trained = recipe("fast", epochs=1, precision=resolve_precision("auto", "cpu"))
    setting = Setting(trained, 0, Numerics("cpu", trained.precision))
    recording = dataclasses.replace(setting, recipe=dataclasses.replace(trained, record="activations"))
    digits = load(DataSpec("digits", train_size=200 if quick else None))
    cases = {"digits": _case(digits, 1 if quick else _NETWORKS)}
    if not quick:
        cases["3x32x32"] = _case(_noise(Shape(3, 32, 32)), _NETWORKS)
    arms: dict[str, Callable[[], float]] = {}
    for name, case in cases.items():
        arms[f"recorded, {name}"] = partial(_seconds, case, recording)
        arms[f"plain, {name}"] = partial(_seconds, case, setting)
    notes: dict[str, Any] = {"precision": trained.precision}

    def samples() -> Samples:
        return in_turn(arms, 2 if quick else 7, not quick)

    return Benchmark(
        "activations",
        "CPU seconds in which two networks (set resnet, depth 20; quick: one) are trained for an epoch, with "
        "validation and checkpoints, by recipe `fast`, one thread: with `--record activations` and without; on the "
        "digits, the smallest images that there are, and on 1,000 images of 3x32x32",
        "s",
        samples,
        tuple((f"recorded, {name}", f"plain, {name}") for name in cases),
        "below 1.05",
        notes,
    )


def _case(data: Data, networks: int) -> _Case:
    space = Space("resnet", 20, 20, data.shape, len(data.classes))
    limited = dataclasses.replace(space, max_flops=_MAX_FLOPS)
    return _Case(data, [draw(limited, np.random.default_rng([5, n])).graph(limited) for n in range(networks)])


def _seconds(case: _Case, setting: Setting) -> float:
    """Return the processor's time, which what runs beside it does not lengthen as much as the wall's."""
    images, validation = (Images.of(case.data, (name,), "cpu") for name in ("train", "validation"))
    began = time.process_time()
    for graph in case.graphs:
        with tempfile.TemporaryDirectory() as folder:
            train(fresh_network(graph, setting), images, validation, setting, ModelFolder(Path(folder), {}))
    return time.process_time() - began


def _noise(image: Shape) -> Data:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (1200, *image), dtype=np.uint8)
    splits = {"train": np.arange(1000), "validation": np.arange(1000, 1200)}
    classes, channels = [str(n) for n in range(10)], image.channels
    return Data(
        images,
        rng.integers(0, 10, len(images)),
        splits,
        classes,
        (127.5,) * channels,
        (73.6,) * channels,
        False,
        "noise",
    )
