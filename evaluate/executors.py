"""Where jobs run: one worker process per slot, pinned to its device before it starts."""

import contextlib
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from multiprocessing.reduction import ForkingPickler
from typing import Any, TypeVar, cast

import torch

from cgp.errors import BadInput
from evaluate import worker
from evaluate.forkserver import forget, start_worker
from evaluate.pool import START_S

Sent = TypeVar("Sent")
Returned = TypeVar("Returned")

_END_S = 30.0  # a process that was killed is gone at once, unless the system cannot end it


class _Worker:
    """A process that does what it is sent, in order, until it is killed."""

    def __init__(self, kind: str, visible: str | None) -> None:
        self.ready: Future[dict[str, Any]] = Future()
        self.ready_at: float | None = None
        self._answers: deque[Future[Any]] = deque([self.ready])
        self._pipe, self._process = start_worker(worker.serve, kind, visible)
        self._pid = cast(int, self._process.pid)
        self._ended = self._given_up = False
        self._why = ""  # it did not start
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def submit(self, function: Callable[[Sent], Returned], argument: Sent) -> "Future[Returned]":
        """Send what the worker is to do. Raises RuntimeError when it has ended."""
        message = ForkingPickler.dumps((function, argument))
        future: Future[Returned] = Future()
        self._answers.append(future)
        try:
            self._pipe.send_bytes(message)
        except OSError as error:
            raise RuntimeError(f"its process has ended{self._why}") from error
        return future

    def _listen(self) -> None:
        """Pass answers on as they come, and in the end that there will be no more."""
        with contextlib.suppress(EOFError, OSError):
            while True:
                self._pass_on(self._pipe.recv_bytes())
        self._process.join(_END_S)
        code = self._process.exitcode
        self._ended = code is not None
        while self._answers:
            self._answers.popleft().set_exception(RuntimeError(f"its process ended with exit code {code}{self._why}"))

    def _pass_on(self, message: bytes) -> None:
        try:
            answer = ForkingPickler.loads(message)
        except Exception as error:  # whatever reading it raises: the job must end
            answer = RuntimeError(f"its answer cannot be read: {type(error).__name__}: {error}")
        future = self._answers.popleft()
        if isinstance(answer, RuntimeError):
            self._why = self._why if self.ready_at else f" ({answer})"
            future.set_exception(answer)
        else:
            self.ready_at = self.ready_at or time.monotonic()
            future.set_result(answer)

    def kill(self) -> None:
        """End the process, whatever it does. Raises RuntimeError when the system cannot end it."""
        # Not Process.kill, which does nothing once the fork server has died; the pipe's end is the proof.
        if self._listener.is_alive():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGKILL)
        self._listener.join(0 if self._given_up else _END_S)
        if self._listener.is_alive() or not self._ended:
            self._given_up = True
            forget(self._process)
            raise RuntimeError(f"its process {self._pid} was killed and does not end")


class ProcessSlot:
    """One worker process on one device; its death, hang or leak costs this slot alone."""

    def __init__(self, name: str, device: str) -> None:
        """Start the worker in the background; `device` is `cpu`, `cuda:0`, ..."""
        self.name, self.device = name, device
        self.began_at = time.monotonic()
        self._worker = self._start()

    def _start(self) -> _Worker:
        kind, _, index = self.device.partition(":")
        return _Worker(kind, _visible(int(index)) if kind == "cuda" else None)

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
            self._worker = self._start()
        except (OSError, EOFError) as error:
            raise RuntimeError(f"no process can be started: {error!r}") from error

    def stop(self) -> None:
        """Kill the worker; one that the system cannot end is left to it."""
        with contextlib.suppress(RuntimeError):
            self._worker.kill()


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


def local_slots(devices: Sequence[str], workers: int) -> list[ProcessSlot]:
    """Start `workers` slots in turn over `devices`.

    Raises BadInput when there would be fewer workers than devices.
    """
    if workers < len(devices):
        raise BadInput(f"--workers: {workers}; expected at least one for each of {', '.join(devices)}")
    return [ProcessSlot(f"slot {n}", devices[n % len(devices)]) for n in range(workers)]


def await_ready(slots: Sequence[ProcessSlot]) -> list[dict[str, Any]]:
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
