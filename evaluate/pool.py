"""The pool: slots, each with one worker process, deadlines, and what becomes of a lost job. No torch.

A slot is anything with the methods of `Slot`; the future it returns is the standard library's
(PEP 3148). `evaluate` turns every exception into a result, so an exception from a future means that
the worker vanished: the job is *lost*. A job that is lost or runs out of memory is tried once more, with
nothing else running and in another slot where there is one; only then it is believed. A slot whose
worker cannot be started again is retired, and its job goes to another.
"""

import math
import signal
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol

from evaluate.job import Job, Result

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  #: to end a search; workers leave them to the driver
TICK_S = 0.2  # how long `settle` waits at most, so that its caller can look at signals
START_S = 300.0  #: a first worker is up after seconds; one that is not by then hangs in its device's driver
_RESTART_S = 60.0  # the same for a later one, when what it reads is in memory
_STARTS = 2  # in a row that fail before a slot is retired


class NoSlotLeft(Exception):
    """Every slot is retired; the message says why the last one is."""


class Slot(Protocol):
    """A place where one job at a time runs."""

    name: str
    began_at: float  #: `time.monotonic()` when its first worker was begun

    @property
    def ready_at(self) -> float | None:
        """`time.monotonic()` when the worker was up; None until then."""

    def submit(self, function: Callable[[Job], Result], job: Job) -> "Future[Result]":
        """Start `function(job)` in the worker. Raises RuntimeError when the worker has ended."""

    def restart(self) -> None:
        """Kill the worker, whatever it does, and start another. Raises RuntimeError when either cannot be done."""

    def stop(self) -> None:
        """Kill the worker."""


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


@dataclass(frozen=True)
class Usage:
    """Where the slots' time went so far, in seconds."""

    slots: int
    settled: int  #: stretches of training that ended
    wall: float  #: since the first slot began to start its worker
    busy: dict[str, float]  #: of all slots together, by the status that jobs ended in; `running` of those that run


class Pool:
    """Runs `evaluate(job)` on `slots`; use it as a context manager, which ends every worker."""

    def __init__(
        self,
        slots: Sequence[Slot],
        evaluate: Callable[[Job], Result],
        timeout: float | None = None,
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        """`timeout` is in seconds per job; a job beyond it is killed with its worker.

        `say` is given a line for the user when a slot is retired.
        """
        self.slots, self.evaluate, self.timeout, self.say = list(slots), evaluate, timeout, say
        self._idle = list(reversed(self.slots))
        self._running: dict[Future[Result], _Running] = {}
        self._unstarted: deque[Job] = deque()  # whose worker did not come up
        self._retries: deque[tuple[Job, Slot]] = deque()  # to be tried alone, and where they failed
        self._up_by = {slot: slot.began_at + START_S for slot in self.slots}  # when the worker of now must be up
        self._failed_starts = Counter[Slot]()  # in a row
        self._opened_at = time.monotonic()
        self._began_at = min((slot.began_at for slot in self.slots), default=self._opened_at)
        self._busy = defaultdict[str, float](float)  # seconds by status
        self.retired: list[str] = []  #: a line for each slot that takes no more jobs
        self.settled = 0  #: stretches of training that ended here, with whatever result
        self.numbers: set[int] = set()  #: of the jobs that they belong to

    @property
    def free(self) -> int:
        """How many jobs may be submitted now; none while a job waits to be tried alone."""
        if self._retries or any(running.failed_in for running in self._running.values()):
            return 0
        return max(0, len(self._idle) - len(self._unstarted))

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
        wall = time.monotonic() - self._opened_at  # without the workers' start
        return sum(self.usage().busy.values()) / max(1e-9, wall * len(self.slots))

    def usage(self) -> Usage:
        """Return where the slots' time went so far."""
        now = time.monotonic()
        busy = dict(self._busy)
        if self._running:
            busy["running"] = sum(now - running.submitted_at for running in self._running.values())
        return Usage(len(self.slots), self.settled, now - self._began_at, busy)

    def submit(self, job: Job) -> None:
        """Send `job` to a free slot. Raises RuntimeError when there is none."""
        if not self.free:
            raise RuntimeError(f"job {job.number} submitted to a pool with no free slot of {len(self.slots)}")
        self._start(job, None)

    def settle(self, tick: float = TICK_S) -> list[tuple[Job, Result]]:
        """Wait up to `tick` seconds for jobs in flight; return those that have a result, in order of number.

        Raises NoSlotLeft when every slot is retired and there is no result to return.
        """
        while self._unstarted and self._idle:
            self._start(self._unstarted.popleft(), None)
        if self._retries and self._idle and not self._running:
            self._start(*self._retries.popleft())
        left = [self._left(running) for running in self._running.values()]
        done, _ = wait(self._running, timeout=max(0, min([tick, *left])), return_when=FIRST_COMPLETED)
        settled = [self._finish(future) for future in done] + self._end_overdue()
        pairs = [pair for pair in settled if pair]
        if self.retired and not (pairs or self._running or self._idle):
            raise NoSlotLeft(self.retired[-1])
        self.settled += len(pairs)
        self.numbers.update(job.number for job, _ in pairs)
        return sorted(pairs, key=lambda pair: pair[0].number)

    def _start(self, job: Job, failed_in: Slot | None) -> None:
        """Send `job` to an idle slot; it waits where there is none whose worker can be started."""
        while self._idle:
            slot = self._take(failed_in)
            try:
                future = slot.submit(self.evaluate, job)
            except RuntimeError as error:  # its worker died while idle
                self._renew(slot, error)
                continue
            self._running[future] = _Running(job, slot, time.monotonic(), failed_in)
            return
        self._put_back(job, failed_in)

    def _take(self, failed_in: Slot | None) -> Slot:
        """Return an idle slot, best not `failed_in`, and best one whose worker is up."""
        others = [slot for slot in self._idle if slot is not failed_in] or self._idle
        slot = next((slot for slot in reversed(others) if slot.ready_at is not None), others[-1])
        self._idle.remove(slot)
        return slot

    def _put_back(self, job: Job, failed_in: Slot | None) -> None:
        if failed_in is None:
            self._unstarted.appendleft(job)
        else:
            self._retries.appendleft((job, failed_in))

    def _renew(self, slot: Slot, error: BaseException) -> None:
        """Start another worker in `slot`, because of `error`; retire it when none starts or the last does not end."""
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
        left = len(self.slots) - len(self.retired) - 1
        why = str(error).partition("\n")[0]
        self.retired.append(f"{slot.name} is retired, its worker cannot be started again: {why}")
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
        self._busy[status] += time.monotonic() - running.submitted_at

    def _finish(self, future: "Future[Result]") -> tuple[Job, Result] | None:
        running, error = self._running[future], future.exception()
        if error is not None and running.slot.ready_at is None:
            self._end_start(future, error)
            return None
        result = Result("lost", error=f"the worker vanished, with nothing beside it: {error!r}")
        if error is None:
            result = future.result()
        self._release(future, result.status)
        if error is None:
            self._idle.append(running.slot)
        else:
            self._renew(running.slot, error)
        if result.status in ("lost", "oom") and running.failed_in is None:
            self._retries.append((running.job, running.slot))
            return None
        return running.job, result

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
