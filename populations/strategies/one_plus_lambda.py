"""(1 + lambda) with neutral drift (Suganuma et al. 2017)."""

import dataclasses

import numpy as np
from deap import tools

from cgp.genome import Genome
from cgp.mutation import forced, neutral
from populations.strategies.generational import Generational, Individual


class OnePlusLambda(Generational):
    """One parent, `offspring` children a generation; a strictly better child takes its place.

    Otherwise the parent's silent genes drift, which changes no network but what its children may be.
    `population` random genomes start the search; the best becomes the parent.
    """

    def choose_parent(self, rng: np.random.Generator) -> Individual:
        """Return the one parent."""
        return self.individuals[0]

    def vary(self, parent: Individual, rng: np.random.Generator) -> Genome:
        """Return a child with at least one active gene changed."""
        return forced(parent.genome, self.settings.space, rng, self.settings.mutation_rate)

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
