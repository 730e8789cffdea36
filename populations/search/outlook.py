"""How far a search is, and how long it still takes: by its cost model, and by its slots so far. No torch."""

from dataclasses import dataclass

from evaluate.job import Job
from evaluate.pool.pool import Pool
from populations.record import Record
from populations.search.racing import expected_epochs, passing_share
from populations.search.schedule import Schedule
from populations.strategies import Strategy


@dataclass(frozen=True)
class Standing:
    """How far a search is, at one moment."""

    total: int  #: networks of the whole search
    ended: int  #: trainings that ended in this session
    best: Record | None
    seconds_left: float | None  #: None while nothing is known of any network
    busy: float  #: share of the slots' time in which they ran a job, 0..1
    running: tuple[tuple[str, Job, float], ...]  #: by slot: its name, its job, and the job's seconds so far


class Outlook:
    """What is left of a search, at any moment."""

    def __init__(self, schedule: Schedule, pool: Pool, strategy: Strategy, epochs: int) -> None:
        """`epochs` are the recipe's."""
        self._schedule, self._pool, self._strategy, self._epochs = schedule, pool, strategy, epochs
        self._race = schedule.race
        self._share = passing_share(strategy.total, self._race.window)
        self._each = expected_epochs(self._race.rungs, epochs, self._share)  # epochs of a raced training, on average
        self._whole = epochs * strategy.unraced_work / max(1, strategy.unraced)  # and of one that is not raced

    def standing(self) -> Standing:
        """Return how far the search is now."""
        pool, strategy = self._pool, self._strategy
        ended, left = self._schedule.ended, self.seconds_left()
        return Standing(strategy.total, ended, strategy.best, left, pool.busy_share, tuple(pool.running))

    def seconds_left(self) -> float | None:
        """Return the seconds that the search is expected to go on; None while nothing is known of any network.

        It goes on at least until the longest of the open trainings has ended, however many slots are free.
        """
        mean = self._schedule.cost.mean
        if mean is None:
            return None
        factor = self._overhead(mean)
        running = [max(0.0, factor * self._seconds(job) - taken) for _, job, taken in self._pool.running]
        waiting = [factor * self._seconds(job) for job in self._schedule.open()]
        unasked = max(0, self._strategy.total - self._schedule.heard - len(running) - len(waiting))
        unraced = min(unasked, self._strategy.unraced)
        copied = self._schedule.copied / max(1, self._schedule.heard)  # as many as so far need no training
        epochs = (unasked - unraced) * (1 - copied) * self._each + unraced * self._whole
        work = sum(running) + sum(waiting) + factor * mean * epochs
        return max([work / max(1, len(self._pool.slots)), *running, *waiting])

    def _seconds(self, job: Job) -> float:
        """Return the seconds of training that `job` still takes where it runs, or waits for a slot or a verdict."""
        return self._race.epochs_left(job, self._share) * self._schedule.cost.expected(job.task.model)

    def _overhead(self, mean: float) -> float:
        """Return a slot's seconds for each second of training: as forecast, until trainings here say better."""
        usage = self._pool.usage().busy
        busy = sum(seconds for status, seconds in usage.items() if status != "running")
        weight = mean * self._each  # the forecast counts as one training
        if weight <= 0:
            return self._schedule.cost.overhead
        return (weight * self._schedule.cost.overhead + busy) / (weight + self._schedule.trained)
