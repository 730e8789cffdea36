"""The pool: slots, each with one worker process, deadlines, and what becomes of a lost job. No torch.

A slot is anything with the methods of `Slot`; the future it returns is the standard library's
(PEP 3148). `evaluate` turns every exception into a result, so an exception from a future means that
the worker vanished: the job is *lost*, is tried once more with nothing else running, and only then
recorded as lost.
"""

import time
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol

from evaluate.job import Job, Result

TICK_S = 0.2  # how long `settle` waits at most, so that its caller can look at signals


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
        """Kill the worker, whatever it does, and start another."""

    def stop(self) -> None:
        """Kill the worker."""


@dataclass
class _Running:
    job: Job
    slot: Slot
    future: "Future[Result]"
    submitted_at: float
    retried: bool

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
        self, slots: Sequence[Slot], evaluate: Callable[[Job], Result], timeout: float | None = None
    ) -> None:
        """`timeout` is in seconds per job; a job beyond it is killed with its worker."""
        self.slots, self.evaluate, self.timeout = list(slots), evaluate, timeout
        self._idle = list(reversed(self.slots))
        self._running: dict[Future[Result], _Running] = {}
        self._retries: deque[Job] = deque()
        self._opened_at = time.monotonic()
        self._began_at = min((slot.began_at for slot in self.slots), default=self._opened_at)
        self._busy = defaultdict[str, float](float)  # seconds by status
        self.settled = 0  #: stretches of training that ended here, with whatever result
        self.numbers: set[int] = set()  #: of the jobs that they belong to

    @property
    def free(self) -> int:
        """How many jobs may be submitted now; none while a lost job waits to be tried alone."""
        return 0 if self._retries or any(r.retried for r in self._running.values()) else len(self._idle)

    @property
    def busy(self) -> int:
        """How many jobs are in flight."""
        return len(self._running) + len(self._retries)

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
        self._start(job, retried=False)

    def settle(self, tick: float = TICK_S) -> list[tuple[Job, Result]]:
        """Wait up to `tick` seconds for jobs in flight; return those that have a result, in order of number."""
        if self._retries and not self._running:
            self._start(self._retries.popleft(), retried=True)
        left = [self.timeout - running.seconds() for running in self._running.values()] if self.timeout else []
        done, _ = wait(self._running, timeout=max(0, min([tick, *left])), return_when=FIRST_COMPLETED)
        settled = [self._finish(future) for future in done] + self._kill_overdue()
        pairs = [pair for pair in settled if pair]
        self.settled += len(pairs)
        self.numbers.update(job.number for job, _ in pairs)
        return sorted(pairs, key=lambda pair: pair[0].number)

    def _start(self, job: Job, retried: bool) -> None:
        slot = self._idle.pop()
        try:
            future = slot.submit(self.evaluate, job)
        except RuntimeError:  # its worker died while idle
            slot.restart()
            future = slot.submit(self.evaluate, job)
        self._running[future] = _Running(job, slot, future, time.monotonic(), retried)

    def _release(self, running: _Running, status: str) -> None:
        del self._running[running.future]
        self._busy[status] += time.monotonic() - running.submitted_at
        self._idle.append(running.slot)

    def _finish(self, future: "Future[Result]") -> tuple[Job, Result] | None:
        running = self._running[future]
        error = future.exception()
        self._release(running, "lost" if error else future.result().status)
        if error is None:
            return running.job, future.result()
        running.slot.restart()
        if not running.retried:
            self._retries.append(running.job)
            return None
        message = f"the worker vanished twice, the second time with nothing beside it: {error!r}"
        return running.job, Result("lost", error=message)

    def _kill_overdue(self) -> list[tuple[Job, Result]]:
        if self.timeout is None:
            return []
        late = [
            running
            for running in self._running.values()
            if running.seconds() > self.timeout and not running.future.done()
        ]
        for running in late:
            running.slot.restart()
            self._release(running, "timeout")
        return [(r.job, Result("timeout", error=f"not done after {self.timeout:g} s")) for r in late]

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
