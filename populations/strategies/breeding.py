"""What every strategy shares: settings, scored individuals, random streams, statistics."""

import random
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, ClassVar

import numpy as np
from deap import tools

from cgp.genome import Genome, draw
from cgp.model import Model
from cgp.mutation import forced
from cgp.space import Space
from evaluate.job import SEARCH
from evaluate.metrics import Metric
from populations.front import fitness
from populations.record import Candidate, Generation, History, Record

_CANDIDATE, _GENERATION = 0, 1  # kinds of random stream


@dataclass(frozen=True)
class Settings:
    """What a strategy needs to know."""

    space: Space
    objectives: tuple[Metric, ...]  #: the first decides, later ones break ties
    seed: int
    population: int
    offspring: int
    generations: int
    mutation_rate: float  #: per gene
    deterministic: bool = False  #: of an asynchronous strategy: breed as if results came in order of number


class Individual:
    """A scored record, in the form that DEAP's tools select.

    The job number is the last objective, so that of equals the older is preferred and the order of
    arrival never decides.
    """

    def __init__(self, record: Record, objectives: Sequence[Metric]) -> None:
        """Score `record`, whose result is ok."""
        values = [objective.value(record.candidate.model, record.result) for objective in objectives]
        self.fitness = fitness(objectives, values, record.candidate.number)
        self.goals = fitness(objectives, values)  #: without the job number: what dominance is judged by
        self.record = record

    @property
    def score(self) -> tuple[float, ...]:
        """Weighted objectives without the job number; greater is better."""
        return tuple(self.goals.wvalues)

    @property
    def genome(self) -> Genome:
        """Its genome. Raises ValueError for a network that was made by hand."""
        if self.record.candidate.genome is None:
            raise ValueError(f"model {self.record.id} has no genome to breed from")
        return self.record.candidate.genome


class Strategy(ABC):
    """Who breeds and who lives: `ask(n)` -> candidates, `tell(record)` -> finished generations."""

    fewest: ClassVar[int] = 1  #: networks that its population has at least
    usual_population: ClassVar[int] = 8  #: unless a flag says
    usual_offspring: ClassVar[int | None] = None  #: unless a flag says; None: as many as the population
    idle: ClassVar[tuple[str, ...]] = ()  #: flags that have no effect on it
    races: ClassVar[bool] = True  #: whether racing, which judges by accuracy alone, ends what it would end, too

    def __init__(self, settings: Settings) -> None:
        """Begin with nothing asked."""
        self.settings = settings
        self.turned_away: Counter[str] = Counter()
        self.individuals: list[Individual] = []  #: the population, best first
        self.hall_of_fame = tools.HallOfFame(1)
        self.logbook = tools.Logbook()
        self.history = History()

    @property
    def total(self) -> int:
        """How many networks the whole search asks for."""
        return self.through(self.settings.generations - 1)

    @property
    def unraced(self) -> int:
        """How many of `total` are trained to the end, whatever a race says."""
        return 0

    @property
    def unraced_work(self) -> float:
        """How many whole trainings by the recipe the unraced ones are worth."""
        return self.unraced

    @property
    def heeds_arrival(self) -> bool:
        """Whether what is bred depends on the order in which results are told, and `recall` is needed."""
        return False

    @property
    def capacity(self) -> int:
        """How many individuals the population has at most."""
        return self.settings.population

    @property
    def best(self) -> Record | None:
        """The best record so far."""
        return self.hall_of_fame[0].record if len(self.hall_of_fame) else None

    @property
    def front(self) -> list[Record]:
        """The records that no other one beats so far, `best` first: where the first objective decides, it alone."""
        return [] if self.best is None else [self.best]

    @property
    @abstractmethod
    def done(self) -> bool:
        """Whether everything that was asked for is told."""

    @abstractmethod
    def ask(self, n: int) -> list[Candidate]:
        """Return new candidates, for `n` >= 1 slots that have nothing to do; none while it must wait."""

    @abstractmethod
    def tell(self, record: Record) -> list[Generation]:
        """Take in a result and return the generations that it completes.

        Raises ValueError for a record that was not asked for.
        """

    def recall(self, history: History) -> None:
        """Take in, before a resumed search begins, the order in which its strategy heard of results."""
        self.history = history

    @property
    def can_go_on(self) -> bool:
        """Whether there can be more generations than were asked for."""
        return True

    def sample(self, count: int) -> list[Model]:
        """Return networks that stand for all that will be asked: `count` draws of the space, always the same."""
        rng = np.random.default_rng([self.settings.seed, count])
        space = self.settings.space
        return [draw(space, rng).graph(space) for _ in range(count)]

    def draw(self, rng: np.random.Generator) -> Genome:
        """Return a random genome of the space, counting what its limits turned away."""
        return draw(self.settings.space, rng, self.turned_away)

    def child(self, parent: Individual, rng: np.random.Generator) -> Genome:
        """Return a mutated copy of `parent` with at least one active gene changed."""
        return forced(parent.genome, self.settings.space, rng, self.settings.mutation_rate)

    def through(self, generation: int) -> int:
        """How many candidates the generations up to `generation` have: all but the first have one size."""
        return self.size(0) + generation * self.size(1)

    def size(self, generation: int) -> int:
        """How many candidates `generation` has."""
        return self.settings.offspring if generation else self.settings.population

    def candidate_rng(self, number: int) -> np.random.Generator:
        """Return the random stream of the candidate `number`."""
        return np.random.default_rng([self.settings.seed, _CANDIDATE, number])

    def generation_rng(self, generation: int) -> np.random.Generator:
        """Return the random stream in which `generation` is closed."""
        return np.random.default_rng([self.settings.seed, _GENERATION, generation])

    def scored(self, records: Sequence[Record]) -> list[Individual]:
        """Return those of `records` that ended ok, as individuals."""
        return [Individual(record, self.settings.objectives) for record in records if record.result.status == "ok"]

    def log(self, generation: int, records: Sequence[Record]) -> Generation:
        """Return `generation`, of `records` and with the population as it is, and log its statistics.

        `networks`, `pruned` and `failed` count its records; `best` and `median` are of the first objective,
        over those of them that ended ok; `best_so_far` is the best of that in this generation or an earlier one;
        `min_depth` and `max_depth` are of the population. What cannot be said is None.
        """
        scored = self.scored(records)
        values = tools.Statistics(lambda individual: individual.fitness.values[0])
        weight = self.settings.objectives[0].weight

        def best(found: Sequence[float]) -> float | None:
            return max(found, key=lambda value: weight * value, default=None)

        values.register("best", best)
        values.register("median", lambda found: median(found) if found else None)
        depths = tools.Statistics(lambda individual: individual.record.candidate.model.depth)
        depths.register("min_depth", lambda found: min(found, default=None))
        depths.register("max_depth", lambda found: max(found, default=None))
        pruned = sum(record.result.status == "pruned" for record in records)
        row: dict[str, Any] = {"generation": generation, "networks": len(records)}
        row |= values.compile(scored) | depths.compile(self.individuals)
        before = self.logbook[-1]["best_so_far"] if self.logbook else None
        row["best_so_far"] = best([value for value in (before, row["best"]) if value is not None])
        self.logbook.record(**row, pruned=pruned, failed=len(records) - len(scored) - pruned)
        members = tuple(individual.record.candidate.number for individual in self.individuals)
        stage = records[0].candidate.stage if records else SEARCH
        return Generation(generation, members, dict(self.logbook[-1]), stage)


def best_distinct(individuals: Sequence[Individual], count: int) -> list[Individual]:
    """Return the best `count` of `individuals`, best first, of each graph the best one only."""
    by_graph = dict[str, Individual]()
    for individual in tools.selBest(individuals, len(individuals)):
        by_graph.setdefault(individual.record.candidate.model.id, individual)
    return list(by_graph.values())[:count]


def seed_deap(rng: np.random.Generator) -> None:
    """Seed Python's global random state, which DEAP's selections draw from."""
    random.seed(int(rng.integers(2**63)))
