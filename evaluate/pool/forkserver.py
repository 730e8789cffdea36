"""The process that worker processes are forked from, and the folder that its socket lies in.

On Linux all workers are forked from one server that has imported torch and has done nothing else:
a worker is there in a moment, also after a kill, and workers share the memory that the import takes.
This module does without torch, so that the server can import it while the driver still does.
"""

import atexit
import contextlib
import fcntl
import multiprocessing
import multiprocessing.forkserver
import multiprocessing.resource_tracker
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import cache
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import ModuleType
from typing import Any

from evaluate.pool.pool import STOP_SIGNALS

# torch would import the second with the first optimizer of each worker: 1.2 s, and 110 MB of its own.
PRELOADED = ("evaluate.worker", "torch._dynamo")  #: what the server imports; must leave the GPUs alone

_NAME = "worker of cgp-evolve"
_TEMPORARY, _SOCKET = "cgp-driver-", "listener-"  # how the names of a driver's folder and of its socket begin
_RANDOM = 8  # characters that tempfile adds to them
_LONGEST_SOCKET = 103 if sys.platform == "darwin" else 107  #: bytes of a socket's path, without the zero at its end
_TURN_S = 0.1  # for the system to end a process that was killed

if sys.platform == "linux":
    _CONTEXT = multiprocessing.get_context("forkserver")
    _CONTEXT.set_forkserver_preload(list(PRELOADED))
else:
    _CONTEXT = multiprocessing.get_context("spawn")


def prepare() -> None:
    """Let the server start and import torch in the background, before the first worker is asked for."""
    if sys.platform == "linux":
        with _as_workers_begin():
            multiprocessing.forkserver.ensure_running()


def start_worker(
    serve: Callable[..., None], kind: str, visible: str | None, attempts: int = 5
) -> tuple["Connection[Any, Any]", BaseProcess]:
    """Start a process that calls `serve` with its end of a pipe; return the other end, and the process.

    A fork server that is just dying takes the request and then hangs up; the next finds it dead and starts another.
    Raises OSError or EOFError when that does not help.
    """
    mine, theirs = _CONTEXT.Pipe()
    process = _CONTEXT.Process(target=serve, args=(theirs, kind, visible), name=_NAME, daemon=True)
    try:
        with _as_workers_begin():
            process.start()
    except (EOFError, ConnectionError):
        if attempts == 1:
            raise
        time.sleep(_TURN_S)
        return start_worker(serve, kind, visible, attempts - 1)
    finally:
        theirs.close()  # the worker's death is then the pipe's end
    return mine, process


@contextlib.contextmanager
def _as_workers_begin() -> Iterator[None]:
    """Let a process started meanwhile have one thread, our import path, and nothing of the main module.

    Without that it would import the whole program, of which a worker needs a part. It also leaves the signals
    that end a search to the driver, from its first instruction on.
    """
    _own_temporary_folder()
    changes = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    before, main = dict(os.environ), sys.modules["__main__"]
    os.environ.update(changes)
    sys.modules["__main__"] = ModuleType("__main__")
    multiprocessing.resource_tracker.ensure_running()  # when it starts, it unblocks two of the signals
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    try:
        yield
    finally:
        sys.modules["__main__"] = main
        for name in changes:
            if name in before:
                os.environ[name] = before[name]
            else:
                del os.environ[name]
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)  # the last thing: what has come meanwhile is raised here


def forget(process: BaseProcess) -> None:
    """Let this process end without waiting for `process`, which cannot be killed."""
    vars(multiprocessing.process)["_children"].discard(process)


@atexit.register
def _kill_workers() -> None:
    """Kill the workers that are left when the driver ends.

    multiprocessing would ask them by SIGTERM, which they leave to the driver, and wait.
    """
    for process in multiprocessing.active_children():
        if process.name == _NAME:
            process.kill()


@cache
def _own_temporary_folder() -> None:
    """Give this driver a folder for the socket of its server, and remove those of drivers that were killed.

    multiprocessing would make one that nobody can tell from one in use. A driver's is locked as long as it lives.
    """
    base, config = _base(), vars(multiprocessing.current_process())["_config"]
    for folder in base.glob(f"{_TEMPORARY}*/"):
        _remove_if_left(folder)
    if config.get("tempdir") is None:
        folder = _locked_folder(base)
        config["tempdir"] = str(folder)
        atexit.register(shutil.rmtree, folder, ignore_errors=True)


def _base() -> Path:
    """Return the temporary directory, or /tmp where the path of a socket in it would be too long for the system."""
    chosen = Path(tempfile.gettempdir())
    longest = chosen / f"{_TEMPORARY}{'x' * _RANDOM}" / f"{_SOCKET}{'x' * _RANDOM}"
    return chosen if len(os.fsencode(longest)) <= _LONGEST_SOCKET else Path("/tmp")


def _locked_folder(base: Path) -> Path:
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_TEMPORARY, dir=base))
        lock = os.open(folder, os.O_RDONLY)  # open until this process ends, and in no process that it starts
        fcntl.flock(lock, fcntl.LOCK_EX)
        if folder.exists():  # another driver may have found it before it was locked
            return folder
        os.close(lock)


def _remove_if_left(folder: Path) -> None:
    with contextlib.suppress(OSError):  # in use, or another user's
        lock = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if all(path.name.startswith(_SOCKET) for path in folder.iterdir()):
                shutil.rmtree(folder)
        finally:
            os.close(lock)
