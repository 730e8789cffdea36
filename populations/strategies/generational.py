"""What every generational strategy shares: one generation at a time.

A generation's genomes depend on the results of the generations before and on the job number, never on
the order of arrival: so a run is the same with any number of workers, interrupted or not.
"""

from abc import abstractmethod

import numpy as np

from cgp.genome import Genome
from populations.record import Candidate, Generation, Record
from populations.strategies.breeding import Individual, Settings, Strategy


class Generational(Strategy):
    """Asks for one generation at a time; subclasses say who breeds and who survives."""

    def __init__(self, settings: Settings) -> None:
        """Begin before generation 0."""
        super().__init__(settings)
        self._generation = 0
        self._first = 0  # number of the generation's first job
        self._asked = 0
        self._told: dict[int, Record] = {}

    @property
    def done(self) -> bool:
        """Whether the last generation is told."""
        return self._generation >= self.settings.generations

    def ask(self, n: int) -> list[Candidate]:
        """Return the whole generation, so that the longest may start first; none while it waits for results."""
        if self.done or n < 1:
            return []
        numbers = range(self._first + self._asked, self._first + self.size(self._generation))
        self._asked += len(numbers)
        return [self._candidate(number) for number in numbers]

    def tell(self, record: Record) -> list[Generation]:
        """Take in a result; return the generation that it completes, if it does.

        Raises ValueError for a record that was not asked for.
        """
        number = record.candidate.number
        if not self._first <= number < self._first + self._asked or number in self._told:
            raise ValueError(f"told of job {number}, which generation {self._generation} does not wait for")
        self._told[number] = record
        self.hall_of_fame.update(self.scored([record]))
        return [self._close()] if len(self._told) == self.size(self._generation) else []

    def _candidate(self, number: int) -> Candidate:
        rng = self.candidate_rng(number)
        genome, parent = self.breed(rng) if self.individuals else (self.draw(rng), None)
        origin = None if parent is None else parent.record.candidate.key
        return Candidate(number, self._generation, origin, genome, genome.graph(self.settings.space))

    def _close(self) -> Generation:
        records = [self._told[number] for number in sorted(self._told)]
        self.individuals = self.survivors(self.scored(records), self.generation_rng(self._generation))
        closed = self.log(self._generation, records)
        self._first += self._asked
        self._generation, self._asked, self._told = self._generation + 1, 0, {}
        return closed

    @abstractmethod
    def breed(self, rng: np.random.Generator) -> tuple[Genome, Individual | None]:
        """Return a new genome and its parent, None for a draw; `individuals` is not empty."""

    @abstractmethod
    def survivors(self, children: list[Individual], rng: np.random.Generator) -> list[Individual]:
        """Return the next population, best first, from `individuals` and their scored `children`."""
