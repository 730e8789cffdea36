"""Point mutation, whatever the wiring. A child depends on the genome and the random generator alone. No torch."""

from collections.abc import Sequence

import numpy as np

from cgp.genome import Genome, within_limits
from cgp.space import Space
from cgp.wiring import wiring


def forced(genome: Genome, space: Space, rng: np.random.Generator, rate: float) -> Genome:
    """Mutate each gene with probability `rate`, and at least one active gene: a child.

    The graph differs from the parent's wherever the space holds a neighbour within its limits.
    """
    child = list(genome.genes)
    _mutate(child, space, rng, rng.random(len(child)) < rate)
    if _same(child, genome, space):
        _change_network(child, genome, space, rng)
    return Genome(tuple(child))


def one_gene(genome: Genome, space: Space, rng: np.random.Generator) -> Genome:
    """Change one active gene: the nearest child.

    It is the genome itself where the space holds no neighbour within its limits.
    """
    child = list(genome.genes)
    _change_network(child, genome, space, rng)
    return Genome(tuple(child))


def neutral(genome: Genome, space: Space, rng: np.random.Generator, rate: float) -> Genome:
    """Mutate each silent gene with probability `rate`: the graph stays the same."""
    hit = rng.random(len(genome.genes)) < rate
    hit[wiring(space).active(genome.genes, space)] = False
    drifted = list(genome.genes)
    _mutate(drifted, space, rng, hit)
    return Genome(tuple(drifted))


def _same(genes: Sequence[int], genome: Genome, space: Space) -> bool:
    """Whether `genes` mean the network that `genome` means."""
    found = wiring(space)
    return found.nodes(genes, space) == found.nodes(genome.genes, space)


def _change_network(child: list[int], genome: Genome, space: Space, rng: np.random.Generator) -> None:
    """Change one active gene of `child`, which means what `genome` does, so that it means another network.

    Genes are tried in random order. In a chain the first is enough; in a grid a change may lead to a node that is
    like the one before, and is taken back.
    """
    active = wiring(space).active(child, space)
    for place in rng.permutation(len(active)):
        index = active[place]
        before = child[index]
        if _change(child, index, space, rng):
            if not _same(child, genome, space):
                break
            child[index] = before


def _mutate(
    genes: list[int], space: Space, rng: np.random.Generator, hit: np.ndarray[tuple[int], np.dtype[np.bool_]]
) -> None:
    for index in np.flatnonzero(hit).tolist():
        _change(genes, index, space, rng)


def _change(genes: list[int], index: int, space: Space, rng: np.random.Generator) -> bool:
    """Give gene `index` another value in place; return False where the space has no other for it."""
    others = wiring(space).alternatives(genes, index, space)
    if not space.limited:
        if others:
            genes[index] = others[rng.integers(len(others))]
        return bool(others)
    before = genes[index]
    for choice in rng.permutation(len(others)):
        genes[index] = others[choice]
        if within_limits(genes, space):
            return True
    genes[index] = before
    return False
