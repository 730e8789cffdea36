"""How a session of a search is ended from outside: by its user, or by a disk that refuses."""

import contextlib
import errno
import signal
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from cgp.errors import BadInput

if TYPE_CHECKING:
    from populations.store import Store

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES)


class Stopped(KeyboardInterrupt):
    """The user has stopped the search of the run in `folder`, which can be resumed."""

    def __init__(self, folder: Path) -> None:
        """`folder` is the run."""
        super().__init__(f"the search was stopped; go on with resume={str(folder)!r}")
        self.folder = folder


class Stop:
    """Ctrl-C or SIGTERM: once, stop asking and let workers checkpoint; twice, at once (raises Stopped).

    The file `stop` in the run folder asks once, too. In a thread other than the main one it alone does.
    """

    def __init__(self, store: "Store") -> None:
        """Take over both signals; what this driver was asked before still holds."""
        self._store = store
        if _in_main_thread():
            for number in _SIGNALS:
                signal.signal(number, self._ask)

    @property
    def asked(self) -> bool:
        """Whether the search was asked to stop."""
        return self._store.stop_file.exists()

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise Stopped(self._store.folder)
        self._store.stop_file.touch()


@contextlib.contextmanager
def signals_restored() -> Iterator[None]:
    """Let signals do in the end what they did before."""
    before = {number: signal.getsignal(number) for number in _SIGNALS} if _in_main_thread() else {}
    try:
        yield
    finally:
        for number, handler in before.items():
            if handler is not None:  # one that Python did not set
                signal.signal(number, handler)


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


@contextlib.contextmanager
def refusing_disk_said() -> Iterator[None]:
    """Turn the error of a disk that takes no more into BadInput."""
    try:
        yield
    except (OSError, sqlite3.OperationalError) as error:
        if getattr(error, "errno", None) not in _DISK and "disk" not in str(error):
            raise
        raise BadInput(f"cannot write: {error}; free some space, then --resume") from error
