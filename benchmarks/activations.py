"""What it costs to record activations: trainings that do, against the same that do not."""

import dataclasses
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np

from benchmarks.measure import Benchmark, Samples, in_turn
from cgp import Graph, Shape, Space, draw
from evaluate.data.images import Images
from evaluate.data.splits import Data, load
from evaluate.devices.numerics import Numerics
from evaluate.devices.place import settle_process
from evaluate.devices.probe import resolve_precision
from evaluate.job import DataSpec, recipe
from evaluate.training.activations import Recorder
from evaluate.training.checkpoint import ModelFolder
from evaluate.training.train import Setting, fresh_network, train

_MAX_FLOPS = 30_000_000  # of the network, so that a sample takes seconds


class _Case(NamedTuple):
    """Images, and a network to train on them."""

    data: Data
    graph: Graph


def benchmark(quick: bool) -> Benchmark:
    """Return the benchmark; quick: two turns of few digits, and no warm-up."""
    settle_process("cpu")
    trained = recipe("fast", epochs=1, precision=resolve_precision("auto", "cpu"))
    setting = Setting(trained, 0, Numerics("cpu", trained.precision))
    recording = dataclasses.replace(setting, recipe=dataclasses.replace(trained, record="activations"))
    digits = load(DataSpec("digits", train_size=200 if quick else None))
    cases = {"digits": _case(digits)}
    if not quick:
        cases["3x32x32"] = _case(_noise(Shape(3, 32, 32)))
    arms: dict[str, Callable[[], float]] = {}
    for name, case in cases.items():
        arms[f"recorded, {name}"] = partial(_seconds, case, recording)
        arms[f"plain, {name}"] = partial(_seconds, case, setting)
    notes: dict[str, Any] = {"precision": trained.precision}

    def samples() -> Samples:
        for name, case in cases.items():
            notes[f"share of it that recording itself takes, {name}"] = round(_share(case, recording), 3)
        return in_turn(arms, 2 if quick else 25, not quick)

    return Benchmark(
        "activations",
        "CPU seconds in which a network (set resnet, depth 20) is trained for an epoch, with "
        "validation and checkpoints, by recipe `fast`, one thread: with `--record activations` and without; on the "
        "digits, the smallest images that there are, and on 1,000 images of 3x32x32",
        "s",
        samples,
        tuple((f"recorded, {name}", f"plain, {name}") for name in cases),
        "below 1.05",
        notes,
    )


def _case(data: Data) -> _Case:
    space = Space("resnet", 20, 20, data.shape, len(data.classes))
    limited = dataclasses.replace(space, max_flops=_MAX_FLOPS)
    return _Case(data, draw(limited, np.random.default_rng(5)).graph(limited))


def _seconds(case: _Case, setting: Setting) -> float:
    """Return the processor's time, which what runs beside it does not lengthen as much as the wall's."""
    images, validation = (Images.of(case.data, (name,), "cpu") for name in ("train", "validation"))
    network = fresh_network(case.graph, setting)
    with tempfile.TemporaryDirectory() as folder:
        began = time.process_time()
        train(network, images, validation, setting, ModelFolder(Path(folder), {}))
        return time.process_time() - began


def _share(case: _Case, setting: Setting) -> float:
    """Return which share of the time of a training passes in its recorder: what turns differ by is more than that."""
    spent, note = 0.0, Recorder.note

    def timed(recorder: Recorder, epoch: int) -> None:
        nonlocal spent
        began = time.process_time()
        note(recorder, epoch)
        spent += time.process_time() - began

    with patch.object(Recorder, "note", timed):
        whole = _seconds(case, setting)
    return spent / whole


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
