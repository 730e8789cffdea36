"""(1 + lambda) with neutral drift (Suganuma et al. 2017)."""

import dataclasses

import numpy as np
from deap import tools

from cgp.genome import Genome
from cgp.mutation import neutral
from populations.strategies.breeding import Individual
from populations.strategies.generational import Generational


class OnePlusLambda(Generational):
    """One parent, `offspring` children a generation; a strictly better child takes its place.

    Otherwise the parent's silent genes drift, which changes no network but what its children may be.
    `population` random genomes start the search; the best becomes the parent.
    """

    @property
    def capacity(self) -> int:
        """One parent."""
        return 1

    def breed(self, rng: np.random.Generator) -> tuple[Genome, Individual]:
        """Return a child of the one parent."""
        return self.child(self.individuals[0], rng), self.individuals[0]

    def survivors(self, children: list[Individual], rng: np.random.Generator) -> list[Individual]:
        """Return the strictly better child, or the parent with its silent genes mutated."""
        best: list[Individual] = tools.selBest(children, 1)
        if not self.individuals or (best and best[0].score > self.individuals[0].score):
            return best
        parent = self.individuals[0]
        drifted = neutral(parent.genome, self.settings.space, rng, self.settings.mutation_rate)
        candidate = dataclasses.replace(parent.record.candidate, genome=drifted)
        record = dataclasses.replace(parent.record, candidate=candidate)
        return [Individual(record, self.settings.objectives)]
