"""What a live page is told: the data of its runs, with a version, and of a network when it is opened. No torch."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from threading import Lock
from time import monotonic, thread_time
from typing import Any, NamedTuple

from populations.figures.chosen import named
from populations.reading.frame import load
from populations.report.data import gathered
from populations.report.details import details
from populations.run_folder.lock import is_held

_REST = 4  # times the processor's time that data took to gather: so long none are gathered, for the search's sake
_CHANGING = ("run.sqlite", "run.sqlite-wal", "config.json")  # what is new in a run is in one of them


class Told(NamedTuple):
    """The data of the page as they are sent."""

    version: str  #: differs where the data do
    text: bytes  #: what `gathered` returns, as JSON


class Live:
    """Runs that are looked into again and again, while searches may write to them; several threads may ask."""

    def __init__(self, folders: Iterable[Path]) -> None:
        """Follow the runs in `folders`. Raises BadInput as `named` does."""
        self._folders = {name: run.folder for name, run in named(folders).items()}
        self._asked = Lock()
        self._files = list[Any]()
        self._told = Told("", b"")
        self._rested = 0.0

    def data(self) -> Told:
        """Return the data as they are, or where they took long to gather, as they were shortly before.

        Raises BadInput where a run cannot be read any more.
        """
        with self._asked:
            # Files that are as they were hold nothing new; to ask them costs microseconds, and opens no journal.
            files = [_seen(folder) for folder in self._folders.values()]
            if files != self._files and monotonic() >= self._rested:
                self._told, self._files = self._read(), files
            return self._told

    def _read(self) -> Told:
        runs = {name: load(folder) for name, folder in self._folders.items()}
        # A driver writes how long it has been at work each second; that alone is no news.
        written = [(str(run.folder.absolute()), run.state, run.written) for run in runs.values()]
        version = hashlib.sha256(repr(written).encode()).hexdigest()[:16]
        if version == self._told.version:
            return self._told
        began = thread_time()
        text = json.dumps(gathered(runs), separators=(",", ":"), allow_nan=False).encode()
        self._rested = monotonic() + _REST * (thread_time() - began)
        return Told(version, text)

    def detail(self, name: str, identity: str) -> dict[str, Any] | None:
        """Return the details of a network of the run `name`; None where there is no such run or network."""
        folder = self._folders.get(name)
        return details(load(folder), [identity]).get(identity) if folder else None


def _seen(folder: Path) -> tuple[Any, ...]:
    """Return what differs from before where a run was written to, or its driver has begun or ended."""
    return is_held(folder), *(_stamp(folder / name) for name in _CHANGING)


def _stamp(path: Path) -> tuple[int, ...] | None:
    try:
        found = path.stat()
    except FileNotFoundError:  # the log is gone when a journal is closed
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns
