"""Which job runs next. No torch.

The longest-expected job starts first, so that no generation ends with one slot at work; how long it will
take is learned from the results so far. That changes only when a job runs, never what comes of it.
"""

from collections.abc import Iterable

from evaluate.job import Job, Result
from populations.record import Candidate, Record
from populations.search.cost import CostModel
from populations.search.racing import Race, last_epoch


class Schedule:
    """Jobs that wait for a slot, whether new or let on by `race`."""

    def __init__(self, race: Race | None = None, cost: CostModel | None = None) -> None:
        """Begin empty; without `race` every training runs to its end, without `cost` nothing is known of costs."""
        self.race, self.cost = race or Race(), cost or CostModel()
        self.heard = self.copied = 0  #: results, and those of them that were taken over from an equal graph
        self.ended = 0  #: trainings that ended here, with a result
        self.trained = 0.0  #: seconds of training and validation in what left its slot here
        self._waiting: list[Job] = []

    def __len__(self) -> int:
        """How many jobs wait for a slot."""
        return len(self._waiting)

    def open(self) -> list[Job]:
        """Return the jobs that wait for a slot, and those that wait for a verdict of the race."""
        return self._waiting + self.race.paused

    def longest_first(self, candidates: list[Candidate]) -> list[Candidate]:
        """Return `candidates` in the order in which they are to be opened; of equal graphs the lower number first."""
        return sorted(candidates, key=lambda candidate: -self.cost.expected(candidate.model))

    def add(self, job: Job) -> None:
        """Let a new `job` wait for a slot."""
        self._waiting.append(self.race.enter(job))

    def pop(self) -> Job:
        """Take out the job that is to run next: the farthest along, of equals the longest-expected."""

        def urgency(job: Job) -> tuple[int, float, int]:
            return last_epoch(job), self.cost.expected(job.task.model), -job.number

        chosen = max(self._waiting, key=urgency)
        self._waiting.remove(chosen)
        return chosen

    def end(self, stretches: Iterable[tuple[Job, Result]]) -> list[tuple[Job, Result]]:
        """Take in jobs that left their slots; return those that ended, with their results. Others wait again."""
        stretches = list(stretches)
        for job, result in stretches:
            self.trained += sum(row["seconds"] for row in result.curve[len(self.race.curve(job)) :])
        ended, going_on = self.race.judge(stretches)
        self.ended += len(ended)
        self._waiting += going_on
        return ended

    def hear(self, record: Record) -> None:
        """Learn from a result, whether of this session, the journal or the cache."""
        self.heard += 1
        self.copied += record.copied
        self.cost.learn(record)
        self.race.hear(record)
