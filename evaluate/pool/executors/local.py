"""Jobs on this machine: one worker process per slot, pinned to its device before it starts."""

import contextlib
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any

import torch

from cgp.errors import BadInput
from evaluate import worker
from evaluate.pool.process import Worker
from evaluate.pool.slot import HERE, START_S, Returned, Sent, Slot


class ProcessSlot:
    """One worker process on one device; its death, hang or leak costs this slot alone."""

    def __init__(self, name: str, device: str) -> None:
        """Start the worker in the background; `device` is `cpu`, `cuda:0`, ..."""
        self.name, self.device, self.machine = name, device, HERE
        self.retired: str | None = None
        self.began_at = time.monotonic()
        self._worker = Worker(worker.serve, device)

    @property
    def ready(self) -> "Future[dict[str, Any]]":
        """What the worker computes with, once it is up."""
        return self._worker.ready

    @property
    def ready_at(self) -> float | None:
        """`time.monotonic()` when the worker was up; None until then."""
        return self._worker.ready_at

    def submit(self, function: Callable[[Sent], Returned], job: Sent) -> "Future[Returned]":
        """Start `function(job)` in the worker. Raises RuntimeError when it has ended."""
        return self._worker.submit(function, job)

    def restart(self) -> None:
        """Kill the worker, whatever it does, and start another. Raises RuntimeError when either cannot be done."""
        self._worker.kill()
        try:
            self._worker = Worker(worker.serve, self.device)
        except (OSError, EOFError) as error:
            raise RuntimeError(f"no process can be started: {error!r}") from error

    def stop(self) -> None:
        """Kill the worker; one that the system cannot end is left to it."""
        with contextlib.suppress(RuntimeError):
            self._worker.kill()


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


def local_slots(devices: Sequence[str], workers: int) -> list[ProcessSlot]:
    """Start `workers` slots in turn over `devices`.

    Raises BadInput when there would be fewer workers than devices.
    """
    if workers < len(devices):
        raise BadInput(f"--workers: {workers}; expected at least one for each of {', '.join(devices)}")
    return [ProcessSlot(f"slot {n}", devices[n % len(devices)]) for n in range(workers)]


def await_ready(slots: Sequence[Slot]) -> list[dict[str, Any]]:
    """Wait until every worker is up and return what each computes with.

    Raises BadInput, naming the device, when a worker cannot start, or has not after five minutes.
    """
    found = []
    for slot in slots:
        try:
            found.append(slot.ready.result(START_S))
        except Exception as error:
            raise BadInput(
                f"--devices: the worker of {slot.name} on {slot.device} did not start: {error!r}; "
                "check the device, or leave it out"
            ) from error
    return found
