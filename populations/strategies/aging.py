"""Regularised evolution (Real et al. 2019, arXiv 1802.01548): no generations, no barrier.

As soon as a slot falls free, the best of a random sample of the population has a child; the population is
the last `population` networks that ended ok, so that everyone dies of age. A child depends on the results
heard before it was bred: that count, and their order, are in the journal, so that a resumed search breeds
the same children. Deterministic, child n is bred from the results of the jobs up to n - `population`,
whatever else has arrived: the run is the same with any number of workers up to `population`.
"""

from bisect import bisect_right
from collections import deque

import numpy as np
from deap import tools

from cgp.genome import Genome
from populations.record import Candidate, Generation, History, Record
from populations.strategies.breeding import Individual, Settings, Strategy


class Aging(Strategy):
    """Draws `population` genomes; then one child for each slot that falls free, `total` networks in all.

    The sample is a quarter of the population, as in the paper (25 of 100), and at least two. For the
    snapshots, `offspring` results are a generation.
    """

    def __init__(self, settings: Settings) -> None:
        """Begin with an empty population."""
        super().__init__(settings)
        self._asked = 0
        self._told: dict[int, Record] = {}
        self._heard: list[Record] = []  # in the order in which they count
        self._scored: list[Individual] = []  # those of them that ended ok, ...
        self._places: list[int] = []  # ... and after how many results each was heard
        self._arrived: deque[int] = deque()  # told, and not yet heard
        self._recalled: set[int] = set()  # told in an earlier session, in the order of `history`
        self._closed = 0  # generations

    @property
    def done(self) -> bool:
        """Whether every network is told."""
        return len(self._heard) == self.total

    @property
    def heeds_arrival(self) -> bool:
        """Unless deterministic."""
        return not self.settings.deterministic

    def recall(self, history: History) -> None:
        """Breed the jobs of earlier sessions from what they were bred from."""
        super().recall(history)
        self._recalled = set(history.told)

    def ask(self, n: int) -> list[Candidate]:
        """Return up to `n` candidates, as far as what they are to be bred from is known."""
        asked = list[Candidate]()
        while len(asked) < n and self._asked < self.total:
            heard = self._wanted(self._asked)
            if heard > len(self._heard):
                break
            asked.append(self._candidate(self._asked, heard))
            self._asked += 1
        return asked

    def _wanted(self, number: int) -> int:
        """Return how many results the candidate `number` is to be bred from."""
        if number < self.settings.population:
            return 0
        if self.settings.deterministic:
            return number - self.settings.population + 1
        return self.history.heard.get(number, len(self._heard))

    def _candidate(self, number: int, heard: int) -> Candidate:
        rng = self.candidate_rng(number)
        living = self._living(heard)
        parent = self._parent(living, rng) if living else None
        genome: Genome = self.draw(rng) if parent is None else self.child(parent, rng)
        origin = None if parent is None else parent.record.candidate.number
        graph = genome.graph(self.settings.space)
        return Candidate(number, self._generation_of(number), origin, genome, graph, heard)

    def _living(self, heard: int) -> list[Individual]:
        """Return the population after the first `heard` results, eldest first."""
        count = bisect_right(self._places, heard)
        return self._scored[max(0, count - self.settings.population) : count]

    def _parent(self, living: list[Individual], rng: np.random.Generator) -> Individual:
        size = min(len(living), max(2, self.settings.population // 4))
        sample = [living[index] for index in rng.choice(len(living), size, replace=False)]
        winner: Individual = tools.selBest(sample, 1)[0]
        return winner

    def _generation_of(self, number: int) -> int:
        return max(0, 1 + (number - self.settings.population) // self.settings.offspring)

    def tell(self, record: Record) -> list[Generation]:
        """Take in a result; return the generations that it completes, if it does.

        Raises ValueError for a record that was not asked for.
        """
        number = record.candidate.number
        if not 0 <= number < self._asked or number in self._told:
            raise ValueError(f"told of job {number}, which is not waited for")
        self._told[number] = record
        self.hall_of_fame.update(self.scored([record]))
        if number not in self._recalled:
            self._arrived.append(number)
        closed = list[Generation]()
        while (following := self._next()) is not None:
            self._heard.append(self._told[following])
            for individual in self.scored(self._heard[-1:]):
                self._scored.append(individual)
                self._places.append(len(self._heard))
            if len(self._heard) == self.through(self._closed):
                closed.append(self._close())
        return closed

    def _next(self) -> int | None:
        """Return the job whose result counts next, if it has been told."""
        place = len(self._heard)
        if self.settings.deterministic or place < len(self.history.told):
            number = place if self.settings.deterministic else self.history.told[place]
            return number if number in self._told else None
        return self._arrived.popleft() if self._arrived else None

    def _close(self) -> Generation:
        records = self._heard[-self.size(self._closed) :]
        living = self._living(len(self._heard))
        self.individuals = tools.selBest(living, len(living))
        self._closed += 1
        return self.log(self._closed - 1, records)
