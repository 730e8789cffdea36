"""(mu + lambda): parents by tournament, the best of parents and children survive."""

import numpy as np
from deap import tools

from cgp.genome import Genome
from populations.strategies.breeding import Individual, best_distinct, seed_deap
from populations.strategies.generational import Generational


class MuPlusLambda(Generational):
    """A population of `population`, of which binary tournaments pick the parents of `offspring`."""

    def breed(self, rng: np.random.Generator) -> tuple[Genome, Individual]:
        """Return a child of the winner of a binary tournament."""
        seed_deap(rng)
        winner: Individual = tools.selTournament(self.individuals, k=1, tournsize=2)[0]
        return self.child(winner, rng), winner

    def survivors(self, children: list[Individual], rng: np.random.Generator) -> list[Individual]:
        """Return the best of parents and children, none of them the same network as another."""
        return best_distinct(self.individuals + children, self.settings.population)
