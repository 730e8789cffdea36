"""The pool: slots, each with one worker, deadlines, and what becomes of a lost job. No torch.

A slot is anything with the methods of `Slot`; the future it returns is the standard library's
(PEP 3148). `evaluate` turns every exception into a result, so an exception from a future means that
the worker vanished: the job is *lost*. A job that is lost or runs out of memory is tried once more, with
nothing else running on that machine and in another slot where there is one; only then it is believed. A slot whose
worker cannot be started again is retired, and its job goes to another. Where slots come and go, one that is gone
costs its job nothing but time.
"""

import math
import signal
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from types import TracebackType

from evaluate.job import Job, Key, Result
from evaluate.pool.retries import Retries
from evaluate.pool.slot import START_S, Cluster, Slot, names
from evaluate.pool.usage import Meter, Usage

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  #: to end a search; workers leave them to the driver
TICK_S = 0.2  # how long `settle` waits at most, so that its caller can look at signals
_RESTART_S = 60.0  # until a later worker is up, when what it reads is in memory
_STARTS = 2  # in a row that fail before a slot is retired
_MOVES = 3  # slots that may go with the same job before the job is blamed for it


class NoSlotLeft(Exception):
    """Every slot is retired; the message, one line, says why the last one is and what to do."""


@dataclass
class _Running:
    job: Job
    slot: Slot
    submitted_at: float
    failed_in: Slot | None  # where it was lost or out of memory; it is now tried alone

    def seconds(self) -> float:
        """How long the job has run: a worker's own start-up is not the job's time."""
        ready_at = self.slot.ready_at
        return 0.0 if ready_at is None else time.monotonic() - max(self.submitted_at, ready_at)


class Pool:
    """Runs `evaluate(job)` on `slots`; use it as a context manager, which ends every worker."""

    def __init__(
        self,
        slots: Sequence[Slot],
        evaluate: Callable[[Job], Result],
        timeout: float | None = None,
        say: Callable[[str], None] = lambda line: None,
        cluster: Cluster | None = None,
    ) -> None:
        """`timeout` is in seconds per job; a job beyond it is killed with its worker.

        `say` is given a line for the user when slots are retired or come and go, as they do in a `cluster`.
        """
        self.slots, self.evaluate, self.timeout, self.say = list(slots), evaluate, timeout, say
        self._cluster = cluster
        self._idle = list(reversed(self.slots))
        self._running: dict[Future[Result], _Running] = {}
        self._unstarted: deque[Job] = deque()  # whose worker did not come up, or went
        self._retries = Retries()
        self._up_by = {slot: slot.began_at + START_S for slot in self.slots}  # when the worker of now must be up
        self._failed_starts = Counter[Slot]()  # in a row
        self._moves = Counter[Key]()  # slots that went with a job
        self._meter = Meter(len(slots), min((slot.began_at for slot in slots), default=time.monotonic()))
        self._slotless_since: float | None = None
        self.retired: list[str] = []  #: a line for each slot that takes no more jobs
        self.settled = 0  #: stretches of training that ended here, with whatever result

    @property
    def free(self) -> int:
        """How many jobs may be submitted now; a machine where a job is to be tried alone has no room."""
        return max(0, len(self._open()) - len(self._unstarted))

    def _open(self) -> list[Slot]:
        """Return the idle slots that any job may go to."""
        kept = self._retries.machines | self._tried_alone()
        return [slot for slot in self._idle if slot.machine not in kept and not slot.retired]

    @property
    def busy(self) -> int:
        """How many jobs are in flight."""
        return len(self._running) + len(self._unstarted) + len(self._retries)

    @property
    def running(self) -> list[tuple[str, Job, float]]:
        """Name of slot, job and its seconds so far, for each job that runs, in order of slot."""
        found = {running.slot.name: (running.job, running.seconds()) for running in self._running.values()}
        return [(slot.name, *found[slot.name]) for slot in self.slots if slot.name in found]

    @property
    def busy_share(self) -> float:
        """Share of the slots' time so far in which they ran a job, 0..1."""
        return self._meter.share(sum(self.usage().busy.values()))

    def usage(self) -> Usage:
        """Return where the slots' time went so far."""
        now = time.monotonic()
        return self._meter.usage(self.settled, [now - running.submitted_at for running in self._running.values()])

    def submit(self, job: Job) -> None:
        """Send `job` to a free slot. Raises RuntimeError when there is none."""
        if not self.free:
            raise RuntimeError(f"job {job.number} submitted to a pool with no free slot of {len(self.slots)}")
        self._start(job, None)

    def settle(self, tick: float = TICK_S) -> list[tuple[Job, Result]]:
        """Wait up to `tick` seconds for jobs in flight; return those that have a result, in order of number.

        Raises NoSlotLeft when every slot is retired, no other has come in time, and there is no result to return.
        """
        self._meet_cluster()
        while self._unstarted and self._open():
            self._start(self._unstarted.popleft(), None)
        self._retry()
        if self._cluster and not self._running and not self._idle:
            time.sleep(tick)  # until a slot joins
        left = [self._left(running) for running in self._running.values()]
        done, _ = wait(self._running, timeout=max(0, min([tick, *left])), return_when=FIRST_COMPLETED)
        settled = [self._finish(future) for future in done] + self._end_overdue()
        pairs = [pair for pair in settled if pair]
        self._keep_machines()
        if not pairs:
            self._end_without_slots()
        self.settled += len(pairs)
        return sorted(pairs, key=lambda pair: pair[0].number)

    def _meet_cluster(self) -> None:
        """Take in the slots that joined, and leave out those whose place is gone."""
        if self._cluster is None:
            return
        gone = [slot for slot in self._idle if slot.retired]
        self._idle = [slot for slot in self._idle if not slot.retired]
        for slot in gone:
            self._drop(slot)
        joined = self._cluster.joined()
        for slot in joined:
            self._up_by[slot] = slot.began_at + START_S
            self._idle.insert(0, slot)
            self.slots.append(slot)
        if joined:
            self._slotless_since = None
            self._meter.now_of(len(self.slots))
            self.say(f"{names(joined)} joined; {self._count()} now")

    def _drop(self, slot: Slot) -> None:
        """Leave out a slot whose place is gone."""
        self.slots.remove(slot)
        self._meter.now_of(len(self.slots))
        self.retired.append(f"{slot.name} is gone: {slot.retired}")
        self.say(f"{self.retired[-1]}; {self._count()} left")

    def _count(self) -> str:
        return f"{len(self.slots)} slot{'s' * (len(self.slots) != 1)}"

    def _end_without_slots(self) -> None:
        """Raise NoSlotLeft when every slot is retired and no other came in time."""
        if self._running or self._idle or not self.retired:
            return
        flag, patience = (self._cluster.flag, self._cluster.patience) if self._cluster else ("--devices", 0.0)
        now = time.monotonic()
        if self._slotless_since is None:
            self._slotless_since = now
            if patience:
                self.say(f"no slot is left; waiting {patience:g} s for another")
        if now >= self._slotless_since + patience:
            what = "start Dask workers" if self._cluster else "check the devices"
            raise NoSlotLeft(f"{flag}: no slot is left: {self.retired[-1]}; {what}")

    def _start(self, job: Job, failed_in: Slot | None, machine: str | None = None) -> None:
        """Send `job` to a slot, of `machine` alone where one is named; it waits where no worker can be started."""
        while places := self._open() if machine is None else self._idle_on(machine):
            slot, submitted_at = self._take(places, failed_in), time.monotonic()
            try:
                future = slot.submit(self.evaluate, job)
            except RuntimeError as error:  # its worker died while idle
                self._renew(slot, error)
                continue
            self._running[future] = _Running(job, slot, submitted_at, failed_in)
            return
        self._put_back(job, failed_in)

    def _take(self, places: list[Slot], failed_in: Slot | None) -> Slot:
        """Return one of `places`, best not `failed_in`, and best one whose worker is up; it is idle no more."""
        others = [slot for slot in places if slot is not failed_in] or places
        slot = next((slot for slot in reversed(others) if slot.ready_at is not None), others[-1])
        self._idle.remove(slot)
        return slot

    def _idle_on(self, machine: str) -> list[Slot]:
        return [slot for slot in self._idle if slot.machine == machine and not slot.retired]

    def _put_back(self, job: Job, failed_in: Slot | None) -> None:
        if failed_in is None:
            self._unstarted.appendleft(job)
        else:
            self._retries.add(job, failed_in, in_front=True)

    def _retry(self) -> None:
        """Start each job that is to be tried alone and whose machine has nothing else to do any more."""
        self._keep_machines()
        for retry in self._retries.startable(self._load()):
            self._start(retry.job, retry.failed_in, retry.machine)

    def _keep_machines(self) -> None:
        if self._retries:
            slots = [slot for slot in self.slots if not slot.retired]
            self._retries.keep(slots, self._load(), self._tried_alone())

    def _load(self) -> Counter[str]:
        """Return how many jobs run on each machine."""
        return Counter(running.slot.machine for running in self._running.values())

    def _tried_alone(self) -> set[str]:
        return {running.slot.machine for running in self._running.values() if running.failed_in}

    def _renew(self, slot: Slot, error: BaseException) -> None:
        """Start another worker in `slot`, because of `error`; retire it when none starts or the last does not end."""
        if slot.retired:
            self._drop(slot)
            return
        self._failed_starts[slot] = 0 if slot.ready_at is not None else self._failed_starts[slot] + 1
        if self._failed_starts[slot] < _STARTS:
            try:
                slot.restart()
            except RuntimeError as cannot:
                error = cannot
            else:
                self._up_by[slot] = time.monotonic() + _RESTART_S
                self._idle.append(slot)
                return
        slot.stop()
        slot.retired = f"its worker cannot be started again: {str(error).partition(chr(10))[0]}"
        self.retired.append(f"{slot.name} is retired, {slot.retired}")
        left = sum(not slot.retired for slot in self.slots)
        self.say(f"{self.retired[-1]}; {left} of {len(self.slots)} slots left")

    def _left(self, running: _Running) -> float:
        """Return the seconds until a job, or before it the start of its worker, is overdue."""
        now, ready_at = time.monotonic(), running.slot.ready_at
        if ready_at is None:
            return self._up_by[running.slot] - now
        # A worker's own start is not the job's time.
        return math.inf if self.timeout is None else max(running.submitted_at, ready_at) + self.timeout - now

    def _release(self, future: "Future[Result]", status: str) -> None:
        running = self._running.pop(future)
        self._meter.add(status, time.monotonic() - running.submitted_at)

    def _finish(self, future: "Future[Result]") -> tuple[Job, Result] | None:
        running, error = self._running[future], future.exception()
        slot, job = running.slot, running.job
        if error is not None and slot.retired and self._moves[job.key] < _MOVES:
            self._moves[job.key] += 1
            self._release(future, "lost")
            self._put_back(job, running.failed_in)
            self._drop(slot)
            return None
        if error is not None and slot.ready_at is None and not slot.retired:
            self._end_start(future, error)
            return None
        result = Result("lost", error=f"the worker vanished, with nothing beside it: {error!r}")
        if error is None:
            result = future.result()
        self._release(future, result.status)
        if error is None and not slot.retired:
            self._idle.append(slot)
        else:
            self._renew(slot, error or RuntimeError())
        if result.status in ("lost", "oom") and running.failed_in is None:
            self._retries.add(job, slot)
            return None
        return job, result

    def _end_start(self, future: "Future[Result]", error: BaseException) -> None:
        """Give up a worker that did not come up; its job is none the worse."""
        running = self._running.pop(future)
        self._put_back(running.job, running.failed_in)
        self._renew(running.slot, error)

    def _end_overdue(self) -> list[tuple[Job, Result]]:
        """End what is beyond its deadline. A job that has just answered was in time."""
        ended = []
        for future, running in list(self._running.items()):
            if self._left(running) > 0 or future.done():
                continue
            if running.slot.ready_at is None:
                self._end_start(future, TimeoutError("it was not up in time"))
                continue
            self._release(future, "timeout")
            result = Result("timeout", error=f"not done after {self.timeout:g} s")
            self._renew(running.slot, TimeoutError(result.error))
            ended.append((running.job, result))
        return ended

    def close(self) -> None:
        """End every worker at once."""
        for slot in self.slots:
            slot.stop()

    def __enter__(self) -> "Pool":
        """Return the pool itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End every worker."""
        self.close()
