"""Candidates by the thousand, of which a surrogate foretells the best: what is cheap to draw is not trained unseen.

A generation learns from all networks but the last `offspring` before it: so slots do not wait for a generation to
end, and the run is the same with any number of workers. Its candidates are the best of many draws and children of the
population, each as another random sample of what was seen has it (bagging), so that a generation is not one guess;
one in eight is a plain draw. As long as the surrogate cannot be trusted, all are.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from cgp.genome import Genome, draw
from cgp.graph import Graph
from cgp.mutation import one_gene
from evaluate.job import Key
from populations.record import Candidate, Generation, Record
from populations.strategies.breeding import Individual, Settings, Strategy, best_distinct
from populations.surrogate import REGRESSIONS, Regression, Seen, Surrogate, features

START = 24  #: networks that are drawn before anything is learned
TRUST = 0.2  #: Spearman correlation in cross-validation from which the surrogate is heeded
UNIFORM = 8  #: one in so many is a plain draw
_CHANGES = 4  # active genes in which a child differs from its parent, at most
_LATEST = 2_000  # networks that are learned from
_STRATA = 16  # draws for each network of the first generation
_SCREEN = 2  # kind of random stream, beside those of Strategy


@dataclass(frozen=True)
class Lesson:
    """What a generation learns from."""

    seen: list[Seen]
    parents: list[Individual]  #: the population, best first


class Judge(Protocol):
    """Says what networks will score."""

    def opinion(self, candidates: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the scores of `candidates`, rows of features, as they are foretold this time; greater is better."""

    def expectation(self, candidates: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return their scores as they are foretold from all that was seen."""


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
    regressions: ClassVar[Sequence[Regression]] = REGRESSIONS  #: of which the surrogate takes one
    draws: ClassVar[int] = 500  #: among the candidates of a generation
    children: ClassVar[int] = 1_000  #: of the population, among them
    idle: ClassVar[tuple[str, ...]] = ("mutation_rate",)

    def __init__(self, settings: Settings) -> None:
        """Begin with nothing seen."""
        super().__init__(settings)
        self._asked = self._heard = 0  # networks; the latter in order of number, without a gap
        self._start: list[Candidate] | None = None  # once it is drawn
        self._told: dict[int, Record] = {}  # by number, and not yet heard
        self._latest: list[Record] = []  # heard, of the generation under way
        self._closed = 0  # generations
        self._seen: deque[Seen] = deque(maxlen=_LATEST)
        self._lessons: deque[Lesson] = deque()  # of generations that may be asked for
        self._taught = 0  # generations that had theirs
        self._graphs: set[str] = set()  # that were asked for
        self._teach()

    @property
    def done(self) -> bool:
        """Whether the last generation is told."""
        return self._closed >= self.settings.generations

    def ask(self, n: int) -> list[Candidate]:
        """Return at least `n` networks of the start, while there are; then a generation, once its lesson is heard.

        They come whole, or `offspring` at a time, so that the longest may be trained first.
        """
        asked = list[Candidate]()
        while len(asked) < n and self._asked < self.size(0):
            asked += self.start()[self._asked : self._asked + self.settings.offspring]
            self._asked = min(self.size(0), self._asked + self.settings.offspring)
        if n >= 1 and not asked and self._lessons:
            asked = self._generation(self._lessons.popleft())
            self._asked += len(asked)
        self._graphs |= {candidate.model.id for candidate in asked}
        return asked

    def tell(self, record: Record) -> list[Generation]:
        """Take in a result; return the generations that it completes.

        Raises ValueError for a record that was not asked for.
        """
        number = record.candidate.number
        if not self._heard <= number < self._asked or number in self._told:
            raise ValueError(f"told of job {number}, which is not waited for")
        self._told[number] = record
        self.hall_of_fame.update(self.scored([record]))
        closed = list[Generation]()
        while self._heard in self._told:
            self._hear(self._told.pop(self._heard))
            if self._heard == self.through(self._closed):
                records, self._latest = self._latest, []
                closed.append(self.log(self._closed, records))
                self._closed += 1
        return closed

    def _hear(self, record: Record) -> None:
        """Count the next result, in order of number."""
        self._heard += 1
        self._latest.append(record)
        self.individuals = best_distinct([*self.individuals, *self.scored([record])], self.capacity)
        goal, model = self.settings.objectives[0], record.candidate.model
        # What takes time of its own is not measured of one that was pruned.
        if record.result.status in ("ok", "pruned") and isinstance(model, Graph) and goal.known(record.result):
            scores = tuple(goal.weight * value for value in goal.by_epoch(model, record.result))
            self._seen.append(Seen(model, scores, record.result.status == "pruned"))
        self._teach()

    def _teach(self) -> None:
        """Keep what generations learn from of which all but the last `offspring` networks before them are heard."""
        while self._taught + 1 < self.settings.generations:
            if self._heard < self.through(self._taught) - self.settings.offspring:
                break
            self._lessons.append(Lesson(list(self._seen), self.individuals))
            self._taught += 1

    def start(self) -> list[Candidate]:
        """Return the networks that a search begins with, spread evenly over the costs of draws, in random order."""
        if self._start is None:
            rng = np.random.default_rng([self.settings.seed, _SCREEN, 0])
            drawn = self._stratified(self.size(0), rng)
            self._start = [Candidate(n, 0, None, p.genome, p.graph, reason="start") for n, p in enumerate(drawn)]
        return self._start

    def _generation(self, lesson: Lesson) -> list[Candidate]:
        """Return the next generation, of what `lesson` foretells to be best."""
        generation = 1 + (self._asked - self.size(0)) // self.size(1)
        rng = np.random.default_rng([self.settings.seed, _SCREEN, generation])
        judge = self.judge(lesson, rng)
        pool = self.candidates(lesson.parents, rng) if judge else []
        rows = np.array([features(proposal.graph) for proposal in pool])
        expected = judge.expectation(rows) if judge and pool else np.empty(0)
        chosen, taken = list[Candidate](), set[int]()
        for number in range(self._asked, self._asked + self.size(generation)):
            if judge is None or number % UNIFORM == 0 or len(taken) == len(pool):
                drawn = self._proposed(self.draw(self.candidate_rng(number)))
                chosen.append(Candidate(number, generation, None, drawn.genome, drawn.graph, reason="draw"))
                continue
            foretold = judge.opinion(rows)
            foretold[list(taken)] = -np.inf
            best = int(np.argmax(foretold))
            taken.add(best)
            told, proposal = float(self.settings.objectives[0].weight * expected[best]), pool[best]
            about = number, generation, proposal.parent, proposal.genome, proposal.graph
            chosen.append(Candidate(*about, reason="screened", predicted=told))
        return chosen

    def _proposed(self, genome: Genome, parent: Key | None = None) -> Proposal:
        return Proposal(genome, genome.graph(self.settings.space), parent)

    def _stratified(self, count: int, rng: np.random.Generator) -> list[Proposal]:
        """Return `count` networks whose costs are spread evenly over those of draws, in random order."""
        drawn = sorted((self._proposed(self.draw(rng)) for _ in range(_STRATA * count)), key=lambda p: p.graph.flops)
        chosen = [drawn[stratum * _STRATA + int(rng.integers(_STRATA))] for stratum in range(count)]
        return [chosen[place] for place in rng.permutation(count)]

    def judge(self, lesson: Lesson, rng: np.random.Generator) -> Judge | None:
        """Return what `lesson` teaches; None where that cannot be trusted."""
        if len(lesson.seen) < START // 2:
            return None
        surrogate = Surrogate(lesson.seen, rng, self.regressions)
        return surrogate if surrogate.trust >= TRUST else None

    def candidates(self, parents: Sequence[Individual], rng: np.random.Generator) -> list[Proposal]:
        """Return draws and children of `parents`, each graph once and none that was asked for."""
        space = self.settings.space
        proposals = [self._proposed(draw(space, rng)) for _ in range(self.draws)]
        for place in rng.integers(len(parents), size=self.children) if parents else []:
            parent, child = parents[place], parents[place].genome
            for _ in range(rng.integers(1, _CHANGES, endpoint=True)):
                child = one_gene(child, space, rng)
            proposals.append(self._proposed(child, parent.record.candidate.key))
        fresh = {proposal.graph.id: proposal for proposal in proposals if proposal.graph.id not in self._graphs}
        return list(fresh.values())
