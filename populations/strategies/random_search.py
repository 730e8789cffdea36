"""Random search: every candidate a fresh draw. The arm that any search has to beat."""

from typing import ClassVar

import numpy as np

from cgp.genome import Genome
from populations.strategies.breeding import Individual, best_distinct
from populations.strategies.generational import Generational


class RandomSearch(Generational):
    """Draws `population` genomes a generation and remembers the best of all so far."""

    idle: ClassVar[tuple[str, ...]] = ("offspring", "mutation_rate")

    def size(self, generation: int) -> int:
        """How many candidates `generation` has: always the population."""
        return self.settings.population

    def breed(self, rng: np.random.Generator) -> tuple[Genome, None]:
        """Return a fresh draw."""
        return self.draw(rng), None

    def survivors(self, children: list[Individual], rng: np.random.Generator) -> list[Individual]:
        """Return the best of all so far, none of them the same network as another."""
        return best_distinct(self.individuals + children, self.settings.population)
