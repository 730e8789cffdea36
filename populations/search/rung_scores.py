"""By what trainings are ranked at a rung: their accuracy there, or that and what their graphs foretell. No torch.

One accuracy early on is noisy. Every network that reaches a rung has one there, the pruned ones too, so that a model
of the graph can learn what is usual of such networks; the mean of both says better how a training will end (`python
-m benchmarks.searches rungs`). Final scores would be learned from the survivors of the race alone, which is worse.
"""

from collections.abc import Sequence
from typing import ClassVar

from cgp.graph import Graph
from cgp.model import Model
from populations.surrogate import Linear, Seen

FEWEST = 64  #: accuracies that teach: fewer made verdicts better on some networks, and worse on others
STEP = 8  #: what is learned changes with every so many jobs, for that takes longer than to foretell
LATEST = 400  #: accuracies that are learned from at most


class Accuracies:
    """The accuracies at one rung, by job number: each counts as it is."""

    what: ClassVar[str] = "val_accuracy there"  #: for users

    def __init__(self) -> None:
        """Begin with none."""
        self._accuracies: dict[int, float] = {}

    def enter(self, number: int, model: Model, accuracy: float) -> None:
        """Note what job `number`, which trains `model`, scored."""
        self._accuracies[number] = accuracy

    def ranked(self, numbers: Sequence[int]) -> list[float]:
        """Return the scores by which jobs `numbers` are ranked, descending numbers with a noted accuracy each.

        They depend on jobs with lower numbers and these alone, which must all have been noted.
        """
        return [self._accuracies[number] for number in numbers]


class Smoothed(Accuracies):
    """The same, each in a mean with what the graphs of lower numbers foretell of it.

    A model other than a graph counts with its accuracy alone, and teaches nothing.
    """

    what: ClassVar[str] = "its mean with what graphs of earlier networks foretell"

    def __init__(self) -> None:
        """Begin with none."""
        super().__init__()
        self._seen: dict[int, Seen] = {}  # by job number
        self._foretold: dict[int, float] = {}  # by job number: what lower ones foretold, or its accuracy
        self._linear: tuple[int, Linear] | None = None  # the latest, and below which number it learned

    def enter(self, number: int, model: Model, accuracy: float) -> None:
        """Note what job `number`, which trains `model`, scored."""
        super().enter(number, model, accuracy)
        if isinstance(model, Graph):
            self._seen[number] = Seen(model, (accuracy,))

    def ranked(self, numbers: Sequence[int]) -> list[float]:
        """Return the scores by which jobs `numbers` are ranked: means, where enough is known of the first of them."""
        accuracies = super().ranked(numbers)
        if not self._taught(numbers[0]):
            return accuracies
        foretold = [self._foretell(number) for number in reversed(numbers)][::-1]  # so that each model is made once
        return [(own + told) / 2 for own, told in zip(accuracies, foretold, strict=True)]

    def _taught(self, number: int) -> bool:
        return len(self._lessons(number)) >= FEWEST

    def _foretell(self, number: int) -> float:
        if number not in self._foretold:
            seen = self._seen.get(number)
            told = self._model(number).score(seen.graph) if seen and self._taught(number) else None
            self._foretold[number] = self._accuracies[number] if told is None else told
        return self._foretold[number]

    def _model(self, number: int) -> Linear:
        below = _below(number)
        if self._linear is None or self._linear[0] != below:
            self._linear = below, Linear(self._lessons(number))
        return self._linear[1]

    def _lessons(self, number: int) -> list[Seen]:
        """Return what job `number` is foretold from, in order of number."""
        found = list[Seen]()
        for earlier in range(_below(number) - 1, -1, -1):
            if earlier in self._seen:
                found.append(self._seen[earlier])
            if len(found) == LATEST:
                break
        return found[::-1]


def _below(number: int) -> int:
    """Return below which number job `number` is foretold from."""
    return number // STEP * STEP


#: By the word of `--rung-score`.
RUNG_SCORES: dict[str, type[Accuracies]] = {"smoothed": Smoothed, "accuracy": Accuracies}
