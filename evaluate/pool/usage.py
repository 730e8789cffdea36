"""Where the time of a pool's slots goes, also where slots come and go meanwhile. No torch."""

import time
from collections import defaultdict
from dataclasses import dataclass


@dataclass(frozen=True)
class Usage:
    """Where the slots' time went so far, in seconds."""

    slots: float  #: on average, where slots came and went
    settled: int  #: stretches of training that ended
    wall: float  #: since the first slot began to start its worker
    busy: dict[str, float]  #: of all slots together, by the status that jobs ended in; `running` of those that run


class Meter:
    """Adds up what slots offered and what of it was used."""

    def __init__(self, slots: int, began_at: float) -> None:
        """Begin with `slots`, the first of which began to start at `began_at`, of `time.monotonic()`."""
        self._slots, self._began_at, self._changed_at = slots, began_at, began_at
        self._before = 0.0  # slot-seconds that were offered until the number of slots changed last
        self._constant = True
        self._busy = defaultdict[str, float](float)
        self._opened = self._offered(time.monotonic())  # without the workers' start

    def now_of(self, slots: int) -> None:
        """Count `slots` from now on."""
        now = time.monotonic()
        self._before, self._changed_at = self._offered(now), now
        self._slots, self._constant = slots, False

    def add(self, status: str, seconds: float) -> None:
        """Book the seconds of a job that ended."""
        self._busy[status] += seconds

    def usage(self, settled: int, running: list[float]) -> Usage:
        """Return where the time went, with the seconds so far of the jobs that run."""
        now, busy = time.monotonic(), dict(self._busy)
        if running:
            busy["running"] = sum(running)
        wall = now - self._began_at
        slots = self._slots if self._constant else self._offered(now) / max(1e-9, wall)
        return Usage(slots, settled, wall, busy)

    def share(self, busy: float) -> float:
        """Return the share that `busy` seconds are of what was offered since this began, 0..1."""
        return busy / max(1e-9, self._offered(time.monotonic()) - self._opened)

    def _offered(self, now: float) -> float:
        return self._before + self._slots * (now - self._changed_at)
