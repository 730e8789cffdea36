"""Racing: asynchronous successive halving, decided in order of job number. No torch.

Li et al. 2020 (ASHA, arXiv 1810.05934), in the variant that stops rather than waits: a training pauses
at each rung (a number of epochs) and goes on only if its score there is among the best third of the latest
scores at that rung, or the best two where a third is fewer; `rung_scores` says what a score is. A job is judged
against jobs with lower numbers alone, once all of them have passed the rung or will never reach it: meanwhile its
slot trains another. So the prunings, and with them the run, are the same with any number of workers, interrupted
or not.

A worker knows no race: it is sent a job that says at which epoch to pause (`Job.until`), and answers `paused`.
On the driver's side these two are used here alone.
"""

import dataclasses
from collections.abc import Iterable, Sequence
from itertools import islice, pairwise
from typing import NamedTuple

from cgp.errors import BadInput
from cgp.model import Model
from evaluate.job import SEARCH, Job, Key, Recipe, Result
from populations.record import Record
from populations.search.rung_scores import Accuracies

KEEP = 3  # one of so many goes on, ...
_FEWEST = 2  # ... but of a few jobs two: all children of one survivor would be its own

Curve = list[dict[str, float]]  # of a Result


def default_rungs(epochs: int) -> tuple[int, ...]:
    """Return the rungs of a recipe of `epochs`: a ninth and a third of it, where these are epochs."""
    return tuple(sorted({max(1, epochs // KEEP**power) for power in (1, 2)} - {epochs}))


def rungs_of(text: str | None, recipe: Recipe) -> tuple[int, ...]:
    """Return the rungs that `--rungs` asks for, or the recipe's own: none where it has one epoch.

    Raises BadInput unless they are ascending epochs below the recipe's.
    """
    if text is None:
        return default_rungs(recipe.epochs)
    try:
        rungs = tuple(int(word) for word in text.split(","))
    except ValueError as error:
        raise BadInput(f"--rungs: {text!r}; expected epochs with commas, such as 1,2") from error
    if list(rungs) != sorted(set(rungs)) or rungs[0] < 1 or rungs[-1] >= recipe.epochs:
        raise BadInput(
            f"--rungs: {text}; expected ascending epochs of 1..{recipe.epochs - 1}, "
            f"fewer than the recipe's --epochs {recipe.epochs}"
        )
    return rungs


def promoted(count: int) -> int:
    """Return how many of `count` scores at a rung are good enough to go on."""
    return max(_FEWEST, -(-count // KEEP))


def passing_share(jobs: int, window: int) -> float:
    """Return the share of `jobs` that goes on from a rung, where each is ranked among the last `window` there.

    That is so on average where scores come in no particular order and none are equal.
    """
    early = [min(1.0, promoted(place) / place) for place in range(1, min(jobs, window) + 1)]
    return (sum(early) + (jobs - len(early)) * early[-1]) / jobs


def expected_epochs(rungs: Sequence[int], epochs: int, share: float, begin: int = 0) -> float:
    """Return the epochs that a training of `epochs` still takes on average once it has `begin` of them.

    `share` is that of the trainings which go on from a rung.
    """
    chance, expected = 1.0, 0.0
    for start, end in pairwise((begin, *(rung for rung in rungs if rung > begin), epochs)):
        expected += chance * (end - start)
        chance *= share
    return expected


def last_epoch(job: Job) -> int:
    """Return the epoch with which `job` leaves its slot: that of a rung, or the recipe's last."""
    return job.until or job.epochs


class Rung:
    """What jobs scored at one rung (greater is better), and which of them go on."""

    def __init__(self, rung: int, window: int, scores: Accuracies) -> None:
        """Each score, as `scores` has it, is ranked among the last `window`."""
        self._rung, self._window = rung, window
        self._scores = scores
        self._reached: dict[int, bool] = {}  # by job number: whether it has a score, or will never have one
        self._settled = 0  # jobs below this number are in `_reached`

    def enter(self, number: int, model: Model, curve: Curve) -> None:
        """Note what job `number` scored, or that it never gets here, as `curve` says; what was noted once stays."""
        if number in self._reached:
            return
        self._reached[number] = len(curve) >= self._rung
        if self._reached[number]:
            self._scores.enter(number, model, curve[self._rung - 1]["val_accuracy"])

    def verdict(self, number: int) -> bool | None:
        """Return whether job `number`, which has a score, goes on; None while a lower number may still come."""
        while self._settled in self._reached:
            self._settled += 1
        if self._settled <= number:
            return None
        recent = list(islice((one for one in range(number, -1, -1) if self._reached[one]), self._window))
        own, *others = self._scores.ranked(recent)
        return sum(score > own for score in others) < promoted(len(recent))


class Verdicts(NamedTuple):
    """What becomes of trainings that left their slots."""

    ended: list[tuple[Job, Result]]  #: with the result to record, `pruned` where the race ends them
    going_on: list[Job]  #: to be sent again, each up to its next rung


class Race:
    """Where trainings pause and which of them go on; without rungs none pauses.

    It is told of each stretch of training that ended in a slot and of each result that is recorded. Jobs of other
    stages than the search's pause nowhere, and nobody waits for them.
    """

    def __init__(self, rungs: Sequence[int] = (), window: int = 1, scores: type[Accuracies] = Accuracies) -> None:
        """`rungs` in epochs, ascending; each score, as `scores` has it, is ranked among the last `window` there."""
        self.rungs, self.window = tuple(rungs), window
        self._scores = {rung: Rung(rung, window, scores()) for rung in rungs}
        self._paused: dict[Key, tuple[Job, int]] = {}  # job, and the rung where it waits for its verdict
        self._latest: dict[Key, Result] = {}  # of trainings that came to a rung and have not ended, as of their last

    @property
    def paused(self) -> list[Job]:
        """The jobs that wait for their verdict."""
        return [job for job, _ in self._paused.values()]

    def enter(self, job: Job) -> Job:
        """Return `job` as a worker is to be sent it first: up to the first rung."""
        return self._onwards(job, 0) if job.stage == SEARCH else job

    def _onwards(self, job: Job, epoch: int) -> Job:
        return dataclasses.replace(job, until=next((rung for rung in self.rungs if rung > epoch), None))

    def judge(self, stretches: Iterable[tuple[Job, Result]]) -> Verdicts:
        """Take in jobs that left their slot, each with what the worker answered; return what follows."""
        ended = [(job, final) for job, result in stretches if (final := self._final(job, result))]
        pruned, going_on = self._verdicts()
        return Verdicts(ended + pruned, going_on)

    def _final(self, job: Job, result: Result) -> Result | None:
        """Return the result of a job that left its slot; None where it came to a rung, which is noted."""
        if job.until is None or result.status != "paused":
            known = self.curve(job)
            self._latest.pop(job.key, None)
            # One that broke after a rung keeps the curve that others were judged by.
            return dataclasses.replace(result, curve=result.curve or known)
        self._paused[job.key] = job, job.until
        self._latest[job.key] = result
        self._scores[job.until].enter(job.number, job.task.model, result.curve)
        return None

    def _verdicts(self) -> Verdicts:
        """Give the verdicts that can be given, in order of number: a higher one may wait for that of a lower."""
        pruned, going_on = list[tuple[Job, Result]](), list[Job]()
        for key, (job, rung) in sorted(self._paused.items()):
            goes_on = self._goes_on(job, rung)
            if goes_on is None:
                continue
            del self._paused[key]
            if goes_on:
                going_on.append(self._onwards(job, rung))
            else:
                pruned.append((job, self._pruned(job)))
        return Verdicts(pruned, going_on)

    def _goes_on(self, job: Job, rung: int) -> bool | None:
        # One that went on in an earlier session is not judged again: its weights are beyond the rung.
        return len(self.curve(job)) > rung or self._scores[rung].verdict(job.number)

    def _pruned(self, job: Job) -> Result:
        result = dataclasses.replace(self._latest.pop(job.key), status="pruned")
        self._leave(job.number, job.task.model, result.curve)
        return result

    def hear(self, record: Record) -> None:
        """Take in a recorded result: of this session, of the journal, or taken over from an equal graph.

        Its job comes to no rung any more. Those that it came to, in an earlier session say, are seen in its curve.
        """
        if record.candidate.stage == SEARCH:
            candidate = record.candidate
            self._leave(candidate.number, candidate.model, [] if record.copied else record.result.curve)

    def _leave(self, number: int, model: Model, curve: Curve) -> None:
        for scores in self._scores.values():
            scores.enter(number, model, curve)

    def curve(self, job: Job) -> Curve:
        """Return the curve of an open `job` as of its last rung; empty where it came to none in this session."""
        latest = self._latest.get(job.key)
        return latest.curve if latest else []

    def epochs_left(self, job: Job, share: float) -> float:
        """Return the epochs that an open `job` still takes on average from where it was sent or paused.

        `share` is that of the trainings which go on from a rung.
        """
        if job.stage != SEARCH:
            return job.epochs
        if job.key in self._paused:
            return share * expected_epochs(self.rungs, job.epochs, share, last_epoch(job))
        begun = max((rung for rung in self.rungs if rung < last_epoch(job)), default=0)
        return expected_epochs(self.rungs, job.epochs, share, begun)
