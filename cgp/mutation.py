"""Point mutation. A child depends on the genome and the random generator alone."""

import numpy as np

from cgp.genome import Genome, within_limits
from cgp.space import Space


def forced(genome: Genome, space: Space, rng: np.random.Generator, rate: float) -> Genome:
    """Mutate each gene with probability `rate`, and at least one active gene: a child.

    The graph differs from the parent's wherever the space holds a neighbour within its limits.
    """
    child = _mutate(genome, space, rng, rng.random(2 * space.max_depth + 1) < rate)
    if child.graph(space).nodes != genome.graph(space).nodes:
        return child
    active = active_genes(child, space)
    for index in rng.permutation(len(active)):
        changed = _change(child, space, active[index], rng)
        if changed is not None:
            return changed
    return child


def neutral(genome: Genome, space: Space, rng: np.random.Generator, rate: float) -> Genome:
    """Mutate each silent gene with probability `rate`: the graph stays the same."""
    hit = rng.random(2 * space.max_depth + 1) < rate
    hit[active_genes(genome, space)] = False
    return _mutate(genome, space, rng, hit)


def active_genes(genome: Genome, space: Space) -> list[int]:
    """Indices of the genes that the graph depends on.

    Genes are numbered: blocks 0..N-1, second inputs N..2N-1, depth 2N, for N = `space.max_depth`.
    """
    count = space.max_depth
    joins = [count + n for n in range(genome.depth) if space.blocks[genome.blocks[n]].arity == 2]
    return [*range(genome.depth), *joins, 2 * count]


def _mutate(
    genome: Genome, space: Space, rng: np.random.Generator, hit: np.ndarray[tuple[int], np.dtype[np.bool_]]
) -> Genome:
    for gene in np.flatnonzero(hit):
        genome = _change(genome, space, int(gene), rng) or genome
    return genome


def _change(genome: Genome, space: Space, gene: int, rng: np.random.Generator) -> Genome | None:
    """Give `gene` another value, or return None where the space has no other for it."""
    others = _alternatives(genome, space, gene)
    if not space.limited:
        return _with(genome, gene, others[rng.integers(len(others))]) if others else None
    for index in rng.permutation(len(others)):
        changed = _with(genome, gene, others[index])
        if within_limits(changed, space):
            return changed
    return None


def _alternatives(genome: Genome, space: Space, gene: int) -> list[int]:
    count = space.max_depth
    if gene == 2 * count:
        return [d for d in range(space.min_depth, count + 1) if d != genome.depth]
    if gene >= count:
        now = genome.seconds[gene - count]
        return [source for source in space.second_inputs(gene - count + 1) if source != now]
    now = genome.blocks[gene]
    shrinking = sum(map(space.shrinks.__getitem__, genome.blocks))
    full = shrinking >= space.max_downsamplings and not space.shrinks[now]
    return [b for b in space.choices(gene + 1) if b != now and not (full and space.shrinks[b])]


def _with(genome: Genome, gene: int, value: int) -> Genome:
    count = len(genome.blocks)
    if gene == 2 * count:
        return Genome(genome.blocks, genome.seconds, value)
    if gene >= count:
        at = gene - count
        return Genome(genome.blocks, (*genome.seconds[:at], value, *genome.seconds[at + 1 :]), genome.depth)
    return Genome((*genome.blocks[:gene], value, *genome.blocks[gene + 1 :]), genome.seconds, genome.depth)
