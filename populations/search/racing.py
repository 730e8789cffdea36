"""Racing: asynchronous successive halving, decided in order of job number. No torch.

Li et al. 2020 (ASHA, arXiv 1810.05934), in the variant that stops rather than waits: a training pauses
at each rung (a number of epochs) and goes on only if its score there is among the best third of the latest
scores at that rung, or the best two where a third is fewer. A job is judged against jobs with lower numbers
alone, once all of them have passed the rung or will never reach it: meanwhile its slot trains another. So the
prunings, and with them the run, are the same with any number of workers, interrupted or not.
"""

from collections.abc import Sequence
from itertools import pairwise

from cgp.errors import BadInput
from evaluate.job import Recipe, Result

KEEP = 3  # one of so many goes on, ...
_FEWEST = 2  # ... but of a few jobs two: all children of one survivor would be its own


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


class Race:
    """The scores (validation accuracy) at every rung, and who goes on."""

    def __init__(self, rungs: Sequence[int], window: int) -> None:
        """`rungs` in epochs, ascending; each score is ranked among the last `window` at its rung."""
        self.rungs, self.window = tuple(rungs), window
        self._scores: dict[int, dict[int, float | None]] = {rung: {} for rung in rungs}  # None: never gets there
        self._settled = dict.fromkeys(rungs, 0)  # jobs below this number have a score, or never will

    def after(self, rung: int) -> int | None:
        """Return the next rung; None behind the last."""
        return next((later for later in self.rungs if later > rung), None)

    def enter(self, number: int, rung: int, score: float) -> None:
        """Note that job `number` reached `rung` with `score`; greater is better."""
        self._scores[rung].setdefault(number, score)

    def leave(self, number: int, result: Result, copied: bool) -> None:
        """Note that job `number` has its result: whatever rung it did not enter, it never will.

        Where the result comes from the journal, its curve says what it scored at the rungs.
        """
        curve = [] if copied else result.curve
        for rung, scores in self._scores.items():
            scores.setdefault(number, curve[rung - 1]["val_accuracy"] if len(curve) >= rung else None)

    def verdict(self, number: int, rung: int) -> bool | None:
        """Return whether job `number` goes on from `rung`; None while a lower number may still come."""
        scores = self._scores[rung]
        while self._settled[rung] in scores:
            self._settled[rung] += 1
        if self._settled[rung] <= number:
            return None
        recent = list[float]()
        for earlier in range(number, -1, -1):
            score = scores[earlier]
            if score is not None:
                recent.append(score)
            if len(recent) == self.window:
                break
        own = recent[0]
        better = sum(score > own for score in recent)
        return better < promoted(len(recent))
