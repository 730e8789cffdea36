"""What runs inside a Dask worker: tasks that host the worker processes of slots.

No torch but in the processes that are started: a Dask scheduler reads this module, too. A worker process lives as
long as its *lease*, the result of `start`, is wanted by the search that asked for it: when the search restarts or
leaves the slot, ends or dies, Dask drops the lease, and the process is killed.
"""

import hashlib
import multiprocessing
import pickle
import socket
import threading
import time
import uuid
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evaluate.pool.process import Worker
from evaluate.pool.slot import START_S

if TYPE_CHECKING:
    from distributed import Worker as Host

_TICK_S = 0.25  # between two looks at a lease
_SOURCES = ("cgp", "evaluate")  # the packages that decide what a training comes to

_workers: dict[str, Worker] = {}  # by lease
_starting = threading.Lock()  # a start changes the environment for a moment


class NoWorker(Exception):
    """The worker process of a lease is not here: this Dask worker has been started anew."""


def program_version() -> str:
    """Return the version of this program, with a fingerprint of the sources that training depends on."""
    found, root = hashlib.sha256(), Path(__file__).parents[2]
    for path in sorted(path for package in _SOURCES for path in (root / package).rglob("*.py")):
        found.update(path.relative_to(root).as_posix().encode() + path.read_bytes())
    return f"{version('cgp-evolve')}, sources {found.hexdigest()[:8]}"


def start(lease: str, device: str, wanted: str, marker: str) -> dict[str, Any]:
    """Start a worker process on `device` and return what it computes with, once it is up.

    Where that fails it returns `failed`; `other_version` where this program is not the `wanted` version; and
    `not_shared` where the file `marker` is not here, or nothing can be written beside it.
    """
    from distributed import get_worker

    if (own := program_version()) != wanted:
        return {"other_version": own}
    if missing := _missing(Path(marker)):
        return {"not_shared": missing}
    with _starting:
        multiprocessing.current_process().daemon = False  # Dask's own has the flag, and may start no process so
        try:
            worker = Worker(serve, device)
        except (OSError, EOFError, IndexError) as error:
            return {"failed": f"no process can be started: {error!r}"}
    try:
        found = worker.ready.result(START_S)
    except (RuntimeError, TimeoutError) as error:
        _end(worker)
        return {"failed": str(error) or "it was not up in time"}
    _workers[lease] = worker
    threading.Thread(target=_keep, args=(lease, worker, get_worker()), daemon=True).start()
    return {**found, "machine": socket.gethostname()}


def _missing(marker: Path) -> str | None:
    mine = marker.with_name(f"{marker.name}-{uuid.uuid4().hex}")
    try:
        marker.read_bytes()
        mine.touch()
        mine.unlink()
    except OSError as error:
        return error.strerror
    return None


def serve(*arguments: Any) -> None:
    """Be a worker, in the process that was started: see `serve` in evaluate/worker.py."""
    from evaluate.worker import serve

    serve(*arguments)


def perform(lease: str, message: bytes) -> bytes:
    """Let the worker process of `lease` do the pickled (function, argument), and return the pickled answer.

    Where there is none, a RuntimeError is the answer. Raises NoWorker where the process is not here.
    """
    if (worker := _workers.get(lease)) is None:
        raise NoWorker(lease)
    try:
        return worker.forward(message).result()
    except RuntimeError as error:  # its process has ended
        return pickle.dumps(error)


def _keep(lease: str, worker: Worker, host: "Host") -> None:
    """End the worker process when its Dask worker knows no such task any more, or closes."""
    while lease in host.state.tasks and host.status.name not in ("closing", "closed", "failed"):
        time.sleep(_TICK_S)
    del _workers[lease]
    _end(worker)


def _end(worker: Worker) -> None:
    try:
        worker.kill()
    except RuntimeError:  # the system cannot end it: the slot's next worker does not come up
        return
