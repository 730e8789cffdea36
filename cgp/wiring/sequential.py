"""A chain whose length is a gene. No torch.

Node n (counted from 1) reads node n - 1, and that is no gene; a block with two inputs reads a second, earlier
node, and that is one. The depth gene says how many nodes are active; the nodes behind it are silent: they drift
under mutation and wake when the depth grows.
"""

from collections import Counter
from collections.abc import Sequence
from itertools import compress
from operator import ne
from typing import Any

import numpy as np

from cgp.errors import BadInput
from cgp.graph import Node
from cgp.space import Space
from cgp.wiring.fitting import narrowed


class Sequential:
    """Genes of N = `space.max_depth` nodes: blocks 0..N-1, second inputs N..2N-1, and depth, 2N.

    Block genes are indices into `space.names`.
    """

    def draw(self, space: Space, rng: np.random.Generator, turned_away: Counter[str] | None) -> tuple[int, ...]:
        """Draw genes in time linear in the nodes; the depth is uniform over the range, both ends included.

        `turned_away` counts `downsamplings` and `size` (parameters or FLOPs).
        """
        count = space.max_depth
        depth = int(rng.integers(space.min_depth, count + 1))
        genes = np.asarray(space.later_choices)[rng.integers(len(space.later_choices), size=count)]
        genes[0] = space.first_choices[rng.integers(len(space.first_choices))]
        nodes = np.arange(1, count + 1)
        lowest = np.maximum(0, nodes - space.levels_back)
        seconds = lowest + (rng.random(count) * (np.maximum(1, nodes - 1) - lowest)).astype(np.int64)
        surplus = _surplus_downsamplings(genes, depth, space, rng)
        for n in surplus:
            plain = space.plain(n + 1)
            genes[n] = plain[rng.integers(len(plain))]
        blocks = genes.tolist()
        shrunk = _fit(blocks, seconds.tolist(), depth, space, rng) if space.limited else 0
        if turned_away is not None:
            turned_away.update(downsamplings=len(surplus), size=shrunk)
        return (*blocks, *seconds.tolist(), depth)

    def active(self, genes: Sequence[int], space: Space) -> list[int]:
        """Return the active nodes' block genes, the second inputs of those that have one, and the depth gene."""
        count, depth = space.max_depth, genes[-1]
        joins = map(space.joins.__getitem__, genes[:depth])
        return [*range(depth), *compress(range(count, 2 * count), joins), 2 * count]

    def alternatives(self, genes: Sequence[int], index: int, space: Space) -> list[int]:
        """Return what gene `index` may be instead."""
        now, count = genes[index], space.max_depth
        if index < count:
            shrinks = space.shrinks
            afforded = shrinks[now] or sum(map(shrinks.__getitem__, genes[:count])) < space.max_downsamplings
            return [gene for gene in space.choices(index + 1) if gene != now and (afforded or not shrinks[gene])]
        values = space.depths if index == 2 * count else space.second_inputs(index - count + 1)
        return [*range(values.start, now), *range(now + 1, values.stop)]

    def nodes(self, genes: Sequence[int], space: Space) -> tuple[Node, ...]:
        """Return the active nodes, a chain with second inputs."""
        return _chain(genes, space, genes[-1])

    def all_nodes(self, genes: Sequence[int], space: Space) -> tuple[tuple[Node, ...], frozenset[int]]:
        """Return every node, and the numbers of the active ones, with which the chain begins."""
        return _chain(genes, space, space.max_depth), frozenset(range(1, genes[-1] + 1))

    def cost(self, genes: Sequence[int], space: Space) -> tuple[int, int]:
        """Return parameters and FLOPs."""
        blocks, seconds, depth = split(genes, space)
        return space.costs.of(blocks, range(depth), seconds)

    def check(self, genes: Sequence[int], space: Space) -> None:
        """Raise BadInput, naming node and gene, unless each gene is one that `space` admits there."""
        blocks, seconds, depth = split(genes, space)
        if type(depth) is not int or depth not in space.depths:
            raise BadInput(f"genome: depth gene {depth!r}; expected {space.min_depth}..{space.max_depth}")
        for n, (gene, second) in enumerate(zip(blocks, seconds, strict=True), 1):
            if gene not in space.choices(n):
                names = [space.names[choice] for choice in space.choices(n)]
                raise BadInput(f"genome: node {n}, block gene {gene!r}; expected one of {names}")
            if type(second) is not int or second not in space.second_inputs(n):
                expected = space.second_inputs(n)
                raise BadInput(
                    f"genome: node {n}, second-input gene {second!r}; expected {expected[0]}..{expected[-1]}"
                )
        shrinking = [n for n, gene in enumerate(blocks, 1) if space.shrinks[gene]]
        if len(shrinking) > space.max_downsamplings:
            raise BadInput(
                f"genome: node {shrinking[-1]}, block gene downsamples once more than the "
                f"{space.max_downsamplings} that images of {tuple(space.image)} afford"
            )

    def to_json(self, genes: Sequence[int], space: Space) -> dict[str, Any]:
        """Return depth, block names and second inputs."""
        blocks, seconds, depth = split(genes, space)
        return {"depth": depth, "blocks": [space.names[gene] for gene in blocks], "second_inputs": list(seconds)}

    def from_json(self, value: dict[str, Any], space: Space) -> tuple[int, ...]:
        """Read what `to_json` made. Raises BadInput for anything else."""
        try:
            names, seconds, depth = list(value["blocks"]), list(value["second_inputs"]), value["depth"]
        except (KeyError, TypeError) as error:
            raise BadInput(f"genome: {error!r}; expected depth, blocks and second_inputs") from error
        for n, name in enumerate(names, 1):
            if name not in space.names:
                raise BadInput(f"genome: node {n}, block gene {name!r}; expected one of {space.names}")
        for what, given in (("block", names), ("second-input", seconds)):
            if len(given) != space.max_depth:
                raise BadInput(f"genome: {len(given)} {what} genes; expected {space.max_depth}, one per node")
        return (*(space.names.index(name) for name in names), *seconds, depth)


def split(genes: Sequence[int], space: Space) -> tuple[Sequence[int], Sequence[int], int]:
    """Return block genes, second-input genes and the depth gene."""
    count = space.max_depth
    return genes[:count], genes[count:-1], genes[-1]


def _chain(genes: Sequence[int], space: Space, length: int) -> tuple[Node, ...]:
    """Return the first `length` nodes."""
    blocks, seconds, _ = split(genes, space)
    return tuple(
        Node(space.names[blocks[n]], (n, seconds[n]) if space.joins[blocks[n]] else (n,)) for n in range(length)
    )


def _surplus_downsamplings(
    genes: np.ndarray[Any, np.dtype[np.int64]], depth: int, space: Space, rng: np.random.Generator
) -> list[int]:
    """Indices of the downsampling genes that the image does not afford.

    Which ones stay is drawn at random among the active nodes first, so that silent nodes do not
    take the few there are.
    """
    shrinking = np.flatnonzero(np.asarray(space.shrinks)[genes])
    active = int(np.searchsorted(shrinking, depth))
    order = np.concatenate([rng.permutation(active), active + rng.permutation(len(shrinking) - active)])
    return [int(n) for n in shrinking[order[space.max_downsamplings :]]]


def _fit(blocks: list[int], seconds: list[int], depth: int, space: Space, rng: np.random.Generator) -> int:
    """Make the active nodes cheaper, in place and as little as it takes, until they keep the limits of `space`.

    At last the whole is the cheapest network of its depth, which the space guarantees to fit. Returns how many blocks
    were replaced.
    """

    def fits(genes: Sequence[int]) -> bool:
        return space.fits(genes, range(depth), seconds)

    if fits(blocks):
        return 0
    fitted = narrowed(blocks[:depth], [False, *[True] * (depth - 1)], space.shrinks, fits, space, rng)
    silent = blocks[depth:]
    if fitted is None:
        fitted = space.cheapest_genes(depth)
        silent = [space.cheapest[1] if space.shrinks[gene] else gene for gene in silent]
    before, blocks[:] = list(blocks), fitted + silent
    return sum(map(ne, before, blocks))
