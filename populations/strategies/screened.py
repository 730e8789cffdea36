"""Candidates by the thousand, of which a surrogate foretells the best: what is cheap to draw is not trained unseen.

Generation j learns from those up to j - 2: so slots do not wait for a generation to end, and the run is the same with
any number of workers. Its candidates are the best of many draws and of many one-gene children of the incumbent, each
as another random sample of what was seen has it (bagging), so that a generation is not one guess; one in four is a
plain draw. As long as the surrogate cannot be trusted, all are.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from cgp.genome import Genome, draw
from cgp.graph import Graph
from cgp.mutation import one_gene
from evaluate.job import Key
from populations.record import Candidate, Generation, Record
from populations.strategies.breeding import Individual, Settings, Strategy, best_distinct
from populations.surrogate import Seen, Surrogate, features

START = 24  #: networks that are drawn before anything is learned
TRUST = 0.2  #: Spearman correlation in cross-validation from which the surrogate is heeded
_UNIFORM = 4  # one in so many is a plain draw
_LATEST = 2_000  # networks that are learned from
_STRATA = 16  # draws for each network of the first generation
_SCREEN = 2  # kind of random stream, beside those of Strategy


@dataclass
class _Batch:
    """A generation that is under way: what was asked, and what has been told of it."""

    candidates: dict[int, Candidate]
    told: dict[int, Record] = field(default_factory=dict)


@dataclass(frozen=True)
class Lesson:
    """What a finished generation teaches."""

    seen: list[Seen]
    incumbent: Individual | None  #: the best so far


class Judge(Protocol):
    """Says what networks will score."""

    def opinion(self, candidates: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the scores of `candidates`, rows of features, as they are foretold this time; greater is better."""


@dataclass(frozen=True)
class Proposal:
    """A network that might be trained."""

    genome: Genome
    graph: Graph
    parent: Key | None = None


class Screened(Strategy):
    """Draws a stratified generation of `population` networks, then generations of `offspring` that are screened."""

    fewest: ClassVar[int] = START
    usual_population: ClassVar[int] = START
    usual_offspring: ClassVar[int | None] = 8  #: fewer than it begins with, so that it learns often
    known: ClassVar[slice] = slice(None)  #: features that it learns from
    draws: ClassVar[int] = 2_000  #: among the candidates of a generation
    children: ClassVar[int] = 2_000  #: of the incumbent, among them
    idle: ClassVar[tuple[str, ...]] = ("mutation_rate",)

    def __init__(self, settings: Settings) -> None:
        """Begin with nothing seen."""
        super().__init__(settings)
        self._under_way: dict[int, _Batch] = {}
        self._asked = self._closed = 0  # generations
        self._lessons: deque[Lesson] = deque()  # of the latest generations
        self._epochs = 1  # of the longest training so far
        self._graphs: set[str] = set()  # that were asked for

    @property
    def done(self) -> bool:
        """Whether the last generation is told."""
        return self._closed >= self.settings.generations

    def ask(self, n: int) -> list[Candidate]:
        """Return the next generation once the last but one is told: whole, so that the longest may start first."""
        if n < 1 or self._asked >= self.settings.generations or self._closed < self._asked - 1:
            return []
        asked = list(self._generation(self._asked))
        self._graphs |= {candidate.model.id for candidate in asked}
        self._under_way[self._asked] = _Batch({candidate.number: candidate for candidate in asked})
        self._asked += 1
        return asked

    def tell(self, record: Record) -> list[Generation]:
        """Take in a result; return the generations that it completes.

        Raises ValueError for a record that was not asked for.
        """
        number, batch = record.candidate.number, self._under_way.get(record.candidate.generation)
        if batch is None or number not in batch.candidates or number in batch.told:
            raise ValueError(f"told of job {number}, which is not waited for")
        batch.told[number] = record
        self.hall_of_fame.update(self.scored([record]))
        closed = list[Generation]()
        while (first := self._under_way.get(self._closed)) and len(first.told) == len(first.candidates):
            closed.append(self._close(self._under_way.pop(self._closed)))
        return closed

    def _close(self, batch: _Batch) -> Generation:
        records = [batch.told[number] for number in sorted(batch.told)]
        self.individuals = best_distinct([*self.individuals, *self.scored(records)], self.capacity)
        self._lessons.append(Lesson(self._seen(records), self.individuals[0] if self.individuals else None))
        while sum(len(lesson.seen) for lesson in self._lessons) - len(self._lessons[0].seen) > 2 * _LATEST:
            self._lessons.popleft()
        self._closed += 1
        return self.log(self._closed - 1, records)

    def _seen(self, records: list[Record]) -> list[Seen]:
        """Return the scores in `records`, greater ones better; one that raced counts with the share of its epochs."""
        goal = self.settings.objectives[0]
        self._epochs = max([self._epochs, *(len(record.result.curve) for record in records)])
        return [
            Seen(
                record.candidate.model,
                goal.weight * goal.value(record.candidate.model, record.result),
                max(1, len(record.result.curve)) / self._epochs,
            )
            for record in records
            if record.result.status in ("ok", "pruned") and isinstance(record.candidate.model, Graph)
            if goal.known(record.result)  # what takes time of its own is not measured of one that was pruned
        ]

    def _generation(self, generation: int) -> Iterator[Candidate]:
        first = self.through(generation - 1) if generation else 0
        numbers = range(first, first + self.size(generation))
        rng = np.random.default_rng([self.settings.seed, _SCREEN, generation])
        if generation == 0:
            for number, drawn in zip(numbers, self._stratified(len(numbers), rng), strict=True):
                yield Candidate(number, 0, None, drawn.genome, drawn.graph, reason="start")
            return
        lessons = list(self._lessons)[: len(self._lessons) - (self._closed - generation + 1)]
        judge = self.judge(lessons, rng)
        pool = self.candidates(lessons[-1].incumbent, rng) if judge else []
        rows = np.array([features(proposal.graph) for proposal in pool])
        taken = set[int]()
        for number in numbers:
            if judge is None or number % _UNIFORM == 0 or len(taken) == len(pool):
                drawn = self._proposed(self.draw(self.candidate_rng(number)))
                yield Candidate(number, generation, None, drawn.genome, drawn.graph, reason="draw")
                continue
            foretold = judge.opinion(rows)
            foretold[list(taken)] = -np.inf
            best = int(np.argmax(foretold))
            taken.add(best)
            chosen = pool[best]
            told = float(self.settings.objectives[0].weight * foretold[best])
            yield Candidate(
                *(number, generation, chosen.parent, chosen.genome, chosen.graph), reason="screened", predicted=told
            )

    def _proposed(self, genome: Genome, parent: Key | None = None) -> Proposal:
        return Proposal(genome, genome.graph(self.settings.space), parent)

    def _stratified(self, count: int, rng: np.random.Generator) -> list[Proposal]:
        """Return `count` networks whose costs are spread evenly over those of draws, in random order."""
        drawn = sorted((self._proposed(self.draw(rng)) for _ in range(_STRATA * count)), key=lambda p: p.graph.flops)
        chosen = [drawn[stratum * _STRATA + int(rng.integers(_STRATA))] for stratum in range(count)]
        return [chosen[place] for place in rng.permutation(count)]

    def judge(self, lessons: list[Lesson], rng: np.random.Generator) -> Judge | None:
        """Return what the lessons teach; None where that cannot be trusted."""
        seen = [one for lesson in lessons for one in lesson.seen][-_LATEST:]
        if len(seen) < START // 2:
            return None
        surrogate = Surrogate(seen, rng, self.known)
        return surrogate if surrogate.trust >= TRUST else None

    def candidates(self, incumbent: Individual | None, rng: np.random.Generator) -> list[Proposal]:
        """Return draws and one-gene children of `incumbent`, each graph once and none that was asked for."""
        space = self.settings.space
        proposals = [self._proposed(draw(space, rng)) for _ in range(self.draws)]
        if incumbent is not None:
            parent, key = incumbent.genome, incumbent.record.candidate.key
            proposals += [self._proposed(one_gene(parent, space, rng), key) for _ in range(self.children)]
        fresh = {proposal.graph.id: proposal for proposal in proposals if proposal.graph.id not in self._graphs}
        return list(fresh.values())
