"""NSGA-II (Deb et al. 2002): several objectives, none of them above another.

DEAP sorts into fronts and crowds them by the objectives alone. The job number breaks ties: of equals it puts the
older first, but it never makes one network dominate another.
"""

from typing import ClassVar

import numpy as np
from deap import base, tools

from cgp.genome import Genome
from populations.front import Front
from populations.record import Generation, Record
from populations.strategies.breeding import Individual, Settings, best_distinct, seed_deap
from populations.strategies.generational import Generational


class _Crowded(base.Fitness):  # type: ignore[misc]  # DEAP is untyped
    """How NSGA-II prefers: the lower front, in it the less crowded, of equals the older."""

    weights = (-1.0, 1.0, -1.0)


class _Rival:
    """An individual as DEAP sees it here."""

    def __init__(self, individual: Individual) -> None:
        self.individual = individual
        self.fitness = individual.goals  # DEAP notes its crowding distance in it
        self.crowded = _Crowded()  # once its front is known


class NSGA2(Generational):
    """A population of `population` that spreads over the Pareto front of all objectives.

    Binary tournaments by front, then by crowding, pick the parents of `offspring`; of parents and children the best
    fronts survive, of the last one the least crowded. `best` is the first of the front of all networks so far: the
    best by the first objective.
    """

    races: ClassVar[bool] = False  # a race would end the small networks, whose accuracy is not the best

    def __init__(self, settings: Settings) -> None:
        """Begin before generation 0."""
        super().__init__(settings)
        self._rivals: list[_Rival] = []
        self._front = Front[Record](settings.objectives)

    @property
    def front(self) -> list[Record]:
        """The networks so far that no other dominates, best by the first objective first."""
        return self._front.members

    @property
    def best(self) -> Record | None:
        """The first of the front."""
        return next(iter(self.front), None)

    def tell(self, record: Record) -> list[Generation]:
        """Take in a result; return the generation that it completes, if it does.

        Raises ValueError for a record that was not asked for.
        """
        closed = super().tell(record)
        for individual in self.scored([record]):
            candidate = record.candidate
            self._front.add(record, candidate.model.id, individual.goals.values, candidate.number)
        return closed

    def breed(self, rng: np.random.Generator) -> tuple[Genome, Individual]:
        """Return a child of the winner of a binary tournament."""
        seed_deap(rng)
        (winner,) = tools.selTournament(self._rivals, k=1, tournsize=2, fit_attr="crowded")
        return self.child(winner.individual, rng), winner.individual

    def survivors(self, children: list[Individual], rng: np.random.Generator) -> list[Individual]:
        """Return the survivors of parents and children, front by front, none of them the same network as another."""
        everyone = self.individuals + children
        rivals = [_Rival(individual) for individual in best_distinct(everyone, len(everyone))]
        chosen = tools.selNSGA2(rivals, self.capacity) if rivals else []
        self._rivals = []
        for rank, front in enumerate(tools.sortNondominated(chosen, len(chosen))):
            for rival in front:
                number = rival.individual.record.candidate.number
                rival.crowded.values = (rank, rival.fitness.crowding_dist, number)
            self._rivals += sorted(front, key=lambda rival: rival.individual.fitness, reverse=True)
        return [rival.individual for rival in self._rivals]
