"""What ends a session early: its user (Ctrl-C, SIGTERM, a terminal that is closed), or a disk. No torch."""

import contextlib
import errno
import os
import signal
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from cgp.errors import BadInput
from evaluate.pool.pool import STOP_SIGNALS

if TYPE_CHECKING:
    from populations.run_folder.store import Store

_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES)


class Stopped(KeyboardInterrupt):
    """The user wants no more; the run, where there is one, can be resumed."""

    def __init__(self, folder: Path | None) -> None:
        """`folder` is the run to go on with, None when no search had begun."""
        again = f"the search was stopped; go on with resume={str(folder)!r}"
        super().__init__(again if folder else "stopped before the search began")
        self.folder = folder


#: Set by a signal before the search begins: what is raised in a finalizer or a callback does not get through.
_asked_before = threading.Event()


def stop_at_once() -> None:
    """Let every signal to stop raise Stopped, until a `Stop` takes over."""
    _asked_before.clear()
    _heed(_raise)


def _raise(number: int, frame: FrameType | None) -> None:
    _leave_terminal(number)
    _asked_before.set()
    raise Stopped(None)


class Stop:
    """A signal to stop: once, stop asking and let workers checkpoint; twice, at once (raises Stopped).

    A terminal that is closed may send SIGHUP twice, by the system and by its shell: that is once. The file `stop`
    in the run folder asks as well; beside the main thread, which alone hears signals, it is the only way.
    """

    def __init__(self, store: "Store") -> None:
        """Take over the signals; what this driver was asked before still holds.

        Raises Stopped where it was asked to stop before the search began, and that has not got through.
        """
        self._store = store
        _heed(self._ask)
        if _asked_before.is_set():
            raise Stopped(store.folder)

    @property
    def asked(self) -> bool:
        """Whether the search was asked to stop."""
        return self._store.stop_file.exists()

    def _ask(self, number: int, frame: FrameType | None) -> None:
        _leave_terminal(number)
        if self.asked and number != signal.SIGHUP:
            raise Stopped(self._store.folder)
        self._store.stop_file.touch()


def _heed(handler: "signal._HANDLER") -> None:
    if not _in_main_thread():
        return
    for number in STOP_SIGNALS:
        # `nohup` asks that a closed terminal be ignored.
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, handler)


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


def _leave_terminal(number: int) -> None:
    """Write no more to a terminal that was closed: each try would raise OSError."""
    if number != signal.SIGHUP:
        return
    for stream in (1, 2):
        try:
            os.write(stream, b"")
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream)


@contextlib.contextmanager
def signals_restored() -> Iterator[None]:
    """Let signals do in the end what they did before."""
    before = {number: signal.getsignal(number) for number in STOP_SIGNALS} if _in_main_thread() else {}
    try:
        yield
    finally:
        for number, handler in before.items():
            if handler is not None:  # None is one that Python did not set
                signal.signal(number, handler)


@contextlib.contextmanager
def refusing_disk_said() -> Iterator[None]:
    """Turn the error of a disk that takes no more into BadInput."""
    try:
        yield
    except (OSError, sqlite3.OperationalError) as error:
        if getattr(error, "errno", None) not in _DISK and "disk" not in str(error):
            raise
        raise BadInput(f"cannot write: {error}; free some space, then --resume") from error
