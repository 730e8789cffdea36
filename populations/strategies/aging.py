"""Regularised evolution (Real et al. 2019, arXiv 1802.01548): no generations, no barrier.

As soon as a slot falls free, the best of a random sample of the population has a child; the population is
the last `population` networks that ended ok, so that everyone dies of age. A child depends on the results
heard before it was bred: that count, and their order, are in the journal, so that a resumed search breeds
the same children. Deterministic, child n is bred from the results of the jobs up to n - `population`,
whatever else has arrived: the run is the same with any number of workers up to `population`. Who can breed no
more is forgotten.
"""

from bisect import bisect_right
from collections import deque
from itertools import accumulate

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
        self._awaited: set[int] = set()  # asked, and not yet told
        self._told: dict[int, Record] = {}  # by number, and not yet heard
        self._heard = 0  # how many results count so far
        self._latest: list[Record] = []  # of them, those of the generation under way
        self._scored: list[Individual] = []  # those that ended ok and may still breed, in the order heard, ...
        self._places: list[int] = []  # ... and after how many results each was heard
        self._arrived: deque[int] = deque()  # told, and not yet heard
        self._recalled: set[int] = set()  # told in an earlier session, in the order of `history`
        self._floors: list[int] = []  # by number: the fewest results that it, or a later job of them, was bred from
        self._closed = 0  # generations

    @property
    def done(self) -> bool:
        """Whether every network is told."""
        return self._heard == self.total

    @property
    def heeds_arrival(self) -> bool:
        """Unless deterministic."""
        return not self.settings.deterministic

    def recall(self, history: History) -> None:
        """Breed the jobs of earlier sessions from what they were bred from."""
        super().recall(history)
        self._recalled = set(history.told)
        # A job that was bred but not yet written when its session was killed is bred from more results now.
        heard = [history.heard.get(number, self.total) for number in range(max(history.heard, default=-1) + 1)]
        self._floors = list(accumulate(reversed(heard), min))[::-1]

    def ask(self, n: int) -> list[Candidate]:
        """Return up to `n` candidates, as far as what they are to be bred from is known."""
        asked = list[Candidate]()
        while len(asked) < n and self._asked < self.total:
            heard = self._wanted(self._asked)
            if heard > self._heard:
                break
            asked.append(self._candidate(self._asked, heard))
            self._awaited.add(self._asked)
            self._asked += 1
        self._forget()
        return asked

    def _forget(self) -> None:
        """Drop who was dead already after the fewest results that a later candidate is bred from."""
        heard = min(self._wanted(self._asked), *self._floors[self._asked : self._asked + 1], self._heard)
        dead = max(0, bisect_right(self._places, heard) - self.settings.population)
        del self._scored[:dead], self._places[:dead]

    def _wanted(self, number: int) -> int:
        """Return how many results the candidate `number` is to be bred from."""
        if number < self.settings.population:
            return 0
        if self.settings.deterministic:
            return number - self.settings.population + 1
        return self.history.heard.get(number, self._heard)

    def _candidate(self, number: int, heard: int) -> Candidate:
        rng = self.candidate_rng(number)
        living = self._living(heard)
        parent = self._parent(living, rng) if living else None
        genome: Genome = self.draw(rng) if parent is None else self.child(parent, rng)
        origin = None if parent is None else parent.record.candidate.key
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
        if number not in self._awaited:
            raise ValueError(f"told of job {number}, which is not waited for")
        self._awaited.remove(number)
        self._told[number] = record
        self.hall_of_fame.update(self.scored([record]))
        if number not in self._recalled:
            self._arrived.append(number)
        closed = list[Generation]()
        while (following := self._next()) is not None:
            self._heard += 1
            self._latest.append(self._told.pop(following))
            for individual in self.scored(self._latest[-1:]):
                self._scored.append(individual)
                self._places.append(self._heard)
            if self._heard == self.through(self._closed):
                closed.append(self._close())
        return closed

    def _next(self) -> int | None:
        """Return the job whose result counts next, if it has been told."""
        place = self._heard
        if self.settings.deterministic or place < len(self.history.told):
            number = place if self.settings.deterministic else self.history.told[place]
            return number if number in self._told else None
        return self._arrived.popleft() if self._arrived else None

    def _close(self) -> Generation:
        living = self._living(self._heard)
        self.individuals = tools.selBest(living, len(living))
        self._closed += 1
        records, self._latest = self._latest, []
        return self.log(self._closed - 1, records)
