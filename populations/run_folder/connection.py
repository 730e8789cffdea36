"""How `run.sqlite` is opened and closed, so that it reads anywhere. No torch.

While it is written it has a log of its own (`-wal`) and an index of that (`-shm`), which every reader has to find or
make. A closed journal is one file, which reads from read-only media too.
"""

import contextlib
import shutil
import sqlite3
import tempfile
from pathlib import Path

from cgp.errors import BadInput
from populations.run_folder.lock import is_held

_BESIDE = ("", "-wal", "-journal")  # what holds content: the file, its log, what undoes a broken transaction


def connect(path: Path, writable: bool) -> sqlite3.Connection:
    """Open the journal at `path`; where it is missing and `writable`, make it.

    One that was not closed, as that of a driver that was killed, needs files made beside it to be read; where
    that cannot be done, a copy of it is read. Raises sqlite3.DatabaseError for a file that is no journal, and
    BadInput where it can be read neither in its place nor as a copy.
    """
    db = _opened(path, "mode=rwc" if writable else "mode=ro", check_same_thread=writable)
    try:
        db.execute("pragma schema_version")  # the first look at the file
    except sqlite3.OperationalError as error:
        db.close()
        beside = error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY)
        if writable or not beside or not path.is_file():
            raise
        return _copied(path)
    return db


def _opened(path: Path, how: str, check_same_thread: bool = False) -> sqlite3.Connection:
    # Read from other threads too: a run that a search in a thread returned.
    uri = f"{path.absolute().as_uri()}?{how}"
    return sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=check_same_thread)


def _copied(path: Path) -> sqlite3.Connection:
    """Open a copy of a journal and its log, which no reader needs a file beside. It is gone with the connection.

    To ignore the log instead, as `immutable` does, would lose the last results without a word.
    """
    if is_held(path.parent):
        raise BadInput(
            f"{path.parent}: a search is writing here, and its journal cannot be read yet; wait for its end"
        )
    try:
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder) / path.name
            for suffix in _BESIDE:
                with contextlib.suppress(FileNotFoundError):
                    shutil.copyfile(f"{path}{suffix}", f"{copy}{suffix}")
            with contextlib.closing(_opened(copy, "mode=rw")) as whole:
                whole.execute("pragma journal_mode=delete")  # takes over the log
            return _opened(copy, "immutable=1")  # the open file outlives its name
    except OSError as error:
        raise BadInput(
            f"{path}: cannot be read in its folder, nor copied to {tempfile.gettempdir()} ({error.strerror}); "
            "make room there, or copy the run to a folder that you may write to"
        ) from error


def copied(db: sqlite3.Connection) -> sqlite3.Connection:
    """Close a journal that cannot be written and return a copy of it that can, which is gone with the connection."""
    copy = sqlite3.connect("", isolation_level=None, check_same_thread=False)
    with contextlib.closing(db):
        db.backup(copy)
    return copy


def finish(db: sqlite3.Connection) -> None:
    """Take the log into the journal, so that it is one file, and close it; nothing where it is closed already.

    Where others are reading, or the disk is full, the log stays: nothing is lost.
    """
    with contextlib.suppress(sqlite3.Error):
        db.execute("pragma busy_timeout=0")
        db.execute("pragma journal_mode=delete")
    db.close()
