"""The last word on inherited weights: the population is trained once more, from scratch, and ranked by that."""

import dataclasses

from deap import tools

from evaluate.job import FINAL
from populations.record import Candidate, Generation, History, Record
from populations.strategies.breeding import Strategy


class FinalRanking(Strategy):
    """Another strategy's search, then one more generation: its population, trained from scratch.

    Weights that a child inherits were trained longer than its recipe says, so its score says less about
    its graph. Only what is trained from scratch is ranked in the end.
    """

    def __init__(self, searching: Strategy) -> None:
        """Follow the whole search of `searching`."""
        super().__init__(searching.settings)
        self.searching = searching
        self.turned_away = searching.turned_away
        self._finalists: list[Candidate] | None = None  # None while the search goes on
        self._told: dict[int, Record] = {}

    @property
    def total(self) -> int:
        """How many networks the search asks for, and its finalists."""
        finalists = len(self.searching.individuals) if self.searching.done else self.searching.capacity
        return self.searching.total + finalists

    @property
    def unraced(self) -> int:
        """The finalists."""
        return self.total - self.searching.total

    @property
    def done(self) -> bool:
        """Whether every finalist is told."""
        return self.searching.done and len(self._told) == len(self.searching.individuals)

    @property
    def best(self) -> Record | None:
        """The best finalist so far; before that, the best of the search."""
        return super().best or self.searching.best

    @property
    def heeds_arrival(self) -> bool:
        """As the search does."""
        return self.searching.heeds_arrival

    def recall(self, history: History) -> None:
        """Hand it on to the search; the final ranking has no order."""
        self.searching.recall(history)

    def ask(self, n: int) -> list[Candidate]:
        """Return candidates of the search, and once it is done all finalists."""
        if not self.searching.done:
            return self.searching.ask(n)
        if self._finalists is not None:
            return []
        found = [individual.record.candidate for individual in self.searching.individuals]
        self._finalists = [
            dataclasses.replace(
                candidate,
                stage=FINAL,
                generation=self.settings.generations,
                parent=candidate.key,
                heard=None,
            )
            for candidate in found
        ]
        return self._finalists

    def tell(self, record: Record) -> list[Generation]:
        """Take in a result; return the generations that it completes.

        Raises ValueError for a record that was not asked for.
        """
        number = record.candidate.number
        if record.candidate.stage != FINAL:
            return self.searching.tell(record)
        if number in self._told or number not in {candidate.number for candidate in self._finalists or []}:
            raise ValueError(f"told of job {number}, which the final ranking does not wait for")
        self._told[number] = record
        scored = self.scored([record])
        self.hall_of_fame.update(scored)
        self.individuals = tools.selBest(self.individuals + scored, self.settings.population)
        if not self.done:
            return []
        return [self.log(self.settings.generations, [self._told[number] for number in sorted(self._told)])]
