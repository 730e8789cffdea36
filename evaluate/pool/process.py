"""A worker process, as the process that has started it sees it. No torch: a Dask worker has it without."""

import contextlib
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from multiprocessing.connection import Connection
from multiprocessing.reduction import ForkingPickler
from typing import Any, cast

from evaluate.pool.forkserver import forget, start_worker
from evaluate.pool.slot import Returned, Sent

Serve = Callable[["Connection[Any, Any]", str, str | None], None]  #: as `serve` in evaluate/worker.py

_END_S = 30.0  # a process that was killed is gone at once, unless the system cannot end it


class Worker:
    """A process that does what it is sent, in order, until it is killed."""

    def __init__(self, serve: Serve, device: str) -> None:
        """Start it in the background, to `serve` on `device` (`cpu`, `cuda:0`).

        Raises OSError or EOFError where no process can be started.
        """
        kind, _, index = device.partition(":")
        visible = _visible(int(index)) if kind == "cuda" else None
        self.ready: Future[dict[str, Any]] = Future()
        self.ready_at: float | None = None
        self._answers: deque[tuple[Future[Any], bool]] = deque([(self.ready, True)])  # whether it is to be read
        self._pipe, self._process = start_worker(serve, kind, visible)
        self._pid = cast(int, self._process.pid)
        self._ended = self._given_up = False
        self._why = ""  # it did not start
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def submit(self, function: Callable[[Sent], Returned], argument: Sent) -> "Future[Returned]":
        """Send what the worker is to do. Raises RuntimeError when it has ended."""
        return self._send(ForkingPickler.dumps((function, argument)), read=True)

    def forward(self, message: bytes) -> "Future[bytes]":
        """Send a pickled (function, argument); the answer, which may be a RuntimeError, stays pickled.

        Raises RuntimeError when the worker has ended.
        """
        return self._send(message, read=False)

    def _send(self, message: Any, read: bool) -> "Future[Any]":
        future: Future[Any] = Future()
        self._answers.append((future, read))
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
            future, _ = self._answers.popleft()
            future.set_exception(RuntimeError(f"its process ended with exit code {code}{self._why}"))

    def _pass_on(self, message: bytes) -> None:
        future, read = self._answers.popleft()
        answer = answer_in(message) if read else message
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


def answer_in(message: bytes) -> Any:
    """Return what a worker has answered; a RuntimeError where it was one, or where it cannot be read."""
    try:
        return ForkingPickler.loads(message)
    except Exception as error:  # whatever reading it raises: the job must end
        return RuntimeError(f"its answer cannot be read: {type(error).__name__}: {error}")


def _visible(index: int) -> str:
    """Return the `index`-th device that this process itself may see, as a worker must name it."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    return visible.split(",")[index].strip() if visible else str(index)
