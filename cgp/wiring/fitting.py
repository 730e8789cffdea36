"""A draw that is too costly is made cheaper, rather than rejected. No torch."""

from bisect import bisect_left
from collections.abc import Callable, Sequence

import numpy as np

from cgp.space import Space

_PARTS = 8  # in which nodes are made cheaper: fine enough to end close below a limit


def narrowed(
    blocks: Sequence[int],
    later: Sequence[bool],
    kept: Sequence[bool],
    fits: Callable[[Sequence[int]], bool],
    space: Space,
    rng: np.random.Generator,
) -> list[int] | None:
    """Return the block genes of nodes, made cheaper as little as it takes until they fit; None where none do.

    Nodes in random order get the narrowest block of their kind, an eighth of them at a time, so that wiring and
    kinds stay; where that is not enough, the cheapest block, but for the genes that are `kept`. A node is `later`
    where it may have any block of the set.
    """
    order, narrowest = rng.permutation(len(blocks)).tolist(), space.narrowest

    def cheaper(level: int) -> list[int]:
        genes = list(blocks)
        for n in order[: len(blocks) * min(level, _PARTS) // _PARTS]:
            genes[n] = narrowest[later[n]][genes[n]]
        for n in order[: len(blocks) * max(0, level - _PARTS) // _PARTS]:
            if not kept[genes[n]]:
                genes[n] = space.cheapest[later[n]]
        return genes

    usual, all_narrow, cheapest = range(1, _PARTS), range(_PARTS, _PARTS + 1), range(_PARTS + 1, 2 * _PARTS + 1)
    for levels in (usual, all_narrow, cheapest):  # in one range, bisection would ask of the cheapest too often
        place = bisect_left(levels, True, key=lambda level: fits(cheaper(level)))
        if place < len(levels):
            return cheaper(levels[place])
    return None
