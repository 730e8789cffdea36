"""Which job runs next, and whether a paused training goes on. No torch.

The longest-expected job starts first, so that no generation ends with one slot at work; how long it will
take is learned from the results so far. That changes only when a job runs, never what comes of it.
"""

import dataclasses
from collections.abc import Iterator

from evaluate.job import SEARCH, Job, Key, Result
from populations.record import Candidate, Record
from populations.search.cost import CostModel
from populations.search.racing import Race


class Schedule:
    """Jobs that wait for a slot, and trainings that pause at a rung of `race`."""

    def __init__(self, race: Race | None = None, cost: CostModel | None = None) -> None:
        """Begin empty; without `race` every training runs to its end, without `cost` nothing is known of costs."""
        self.race = race
        self.cost = cost or CostModel()
        self.heard = self.copied = 0  #: results, and those of them that were taken over from an equal graph
        self.ended = 0  #: trainings that ended here, with a result
        self.trained = 0.0  #: seconds of training and validation in what ended here
        self._waiting: list[Job] = []
        self._paused: dict[Key, tuple[Job, int, Result]] = {}  # job, rung and result there
        self._latest: dict[Key, Result] = {}  # of trainings beyond their first rung, as of their last one

    def __len__(self) -> int:
        """How many jobs wait for a slot."""
        return len(self._waiting)

    def open(self) -> Iterator[tuple[Job, bool]]:
        """Yield the jobs that wait for a slot, and with True those that wait for a verdict at their rung."""
        yield from ((job, False) for job in self._waiting)
        yield from ((job, True) for job, _, _ in self._paused.values())

    def longest_first(self, candidates: list[Candidate]) -> list[Candidate]:
        """Return `candidates` in the order in which they are to be opened; of equal graphs the lower number first."""
        return sorted(candidates, key=lambda candidate: -self.cost.expected(candidate.model))

    def add(self, job: Job) -> None:
        """Let `job` wait for a slot; with a race it is to pause at the first rung."""
        if self.race and job.stage == SEARCH:
            job = dataclasses.replace(job, until=self.race.rungs[0])
        self._waiting.append(job)

    def pop(self) -> Job:
        """Take out the job that is to run next: the farthest along, of equals the longest-expected."""

        def urgency(job: Job) -> tuple[int, float, int]:
            return job.until or job.epochs, self.cost.expected(job.task.model), -job.number

        chosen = max(self._waiting, key=urgency)
        self._waiting.remove(chosen)
        return chosen

    def end(self, job: Job, result: Result) -> Result | None:
        """Take in how `job` ended in its slot; return its result, or None where it only pauses."""
        reached = self._latest.get(job.key)
        self.trained += sum(row["seconds"] for row in result.curve[len(reached.curve) if reached else 0 :])
        if self.race is None or job.until is None or result.status != "paused":
            self.ended += 1
            return self._with_curve(job, result)
        self._paused[job.key] = job, job.until, result
        self._latest[job.key] = result
        self.race.enter(job.number, job.until, result.curve[job.until - 1]["val_accuracy"])
        return None

    def _with_curve(self, job: Job, result: Result) -> Result:
        """Give a training that broke after a rung the curve it had there: others were judged by it."""
        reached = self._latest.pop(job.key, None)
        return result if reached is None or result.curve else dataclasses.replace(result, curve=reached.curve)

    def prunings(self) -> list[tuple[Job, Result]]:
        """Let paused trainings go on where that is decided, and return those that end at their rung."""
        if self.race is None:
            return []
        pruned = []
        for key, (job, rung, result) in sorted(self._paused.items()):
            went_on = len(result.curve) > rung  # in an earlier session: its weights are farther
            goes_on = went_on or self.race.verdict(job.number, rung)
            if goes_on is None:
                continue
            del self._paused[key]
            if goes_on:
                self._waiting.append(dataclasses.replace(job, until=self.race.after(rung)))
            else:
                del self._latest[key]
                ended = dataclasses.replace(result, status="pruned")
                self.race.leave(job.number, ended, copied=False)
                pruned.append((job, ended))
        self.ended += len(pruned)
        return pruned

    def hear(self, record: Record) -> None:
        """Learn from a result, whether of this session, the journal or the cache."""
        self.heard += 1
        self.copied += record.copied
        self.cost.learn(record)
        if self.race and record.candidate.stage == SEARCH:
            self.race.leave(record.candidate.number, record.result, record.copied)
