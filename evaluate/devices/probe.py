"""Short measurements of a device, so that `auto` means what is fast here. Cached beside the datasets."""

import contextlib
import hashlib
import json
import time
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from statistics import median, quantiles
from typing import Any, NamedTuple

import torch

from cgp.errors import BadInput
from cgp.graph import Graph
from cgp.layers import Shape
from cgp.network import build
from evaluate.devices.numerics import Numerics, describe_device, native_precisions
from evaluate.files import cache_root, write_atomically
from evaluate.job import recipe
from evaluate.training.step import Step
from evaluate.training.train import make_optimizer

GRAPH = Graph.chain(["conv_32_3"] * 4, Shape(32, 16, 16), 10)  # convolution, normalisation, ReLU
BATCH = 32
_ROUNDS = 12
_UNWAITED = 4  # steps in a row, as a training does not wait for each


class Probe(NamedTuple):
    """The fastest precision and what a training step of the small network took in each."""

    precision: str
    milliseconds: dict[str, float]  #: median, by precision


def resolve_precision(wanted: str, *devices: str) -> str:
    """Return `wanted`, or for `auto` what trains fastest on the first of `devices` and is native to all."""
    return probe_precision(devices).precision if wanted == "auto" else wanted


def refuse_emulation(wanted: str, devices: list[str]) -> None:
    """Raise BadInput where one of `devices` does not compute the precision `wanted` itself."""
    for device in devices:
        native = native_precisions(device)
        if wanted not in ("auto", *native):
            raise BadInput(
                f"--precision: {wanted} is not native to {device}; expected auto or one of {', '.join(native)}"
            )


@lru_cache
def probe_precision(devices: tuple[str, ...]) -> Probe:
    """Time training steps on the first device, with one thread, in every precision native to all.

    fp32 wins ties: a half precision must be faster in three quarters of the interleaved rounds. fp16
    is tried only where there is no bf16, which needs no scaling. Takes about a second, once for a
    device, its instruction set and this torch.
    """
    common = [name for name in native_precisions(devices[0]) if all(name in native_precisions(d) for d in devices)]
    candidates = [name for name in common if name != "fp16" or "bf16" not in common]
    found = remembered(devices[0], {"precisions": candidates}, lambda: _race(devices[0], candidates)._asdict())
    return Probe(**found)


def _race(device: str, candidates: list[str]) -> Probe:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as a worker
    try:
        with torch.cuda.device(device) if device.startswith("cuda") else contextlib.nullcontext():
            trainings = {name: training(device.partition(":")[0], name) for name in candidates}
            rounds = [{name: _milliseconds(steps) for name, steps in trainings.items()} for _ in range(_ROUNDS + 2)]
    finally:
        torch.set_num_threads(threads)
    best, timed = "fp32", rounds[2:]
    for name in candidates[1:]:
        if quantiles([taken[name] / taken[best] for taken in timed])[2] < 1:
            best = name
    return Probe(best, {name: round(median(taken[name] for taken in timed), 3) for name in candidates})


def training(kind: str, precision: str) -> Callable[[int], None]:
    """Return a function that trains the small network by so many steps on the device in use, and waits for the last.

    `kind` is `cpu` or `cuda`.
    """
    trained, numerics = recipe("fast"), Numerics(kind, precision)
    network = numerics.place(build(GRAPH))
    step = Step(network, make_optimizer(network, trained), trained, numerics)
    x = torch.rand(BATCH, *GRAPH.image, device=kind).contiguous(memory_format=torch.channels_last)
    y = torch.zeros(BATCH, dtype=torch.int64, device=kind)

    def steps(count: int) -> None:
        for _ in range(count):
            step(x, y)
        step.sums()

    return steps


def _milliseconds(steps: Callable[[int], None]) -> float:
    started = time.perf_counter()
    steps(1)
    return (time.perf_counter() - started) * 1e3


class Window(NamedTuple):
    """What a worker is sent to be timed beside others."""

    device: str  #: cpu or cuda, as the worker sees it
    precision: str
    begin: float  #: `time.time()` from which steps count
    end: float


def steps_within(window: Window) -> int:
    """Train the small network until the end of `window` and return the steps that ended within it."""
    steps = training(window.device, window.precision)
    count = 0
    while True:
        steps(_UNWAITED)
        now = time.time()
        if now >= window.end:
            return count
        count += _UNWAITED * (now > window.begin)


def remembered(device: str, question: dict[str, Any], measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return what `measure` finds on `device`, or what it found when the same was asked before."""
    kind = device.partition(":")[0]
    name = torch.cuda.get_device_name(device) if kind == "cuda" else _cpu_name()
    facts = {k: describe_device(kind)[k] for k in ("instruction_set", "torch")}
    asked = {"device": name, **facts, **question}
    path = cache_root() / f"probe-{hashlib.sha256(json.dumps(asked).encode()).hexdigest()[:16]}.json"
    with contextlib.suppress(OSError, ValueError, KeyError):
        known: dict[str, Any] = json.loads(path.read_text())["found"]
        return known
    found = measure()
    with contextlib.suppress(OSError):  # an unwritable cache costs time, no more
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, json.dumps({"asked": asked, "found": found}, indent=1).encode())
    return found


def _cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "cpu")
