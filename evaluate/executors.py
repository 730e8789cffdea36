"""Where jobs run: one worker process per slot, pinned to its device before it starts.

On Linux all workers are forked from one server process that has imported torch and has done nothing else:
a worker is there in a moment, also after a kill, and workers share the memory that the import takes.
"""

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from multiprocessing.reduction import ForkingPickler
from types import ModuleType
from typing import Any, TypeVar, cast

import torch

from cgp.errors import BadInput
from evaluate import worker

Sent = TypeVar("Sent")
Returned = TypeVar("Returned")

if sys.platform == "linux":
    _CONTEXT = multiprocessing.get_context("forkserver")
    # torch would import the second with the first optimizer of each worker: 1.2 s, and 110 MB of its own.
    _CONTEXT.set_forkserver_preload([worker.__name__, "torch._dynamo"])
else:
    _CONTEXT = multiprocessing.get_context("spawn")


_TURN_S = 0.1  # for the system to end a process that was killed
_START_S = 300.0  # a worker is up after seconds; one that is not by then hangs in its device's driver


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


def _start(kind: str, visible: str | None, attempts: int = 5) -> tuple["Connection[Any, Any]", BaseProcess]:
    """Start a process that serves, and return the pipe to it.

    A fork server that is just dying takes the request and then hangs up; the next finds it dead and starts another.
    """
    mine, theirs = _CONTEXT.Pipe()
    process = _CONTEXT.Process(target=worker.serve, args=(theirs, kind, visible), daemon=True)
    try:
        with _as_workers_begin():
            process.start()
    except (EOFError, ConnectionError):
        if attempts == 1:
            raise
        time.sleep(_TURN_S)
        return _start(kind, visible, attempts - 1)
    finally:
        theirs.close()  # the worker's death is then the pipe's end
    return mine, process


class _Worker:
    """A process that does what it is sent, in order, until it is killed."""

    def __init__(self, kind: str, visible: str | None) -> None:
        self.ready: Future[dict[str, Any]] = Future()
        self.ready_at: float | None = None
        self._answers: deque[Future[Any]] = deque([self.ready])
        self._pipe, self._process = _start(kind, visible)
        self._pid = cast(int, self._process.pid)
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
            raise RuntimeError("the worker has ended") from error
        return future

    def _listen(self) -> None:
        """Pass answers on as they come, and in the end that there will be no more."""
        with contextlib.suppress(EOFError, OSError):
            while True:
                answer = self._pipe.recv()
                self.ready_at = self.ready_at or time.monotonic()
                future = self._answers.popleft()
                if isinstance(answer, RuntimeError):
                    future.set_exception(answer)
                else:
                    future.set_result(answer)
        self._process.join()
        while self._answers:
            ended = f"its process ended with exit code {self._process.exitcode}"
            self._answers.popleft().set_exception(RuntimeError(ended))

    def kill(self) -> None:
        """End the process, whatever it does."""
        # Not Process.kill, which does nothing once the fork server has died; the pipe's end is the proof.
        if self._listener.is_alive():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGKILL)
        self._listener.join()


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
        """Kill the worker, whatever it does, and start another."""
        self.stop()
        self._worker = self._start()

    def stop(self) -> None:
        """Kill the worker."""
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
            found.append(slot.ready.result(_START_S))
        except Exception as error:
            raise BadInput(
                f"--devices: the worker of {slot.name} on {slot.device} did not start: {error!r}; "
                "check the device, or leave it out"
            ) from error
    return found
