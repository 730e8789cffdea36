"""How the user ends a session: Ctrl-C, SIGTERM, or a terminal that is closed. No torch."""

import os
import signal
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from evaluate.pool import STOP_SIGNALS

if TYPE_CHECKING:
    from populations.store import Store


class Stopped(KeyboardInterrupt):
    """The user wants no more, at once."""

    def __init__(self, folder: Path | None) -> None:
        """`folder` is the run to go on with, None when no search had begun."""
        super().__init__()
        self.folder = folder


def stop_at_once() -> None:
    """Let every signal to stop raise Stopped, until a `Stop` takes over."""
    _heed(_raise)


def _raise(number: int, frame: FrameType | None) -> None:
    _leave_terminal(number)
    raise Stopped(None)


class Stop:
    """A signal to stop: once, stop asking and let workers checkpoint; twice, at once (raises Stopped).

    A terminal that is closed may send SIGHUP twice, by the system and by its shell: that is once.
    """

    def __init__(self, store: "Store") -> None:
        """Take over the signals; what this driver was asked before still holds."""
        self.asked, self._store = store.stop_file.exists(), store
        _heed(self._ask)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        _leave_terminal(number)
        if self.asked and number != signal.SIGHUP:
            raise Stopped(self._store.folder)
        self.asked = True
        self._store.stop_file.touch()


def _heed(handler: "signal._HANDLER") -> None:
    for number in STOP_SIGNALS:
        # `nohup` asks that a closed terminal be ignored.
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, handler)


def _leave_terminal(number: int) -> None:
    """Write no more to a terminal that was closed: each try would raise OSError."""
    if number != signal.SIGHUP:
        return
    for stream in (1, 2):
        try:
            os.write(stream, b"")
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
