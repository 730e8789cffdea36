"""(mu + lambda): parents by tournament, the best of parents and children survive."""

import numpy as np
from deap import tools

from cgp.genome import Genome
from cgp.mutation import forced
from populations.strategies.generational import Generational, Individual, seed_deap


class MuPlusLambda(Generational):
    """A population of `population`, of which binary tournaments pick the parents of `offspring`."""

    def choose_parent(self, rng: np.random.Generator) -> Individual:
        """Return the winner of a binary tournament."""
        seed_deap(rng)
        winner: Individual = tools.selTournament(self.individuals, k=1, tournsize=2)[0]
        return winner

    def vary(self, parent: Individual, rng: np.random.Generator) -> Genome:
        """Return a child with at least one active gene changed."""
        return forced(parent.genome, self.settings.space, rng, self.settings.mutation_rate)

    def survivors(self, children: list[Individual], rng: np.random.Generator) -> list[Individual]:
        """Return the best of parents and children."""
        best: list[Individual] = tools.selBest(self.individuals + children, self.settings.population)
        return best
