"""The last word on a search's winners: each is trained again on fresh seeds and for longer, and the mean decides.

The highest of many short scores is biased upwards, since it was selected; the mean of runs that selection has not
seen is not.
"""

from dataclasses import replace
from statistics import fmean

from evaluate.job import CONFIRMED, DataSpec, Goal, Key, Recipe, Train
from populations.record import Candidate, Record
from populations.strategies.afterwards import Afterwards
from populations.strategies.breeding import Individual, Strategy, best_distinct

SEEDS = 2  #: trainings of each winner
LONGER = 4  #: times as many epochs as in the search


class Confirmation(Afterwards):
    """Another strategy's search, then its `top` networks again, `SEEDS` times each and `LONGER` times as long.

    The best is the one of the search whose mean is highest, the order of the search breaking ties.
    """

    stage = CONFIRMED

    def __init__(
        self, searching: Strategy, top: int, trained: Recipe, data: DataSpec, goals: tuple[Goal, ...] = ()
    ) -> None:
        """`trained` is the recipe of the search, whose networks `goals` measure."""
        super().__init__(searching)
        self.top, self.data, self.goals = top, data, goals
        self.trained = replace(trained, epochs=LONGER * trained.epochs)
        self._scores: dict[Key | None, list[float]] = {}  # by winner

    @property
    def expected(self) -> int:
        """All trainings of as many winners as there are."""
        return SEEDS * (len(self.winners) if self.searching.done else min(self.top, self.searching.capacity))

    @property
    def unraced_work(self) -> float:
        """As many as those of the search, and each finalist so many times."""
        return self.searching.unraced_work + LONGER * (self.unraced - self.searching.unraced)

    @property
    def winners(self) -> list[Individual]:
        """The best of the search, each graph once."""
        return best_distinct(self.searching.individuals, self.top)

    @property
    def means(self) -> list[tuple[Record, float, int]]:
        """Each winner that was confirmed, its mean weighted first objective and of how many trainings; best first."""
        found = [
            (winner.record, fmean(scores), len(scores))
            for winner in self.winners
            if (scores := self._scores.get(winner.record.candidate.key))
        ]
        return sorted(found, key=lambda one: -one[1])

    @property
    def best(self) -> Record | None:
        """The winner with the highest mean once all are told; before that, the best of the search."""
        return self.means[0][0] if self.done and self.means else self.searching.best

    def finalists(self) -> list[Candidate]:
        """Return the trainings of each winner; their numbers follow from its own: a longer search finds them."""
        return [
            Candidate(
                SEEDS * known.number + seed,
                self.generation,
                known.key,
                known.genome,
                known.model,
                stage=CONFIRMED,
                task=Train(known.model, self.trained, self.data, goals=self.goals),
            )
            for known in (winner.record.candidate for winner in self.winners)
            for seed in range(SEEDS)
        ]

    def rank(self, record: Record) -> None:
        """Note a score."""
        scored = self.scored([record])
        self.individuals = best_distinct([*self.individuals, *scored], self.top)
        for individual in scored:
            self._scores.setdefault(record.candidate.parent, []).append(individual.score[0])
