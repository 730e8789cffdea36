"""Jobs that are to be tried once more with nothing beside them, and the machines kept free for that. No torch."""

from collections import Counter, deque
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from evaluate.job import Job
from evaluate.pool.slot import Slot


@dataclass
class Retry:
    """A job that was lost or ran out of memory."""

    job: Job
    failed_in: Slot
    machine: str | None = None  #: that is kept free for it


class Retries:
    """The jobs that wait for a machine of their own, the first in front: a machine is kept for one at a time."""

    def __init__(self) -> None:
        """Begin with none."""
        self._waiting = deque[Retry]()

    def __len__(self) -> int:
        """How many wait."""
        return len(self._waiting)

    @property
    def machines(self) -> set[str]:
        """Those that are kept free."""
        return {retry.machine for retry in self._waiting if retry.machine}

    def add(self, job: Job, failed_in: Slot, in_front: bool = False) -> None:
        """Let `job` wait for a machine."""
        (self._waiting.appendleft if in_front else self._waiting.append)(Retry(job, failed_in))

    def keep(self, slots: Iterable[Slot], running: Counter[str], taken: Collection[str]) -> None:
        """Keep a machine for each job, as far as there are any: one with another slot and with little to wait for.

        `slots` are those that take jobs, `running` says how many jobs run on each machine; the machines `taken`
        have a job that is tried alone.
        """
        if not self._waiting:
            return
        left = [slot for slot in slots if slot.machine not in taken]
        for retry in self._waiting:
            retry.machine = retry.machine if any(slot.machine == retry.machine for slot in left) else None
        left = [slot for slot in left if slot.machine not in self.machines]
        for retry in [retry for retry in self._waiting if retry.machine is None]:
            best = min(left, key=lambda slot: (slot is retry.failed_in, running[slot.machine]), default=None)
            if best is None:
                return
            retry.machine = best.machine
            left = [slot for slot in left if slot.machine != best.machine]

    def startable(self, running: Counter[str]) -> Iterator[Retry]:
        """Take out and yield each job whose machine has nothing else to do."""
        for retry in [retry for retry in self._waiting if retry.machine and not running[retry.machine]]:
            self._waiting.remove(retry)
            yield retry
