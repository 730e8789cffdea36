"""The last word on inherited weights: the population is trained once more, from scratch, and ranked by that."""

import dataclasses

from deap import tools

from evaluate.job import FINAL
from populations.record import Candidate, Record
from populations.strategies.afterwards import Afterwards


class FinalRanking(Afterwards):
    """Another strategy's search, then one more generation: its population, trained from scratch.

    Weights that a child inherits were trained longer than its recipe says, so its score says less about
    its graph. Only what is trained from scratch is ranked in the end.
    """

    stage = FINAL

    @property
    def expected(self) -> int:
        """As many as the population has."""
        return len(self.searching.individuals) if self.searching.done else self.searching.capacity

    def finalists(self) -> list[Candidate]:
        """Return the population; its jobs keep their numbers, so that a longer search finds those it has."""
        found = [individual.record.candidate for individual in self.searching.individuals]
        return [
            dataclasses.replace(
                candidate, stage=FINAL, generation=self.generation, parent=candidate.key, heard=None, reason=None
            )
            for candidate in found
        ]

    def rank(self, record: Record) -> None:
        """Rank by the score from scratch."""
        scored = self.scored([record])
        self.hall_of_fame.update(scored)
        self.individuals = tools.selBest(self.individuals + scored, self.settings.population)
