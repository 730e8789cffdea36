"""Where jobs run: one single-process executor (joblib's loky) per slot, pinned before it starts.

On Linux all workers are forked from one server process that has imported torch and nothing more: a
worker is there in a moment, also after a kill, and workers share the memory that the import takes.
"""

import contextlib
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from types import ModuleType
from typing import Any, TypeVar

import torch
from joblib.externals.loky.process_executor import ProcessPoolExecutor

from cgp.errors import BadInput
from evaluate import worker

Sent = TypeVar("Sent")
Returned = TypeVar("Returned")

_CONTEXT = multiprocessing.get_context("forkserver" if sys.platform == "linux" else "spawn")


@contextlib.contextmanager
def _as_workers_begin() -> Iterator[None]:
    """Let a process started meanwhile have one thread, our import path, and nothing of the main module.

    Without that it would import the whole program, of which a worker needs a part.
    """
    changes = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    before, main = dict(os.environ), sys.modules["__main__"]
    os.environ.update(changes)
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
        for name in changes:
            if name in before:
                os.environ[name] = before[name]
            else:
                del os.environ[name]


class LokySlot:
    """One worker process on one device; its death, hang or leak costs this slot alone."""

    def __init__(self, name: str, device: str) -> None:
        """Start the worker in the background; `device` is `cpu`, `cuda:0`, ..."""
        self.name, self.device = name, device
        self.ready_at: float | None = None
        self._executor, self.ready = self._open()

    def _open(self) -> tuple[ProcessPoolExecutor, "Future[dict[str, Any]]"]:
        kind, _, index = self.device.partition(":")
        self.ready_at = None
        arguments = (kind, _visible(int(index)) if kind == "cuda" else None)
        executor = ProcessPoolExecutor(1, context=_CONTEXT, initializer=worker.start, initargs=arguments)
        _CONTEXT.set_forkserver_preload([worker.__name__])
        with _as_workers_begin():
            ready: Future[dict[str, Any]] = executor.submit(worker.describe)
        ready.add_done_callback(self._mark_ready)
        return executor, ready

    def _mark_ready(self, _: "Future[dict[str, Any]]") -> None:
        self.ready_at = time.monotonic()

    def submit(self, function: Callable[[Sent], Returned], job: Sent) -> "Future[Returned]":
        """Start `function(job)` in the worker."""
        future: Future[Returned] = self._executor.submit(function, job)
        return future

    def restart(self) -> None:
        """Kill the worker, whatever it does, and start another."""
        self.stop()
        self._executor, self.ready = self._open()

    def stop(self) -> None:
        """Kill the worker."""
        self._executor.shutdown(wait=True, kill_workers=True)


def _visible(index: int) -> str:
    """Return the `index`-th device that this process itself may see, as a worker must name it."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    return visible.split(",")[index].strip() if visible else str(index)


def device_names(devices: str) -> list[str]:
    """Return the devices that `--devices` asks for; `auto` is every GPU, or else the CPU.

    Raises BadInput for a device that this machine lacks.
    """
    present = [f"cuda:{index}" for index in range(torch.cuda.device_count())]
    if devices == "auto":
        return present or ["cpu"]
    wanted = [name.strip() for name in devices.split(",")]
    for name in wanted:
        if name != "cpu" and name not in present:
            raise BadInput(
                f"--devices: no device {name!r}; this machine has {', '.join(['cpu', *present])} "
                "(name them with commas, or say auto)"
            )
    return wanted


def local_slots(devices: Sequence[str], workers: int) -> list[LokySlot]:
    """Start `workers` slots in turn over `devices`.

    Raises BadInput when there would be fewer workers than devices.
    """
    if workers < len(devices):
        raise BadInput(f"--workers: {workers}; expected at least one for each of {', '.join(devices)}")
    return [LokySlot(f"slot {n}", devices[n % len(devices)]) for n in range(workers)]


def await_ready(slots: Sequence[LokySlot]) -> list[dict[str, Any]]:
    """Wait until every worker is up and return what each computes with.

    Raises BadInput, naming the device, when a worker cannot start.
    """
    found = []
    for slot in slots:
        try:
            found.append(slot.ready.result())
        except Exception as error:
            raise BadInput(
                f"--devices: the worker of {slot.name} on {slot.device} did not start: {error!r}; "
                "check the device, or leave it out"
            ) from error
    return found
