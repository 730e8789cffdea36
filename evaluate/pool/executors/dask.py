"""Jobs on a cluster: the Dask workers of a scheduler, their slots, and how these come and go.

A Dask worker says what it has by its resources: a slot for each `GPU`, or else for each `slot`. Dask is imported
when it is needed, and used in a thread of its own.
"""

import asyncio
import contextlib
import logging
import socket
import threading
import time
import uuid
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from cgp.errors import BadInput
from evaluate.devices.numerics import native_precisions
from evaluate.pool.executors.dask_slot import RESOURCES, DaskSlot
from evaluate.pool.hosting import program_version

if TYPE_CHECKING:
    from distributed import Client

Found = TypeVar("Found")

_CONNECT_S = 10.0  # in which a scheduler answers
_LOOK_S = 0.5  # between two looks at who is there
_CLOSE_S = 10.0  # to leave a scheduler in order


class DaskCluster:
    """The slots of a scheduler's Dask workers. A context manager, which leaves the scheduler."""

    def __init__(self, address: str, patience: float, folder: Path, say: Callable[[str], None]) -> None:
        """Connect to the scheduler at `address`. Raises BadInput where there is none.

        `patience` is in seconds, to wait for Dask workers; they must see `folder` as this process does. `say` is
        given lines for the user, in the thread of the caller.
        """
        self.address, self.patience, self.flag = address, patience, f"--scheduler {address}"
        self.version = program_version()
        self.precision: str | None = None  #: that slots which join must be good at
        self._say, self._lines = say, list[str]()
        self._known = dict[str, list[DaskSlot]]()  # by address of the Dask worker
        self._opening, self._up = set[DaskSlot](), list[DaskSlot]()
        self._tasks = set[asyncio.Task[None]]()
        self._kinds: set[str] | None = None  # of devices, when the search begins
        self._refusal = "no Dask worker with a resource GPU or slot came"
        self._marker: Path | None = None
        self._client: Client | None = None
        self._watching: Future[None] | None = None
        _refuse_silence(address, self.flag)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="dask cluster", daemon=True)
        self._thread.start()
        try:
            self.look_in(folder)
            self._client = self.run(self._connected()).result()
            self._watching = self.run(self._watch())
        except BaseException as error:
            self.close()
            if isinstance(error, BadInput) or not isinstance(error, Exception):
                raise
            raise BadInput(f"{self.flag}: no Dask scheduler answers there ({_line(error)})") from error

    @property
    def client(self) -> "Client":
        """Dask's end of the connection, for use in the cluster's thread."""
        assert self._client is not None
        return self._client

    @property
    def marker(self) -> Path:
        """A file in the folder that all share."""
        assert self._marker is not None
        return self._marker

    # In the driver's thread

    def run(self, what: Coroutine[Any, Any, Found]) -> "Future[Found]":
        """Let the cluster's thread run a coroutine."""
        return asyncio.run_coroutine_threadsafe(what, self._loop)

    def call(self, function: Callable[[], None]) -> None:
        """Let the cluster's thread call a function, unless the cluster was left."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(function)

    def look_in(self, folder: Path) -> None:
        """Ask Dask workers that join from now on whether they share `folder`.

        Raises BadInput where this process cannot write there.
        """
        marker = folder / f".shared-{uuid.uuid4().hex}"
        try:
            marker.touch()
        except OSError as error:
            why = f"{folder} cannot be written ({error.strerror})"
            raise BadInput(f"--run: {why}; name a folder that you may write to") from error
        self._forget_marker()
        self._marker = marker

    def _forget_marker(self) -> None:
        if self._marker:
            self._marker.unlink(missing_ok=True)

    def joined(self) -> list[DaskSlot]:
        """Return the slots that are up and were not returned before; say what happened meanwhile."""
        while self._lines:
            self._say(self._lines.pop(0))
        return [self._up.pop(0) for _ in range(len(self._up))]

    def first(self) -> list[DaskSlot]:
        """Return the slots of the Dask workers that are there, once there are some.

        Raises BadInput when none can be used within the time that this is patient.
        """
        ends, slots, said = time.monotonic() + self.patience, list[DaskSlot](), False
        while not slots or (self._opening and time.monotonic() < ends):
            slots += self.joined()
            if not slots and not self._opening:
                if time.monotonic() > ends:
                    raise BadInput(
                        f"{self.flag}: {self._refusal} within {self.patience:g} s; start one there: "
                        f"dask worker {self.address} --resources GPU=1 (or slot=1)"
                    )
                if not said:
                    self._say(f"waiting up to {self.patience:g} s for Dask workers at {self.address}")
                    said = True
            time.sleep(0.05)
        self._kinds = {slot.kind for slot in slots}
        return slots

    def close(self) -> None:
        """Leave the scheduler: what runs there is given up, and its worker processes end."""
        if self._thread.is_alive():
            with contextlib.suppress(Exception):  # it may have gone
                self.run(self._leave()).result(_CLOSE_S)
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()
        self._forget_marker()

    def __enter__(self) -> "DaskCluster":
        """Return the cluster itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the scheduler."""
        self.close()

    # In the cluster's thread

    async def _connected(self) -> "Client":
        from distributed import Client

        for name in ("distributed", "distributed.client"):  # what the user needs, this says itself
            logging.getLogger(name).setLevel(logging.CRITICAL)
        client: Client = await Client(self.address, asynchronous=True, set_as_default=False, timeout=_CONNECT_S)
        return client

    async def _watch(self) -> None:
        """Look again and again who is there; when the scheduler is gone, wait for it to come back."""
        while True:
            try:
                async with asyncio.timeout(_CONNECT_S):
                    await self._look()
            except TimeoutError:
                await self._come_back("it does not answer")
            except OSError:  # in whatever words
                await self._come_back("the connection has ended")
            except Exception as error:  # whatever else Dask raises then
                await self._come_back(_line(error))
            await asyncio.sleep(_LOOK_S)

    async def _look(self) -> None:
        if self.client.status != "running":
            raise ConnectionError("the connection has ended")
        scheduler: Any = self.client.scheduler
        there = await scheduler.ncores()
        for address in list(self._known):
            slots = self._known[address]
            if address not in there or any(slot.lost for slot in slots):
                for slot in slots:
                    slot.retire("its Dask worker has left")
                del self._known[address]
        if there.keys() - self._known.keys():
            about = await scheduler.identity(n_workers=-1)
            for address, worker in about["workers"].items():
                if address not in self._known:
                    self._known[address] = self._offered(address, worker)

    async def _come_back(self, why: str) -> None:
        for slot in [slot for slots in self._known.values() for slot in slots]:
            slot.retire("the scheduler was lost")
        self._known.clear()
        self._lines.append(f"the scheduler at {self.address} is lost ({why}); waiting for it")
        await _closed(self.client)
        while True:
            try:
                self._client = await self._connected()
            except Exception:  # whatever a scheduler says that is not quite up
                await asyncio.sleep(_LOOK_S)
            else:
                self._lines.append(f"the scheduler at {self.address} is back")
                return

    def _offered(self, address: str, worker: Mapping[str, Any]) -> list[DaskSlot]:
        """Return the slots of a Dask worker, whose worker processes begin to start."""
        name = address.partition("://")[2] if worker["name"] == address else str(worker["name"])
        resource = next((resource for resource in RESOURCES if worker["resources"].get(resource, 0) >= 1), None)
        if resource is None:
            self._refuse(name, "it has neither a resource GPU nor slot; start it with --resources GPU=1 or slot=1")
            return []
        count = int(worker["resources"][resource])
        if (threads := int(worker["nthreads"])) < count:
            self._lines.append(
                f"{name} has {resource}={count} but --nthreads {threads}: {threads} of them used; start it with "
                f"--nthreads {count} to use all"
            )
            count = threads
        slots = [DaskSlot(self, f"{name}/{n}", address, resource, n) for n in range(count)]
        self._opening.update(slots)
        for slot in slots:
            task = asyncio.create_task(self._open(slot))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return slots

    async def _open(self, slot: DaskSlot) -> None:
        """Let a slot be used once its worker is up and has all that the search needs."""
        if problem := await self._problem(slot):
            slot.release()
            self._refuse(slot.name, problem)
        else:
            self._up.append(slot)
        self._opening.discard(slot)

    async def _problem(self, slot: DaskSlot) -> str | None:
        try:
            slot.native = await slot.ask(native_precisions, slot.kind)
        except RuntimeError as error:
            return _line(error)
        if self._kinds is not None and slot.kind not in self._kinds:
            return f"the search began on devices of another kind ({', '.join(self._kinds)})"
        if self.precision is not None and self.precision not in slot.native:
            return f"the search computes in {self.precision}, which is not native to it"
        return None

    def _refuse(self, name: str, why: str) -> None:
        self._refusal = f"no Dask worker can be used ({name}: {why})"
        self._lines.append(f"{name} is not used: {why}")

    async def _leave(self) -> None:
        for slot in [slot for slots in self._known.values() for slot in slots]:
            slot.retire("the search has ended")
        if self._watching:
            self._watching.cancel()
        if self._client:
            await _closed(self._client)
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)


def _refuse_silence(address: str, flag: str) -> None:
    """Raise BadInput where nobody listens at the scheduler's address: Dask would try for long."""
    place = urlsplit(address)
    try:
        socket.create_connection((str(place.hostname), int(place.port or 0)), _CONNECT_S).close()
    except OSError as error:
        raise BadInput(
            f"{flag}: no scheduler answers there ({error.strerror or error}); start one: "
            f"dask scheduler --port {place.port}"
        ) from error


async def _closed(client: "Client") -> None:
    # Not wait_for: it would leave a coroutine that was never begun where this is cancelled at once.
    with contextlib.suppress(Exception):  # its scheduler may be gone
        async with asyncio.timeout(_CLOSE_S / 2):
            await client.close()


def _line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__
