"""Point mutation. A child depends on the genome and the random generator alone."""

from collections.abc import Iterable
from itertools import compress

import numpy as np

from cgp.genome import Genome, within_limits
from cgp.space import Space


def forced(genome: Genome, space: Space, rng: np.random.Generator, rate: float) -> Genome:
    """Mutate each gene with probability `rate`, and at least one active gene: a child.

    The graph differs from the parent's wherever the space holds a neighbour within its limits.
    """
    child = _mutated(genome, space, rng, rng.random(2 * space.max_depth + 1) < rate)
    if _meaning(child, space) != _meaning(genome, space):
        return child
    genes, active = _Genes(child, space), active_genes(child, space)
    for index in rng.permutation(len(active)):
        if genes.change(active[index], rng):
            return genes.genome()
    return child


def neutral(genome: Genome, space: Space, rng: np.random.Generator, rate: float) -> Genome:
    """Mutate each silent gene with probability `rate`: the graph stays the same."""
    hit = rng.random(2 * space.max_depth + 1) < rate
    hit[active_genes(genome, space)] = False
    return _mutated(genome, space, rng, hit)


def active_genes(genome: Genome, space: Space) -> list[int]:
    """Indices of the genes that the graph depends on.

    Genes are numbered: blocks 0..N-1, second inputs N..2N-1, depth 2N, for N = `space.max_depth`.
    """
    count = space.max_depth
    joins = compress(range(count, 2 * count), _joining(genome, space))
    return [*range(genome.depth), *joins, 2 * count]


def _joining(genome: Genome, space: Space) -> Iterable[bool]:
    """For each active node, whether it has a second input."""
    return map(space.joins.__getitem__, genome.blocks[: genome.depth])


def _meaning(genome: Genome, space: Space) -> tuple[tuple[int, ...], list[int]]:
    """Return what the graph depends on: equal exactly for equal nodes."""
    return genome.blocks[: genome.depth], list(compress(genome.seconds, _joining(genome, space)))


def _mutated(
    genome: Genome, space: Space, rng: np.random.Generator, hit: np.ndarray[tuple[int], np.dtype[np.bool_]]
) -> Genome:
    genes = _Genes(genome, space)
    for gene in np.flatnonzero(hit).tolist():
        genes.change(gene, rng)
    return genes.genome()


class _Genes:
    """The genes of a genome while they change, numbered as `active_genes` says."""

    def __init__(self, genome: Genome, space: Space) -> None:
        self._space, self._count = space, space.max_depth
        self._values = [*genome.blocks, *genome.seconds, genome.depth]
        self._downsamplings = sum(map(space.shrinks.__getitem__, genome.blocks))

    def genome(self) -> Genome:
        """Return the genome as it is now."""
        blocks, seconds = self._values[: self._count], self._values[self._count : -1]
        return Genome(tuple(blocks), tuple(seconds), self._values[-1])

    def change(self, gene: int, rng: np.random.Generator) -> bool:
        """Give `gene` another value; return False where the space has no other for it."""
        others = self._others(gene)
        if not self._space.limited:
            if others:
                self._set(gene, others[rng.integers(len(others))])
            return bool(others)
        before = self._values[gene]
        for index in rng.permutation(len(others)):
            self._set(gene, others[index])
            blocks, seconds, depth = self._values[: self._count], self._values[self._count : -1], self._values[-1]
            if within_limits(blocks, seconds, depth, self._space):
                return True
        self._set(gene, before)
        return False

    def _others(self, gene: int) -> list[int]:
        now, space = self._values[gene], self._space
        if gene < self._count:
            full = self._downsamplings >= space.max_downsamplings and not space.shrinks[now]
            return [b for b in space.choices(gene + 1) if b != now and not (full and space.shrinks[b])]
        last = gene == 2 * self._count
        values = space.depths if last else space.second_inputs(gene - self._count + 1)
        return [*range(values.start, now), *range(now + 1, values.stop)]

    def _set(self, gene: int, value: int) -> None:
        if gene < self._count:
            self._downsamplings += self._space.shrinks[value] - self._space.shrinks[self._values[gene]]
        self._values[gene] = value
