"""A slot of a cluster: a worker process that a Dask worker hosts.

Each job is a task for the Dask worker of its slot alone, so that never more are in flight than there are slots, and
Dask itself moves and repeats nothing: what becomes of a job is for the pool to say.
"""

import asyncio
import time
import uuid
from collections.abc import Callable
from concurrent.futures import Future
from multiprocessing.reduction import ForkingPickler
from typing import TYPE_CHECKING, Any

from evaluate.pool.hosting import perform, start
from evaluate.pool.process import answer_in
from evaluate.pool.slot import Returned, Sent

if TYPE_CHECKING:
    from distributed import Future as Task

    from evaluate.pool.executors.dask import DaskCluster

RESOURCES = {"GPU": "cuda", "slot": "cpu"}  #: the device that one of it is; the first that a Dask worker has counts


class DaskSlot:
    """A resource of a Dask worker: one worker process there at a time."""

    def __init__(self, cluster: "DaskCluster", name: str, address: str, resource: str, index: int) -> None:
        """Ask for a worker process, in the thread of the cluster."""
        self._cluster, self.address, self._resource = cluster, address, resource
        self.kind = RESOURCES[resource]
        self.name, self.device = name, f"cuda:{index}" if self.kind == "cuda" else "cpu"
        self.machine = address  # until it has told its name
        self.retired: str | None = None
        self.native: tuple[str, ...] = ()  #: precisions, once it is up
        self.lost = False  #: to Dask, which may still have its place
        self._gone = asyncio.Event()
        self.began_at = time.monotonic()
        self._held: Task[Any] | None = None
        self._begin()

    def _begin(self) -> None:
        self.ready_at: float | None = None
        self._lease = f"cgp-evolve-{uuid.uuid4().hex}"
        self.ready: Future[dict[str, Any]] = self._cluster.run(self._start(self._lease))

    async def _start(self, lease: str) -> dict[str, Any]:
        self.release()
        version, marker = self._cluster.version, self._cluster.marker
        self._held = self._task(start, lease, self.device, version, str(marker), key=lease)
        found: dict[str, Any] = await self._answer(self._held, lease)
        if other := found.get("other_version"):
            raise RuntimeError(f"it has another version of the program, {other}; this is {version}")
        if missing := found.get("not_shared"):
            raise RuntimeError(
                f"it cannot write to {marker.parent} as this machine does ({missing}); keep the run on a file system "
                "that both share"
            )
        if failed := found.get("failed"):
            raise RuntimeError(failed)
        if lease == self._lease:
            self.machine, self.ready_at = found.pop("machine"), time.monotonic()
        return found

    def _task(self, function: Callable[..., Any], *arguments: Any, key: str) -> "Task[Any]":
        place: dict[str, Any] = {"workers": [self.address], "resources": {self._resource: 1}}
        return self._cluster.client.submit(function, *arguments, key=key, **place, pure=False, retries=0)

    async def _answer(self, task: "Task[Any]", lease: str) -> Any:
        """Return what a task comes to. Raises RuntimeError, and retires the slot, where Dask has lost it."""
        gone, outcome = asyncio.create_task(self._gone.wait()), asyncio.create_task(_outcome(task))
        await asyncio.wait((gone, outcome), return_when=asyncio.FIRST_COMPLETED)
        gone.cancel()
        if not outcome.done():
            outcome.cancel()
            raise RuntimeError(self.retired)
        found, error = outcome.result()
        if error is not None:
            if lease == self._lease:  # else it was given up by a restart
                self.lost = True
                self.retire(f"Dask gave up what ran there ({type(error).__name__})")
            raise RuntimeError(self.retired or "its worker was ended")
        return found

    def retire(self, why: str) -> None:
        """Take no more jobs, and give up what runs. Called in the thread of the cluster."""
        self.retired = self.retired or why.partition("\n")[0]
        self._gone.set()
        self.release()

    def release(self) -> None:
        """Let the worker process end. Called in the thread of the cluster."""
        if self._held is not None:
            self._held.release()
            self._held = None

    async def ask(self, function: Callable[[Sent], Returned], argument: Sent) -> Returned:
        """Return what the worker says to `function(argument)`. Raises RuntimeError when it has ended."""
        found: Returned = await self._perform(self.ready, self._lease, _message(function, argument))
        return found

    async def _perform(self, ready: "Future[dict[str, Any]]", lease: str, message: bytes) -> Any:
        await asyncio.wrap_future(ready)
        task = self._task(perform, lease, message, key=f"{lease}-{uuid.uuid4().hex}")
        found = answer_in(await self._answer(task, lease))
        if isinstance(found, RuntimeError):
            raise found
        return found

    def submit(self, function: Callable[[Sent], Returned], job: Sent) -> "Future[Returned]":
        """Start `function(job)` in the worker. Raises RuntimeError when its place is gone."""
        if self.retired:
            raise RuntimeError(self.retired)
        return self._cluster.run(self._perform(self.ready, self._lease, _message(function, job)))

    def restart(self) -> None:
        """Kill the worker, whatever it does, and start another. Raises RuntimeError when its place is gone."""
        if self.retired:
            raise RuntimeError(self.retired)
        self._begin()

    def stop(self) -> None:
        """Kill the worker."""
        self._lease = ""  # what Dask says of it is of no interest any more
        self._cluster.call(self.release)


def _message(function: Callable[[Any], Any], argument: Any) -> bytes:
    return bytes(ForkingPickler.dumps((function, argument)))


async def _outcome(task: "Task[Any]") -> tuple[Any, BaseException | None]:
    try:
        return await task, None
    except (Exception, asyncio.CancelledError) as error:
        return None, error
