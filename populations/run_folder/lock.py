"""Who drives a run: one process at a time, which holds its lock until it ends. No torch."""

import fcntl
import os
import socket
import time
from pathlib import Path

from cgp.errors import BadInput

_PATIENCE_S = 0.2  # longer than `is_held` takes, which holds the lock for a moment itself


class Lock:
    """The right to write to a run, held by one process at a time and freed when it dies."""

    def __init__(self, folder: Path) -> None:
        """Take the lock. Raises BadInput, saying who holds it, when it is taken."""
        self.folder = folder
        self._file = (folder / "lock").open("a+")
        give_up = time.monotonic() + _PATIENCE_S
        while not self._taken():
            if time.monotonic() > give_up:
                self._file.seek(0)
                holder = self._file.read().strip() or "another process"
                self._file.close()
                raise BadInput(f"{folder}: another driver holds this run ({holder}); wait for it or end it")
            time.sleep(0.01)
        self._file.truncate(0)
        self._file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
        self._file.flush()

    def _taken(self) -> bool:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def release(self) -> None:
        """Give the lock back."""
        self._file.close()


def is_held(folder: Path) -> bool:
    """Whether a process drives the run in `folder`; writes nothing."""
    try:
        with (folder / "lock").open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # there is no lock to read, so nobody took it
        return False
    return False
