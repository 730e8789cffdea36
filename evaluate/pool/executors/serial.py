"""Jobs in this very process, one at a time, so that a debugger meets them: `breakpoint()` works anywhere.

There is no process to kill: a deadline does not end a job, and what ends a job's process ends the search, which
`--resume` goes on with.
"""

import os
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import torch

from evaluate.devices.numerics import describe_device
from evaluate.devices.place import settle_process
from evaluate.memory.heap import give_back_memory
from evaluate.pool.slot import HERE, Returned, Sent


class SerialSlot:
    """This process as a slot: a job has ended when `submit` returns."""

    def __init__(self, device: str) -> None:
        """Let this process compute on `device` as a worker does."""
        self.name, self.device, self.machine = "serial", device, HERE
        self.retired: str | None = None
        self.began_at = time.monotonic()
        self._spoiled = False
        settle_process(device)
        self.ready: Future[dict[str, Any]] = Future()
        self.ready.set_result(describe_device(device.partition(":")[0]) | {"pid": os.getpid()})
        self.ready_at = time.monotonic()

    def submit(self, function: Callable[[Sent], Returned], job: Sent) -> "Future[Returned]":
        """Do `function(job)` and return what it came to. Raises RuntimeError when the device is lost to us."""
        if self._spoiled:
            raise RuntimeError("its process is the search's own, and its device is lost to that")
        future: Future[Returned] = Future()
        try:
            returned = function(job)
            give_back_memory()
        except Exception as error:  # as from any worker
            self._spoiled = isinstance(error, torch.AcceleratorError)
            future.set_exception(RuntimeError(f"{type(error).__name__}: {error}"))
        else:
            future.set_result(returned)
        return future

    def restart(self) -> None:
        """Go on in this process. Raises RuntimeError where a fault has spoiled its device for it."""
        if self._spoiled:
            raise RuntimeError("its process is the search's own, and its device is lost to that")

    def stop(self) -> None:
        """Do nothing: the search itself is the worker."""
