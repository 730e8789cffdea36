"""What every generational strategy shares: order, counting and statistics.

A generation's genomes depend on the results of the generations before and on the job number, never on
the order of arrival: so a run is the same with any number of workers, interrupted or not.
"""

import random
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from statistics import median
from typing import Any

import numpy as np
from deap import base, tools

from cgp.genome import Genome, draw
from cgp.graph import Graph
from cgp.mutation import forced
from cgp.space import Space
from evaluate.fitness import Objective
from populations.record import Candidate, Generation, Record

_CANDIDATE, _GENERATION = 0, 1  # kinds of random stream


@dataclass(frozen=True)
class Settings:
    """What a strategy needs to know."""

    space: Space
    objectives: tuple[Objective, ...]  #: the first decides, later ones break ties
    seed: int
    population: int
    offspring: int
    generations: int
    mutation_rate: float  #: per gene


@cache
def _fitness_class(weights: tuple[float, ...]) -> type[base.Fitness]:
    return type("Fitness", (base.Fitness,), {"weights": weights})


class Individual:
    """A scored record, in the form that DEAP's tools select.

    The job number is the last objective, so that of equals the older is preferred and the order of
    arrival never decides.
    """

    def __init__(self, record: Record, objectives: Sequence[Objective]) -> None:
        """Score `record`, whose result is ok."""
        weights = (*(objective.weight for objective in objectives), -1.0)
        values = [objective.value(record.candidate.graph, record.result) for objective in objectives]
        self.fitness = _fitness_class(weights)((*values, record.candidate.number))
        self.record = record

    @property
    def score(self) -> tuple[float, ...]:
        """Weighted objectives without the job number; greater is better."""
        return tuple(self.fitness.wvalues[:-1])

    @property
    def genome(self) -> Genome:
        """Its genome."""
        return self.record.candidate.genome


class Generational(ABC):
    """Asks for one generation at a time; subclasses say who breeds and who survives."""

    def __init__(self, settings: Settings) -> None:
        """Begin before generation 0."""
        self.settings = settings
        self.turned_away: Counter[str] = Counter()
        self.individuals: list[Individual] = []
        self.hall_of_fame = tools.HallOfFame(1)
        self.logbook = tools.Logbook()
        self._generation = 0
        self._first = 0  # number of the generation's first job
        self._asked = 0
        self._told: dict[int, Record] = {}

    @property
    def total(self) -> int:
        """How many networks the whole search asks for."""
        return self.size(0) + sum(map(self.size, range(1, self.settings.generations)))

    @property
    def done(self) -> bool:
        """Whether the last generation is told."""
        return self._generation >= self.settings.generations

    @property
    def best(self) -> Record | None:
        """The best record so far."""
        return self.hall_of_fame[0].record if len(self.hall_of_fame) else None

    def ask(self, n: int) -> list[Candidate]:
        """Return up to `n` new candidates; none while the generation still waits for results."""
        if self.done:
            return []
        count = max(0, min(n, self.size(self._generation) - self._asked))
        numbers = range(self._first + self._asked, self._first + self._asked + count)
        self._asked += count
        return [self._candidate(number) for number in numbers]

    def tell(self, record: Record) -> Generation | None:
        """Take in a result; return the generation that it completes, if it does.

        Raises ValueError for a record that was not asked for.
        """
        number = record.candidate.number
        if not self._first <= number < self._first + self._asked or number in self._told:
            raise ValueError(f"told of job {number}, which generation {self._generation} does not wait for")
        self._told[number] = record
        if record.result.status == "ok":
            self.hall_of_fame.update([Individual(record, self.settings.objectives)])
        return self._close() if len(self._told) == self.size(self._generation) else None

    def _candidate(self, number: int) -> Candidate:
        rng = self._rng(_CANDIDATE, number)
        genome, parent = self.breed(rng) if self.individuals else (self.draw(rng), None)
        origin = None if parent is None else parent.record.candidate.number
        graph: Graph = genome.graph(self.settings.space)
        return Candidate(number, self._generation, origin, genome, graph)

    def draw(self, rng: np.random.Generator) -> Genome:
        """Return a random genome of the space, counting what its limits turned away."""
        return draw(self.settings.space, rng, self.turned_away)

    def child(self, parent: Individual, rng: np.random.Generator) -> Genome:
        """Return a mutated copy of `parent` with at least one active gene changed."""
        return forced(parent.genome, self.settings.space, rng, self.settings.mutation_rate)

    def _rng(self, kind: int, number: int) -> np.random.Generator:
        return np.random.default_rng([self.settings.seed, kind, number])

    def _close(self) -> Generation:
        records = [self._told[number] for number in sorted(self._told)]
        scored = [r for r in records if r.result.status == "ok"]
        children = [Individual(record, self.settings.objectives) for record in scored]
        rng = self._rng(_GENERATION, self._generation)
        self.individuals = self.survivors(children, rng)
        self._log(records, children)
        members = tuple(individual.record.candidate.number for individual in self.individuals)
        closed = Generation(self._generation, members, dict(self.logbook[-1]))
        self._first += self._asked
        self._generation, self._asked, self._told = self._generation + 1, 0, {}
        return closed

    def _log(self, records: list[Record], children: list[Individual]) -> None:
        """Add this generation's statistics to the logbook; what cannot be said is None."""
        values = tools.Statistics(lambda individual: individual.fitness.values[0])
        weight = self.settings.objectives[0].weight
        values.register("best", lambda found: max(found, key=lambda v: weight * v, default=None))
        values.register("median", lambda found: median(found) if found else None)
        depths = tools.Statistics(lambda individual: individual.record.candidate.graph.depth)
        depths.register("min_depth", lambda found: min(found, default=None))
        depths.register("max_depth", lambda found: max(found, default=None))
        row: dict[str, Any] = {"generation": self._generation, "networks": len(records)}
        row |= values.compile(children) | depths.compile(self.individuals)
        self.logbook.record(**row, failed=len(records) - len(children))

    def size(self, generation: int) -> int:
        """How many candidates `generation` has."""
        return self.settings.offspring if generation else self.settings.population

    @abstractmethod
    def breed(self, rng: np.random.Generator) -> tuple[Genome, Individual | None]:
        """Return a new genome and its parent, None for a draw; `individuals` is not empty."""

    @abstractmethod
    def survivors(self, children: list[Individual], rng: np.random.Generator) -> list[Individual]:
        """Return the next population, best first, from `individuals` and their scored `children`."""


def seed_deap(rng: np.random.Generator) -> None:
    """Seed Python's global random state, which DEAP's selections draw from."""
    random.seed(int(rng.integers(2**63)))
