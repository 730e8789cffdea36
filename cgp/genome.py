"""A genome: integer genes, frozen, valid by construction. No torch.

Sequential wiring. Node n (counted from 1) reads node n - 1, and that is no gene; a block with two
inputs reads a second, earlier node, and that is one. The depth gene says how many nodes are active;
the nodes behind it are silent: they drift under mutation and wake when the depth grows.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from operator import ne
from typing import Any

import numpy as np

from cgp.errors import BadInput
from cgp.graph import Graph, Node
from cgp.space import Space

_PARTS = 8  # in which nodes are made cheaper: fine enough to end close below a limit


@dataclass(frozen=True)
class Genome:
    """Genes of `space.max_depth` nodes and the depth; see `validate` for what they may be."""

    blocks: tuple[int, ...]  #: per node, an index into `space.names`
    seconds: tuple[int, ...]  #: per node, where a second input would come from
    depth: int

    def graph(self, space: Space) -> Graph:
        """Return the active nodes: what this genome means."""
        nodes = []
        for n, gene, second in zip(range(1, self.depth + 1), self.blocks, self.seconds, strict=False):
            inputs = (n - 1, second) if space.joins[gene] else (n - 1,)
            nodes.append(Node(space.names[gene], inputs))
        return Graph(tuple(nodes), space.image, space.classes)

    def to_json(self, space: Space) -> dict[str, Any]:
        """Return a plain value that `from_json` reads, with blocks by name."""
        names = [space.names[gene] for gene in self.blocks]
        return {"depth": self.depth, "blocks": names, "second_inputs": list(self.seconds)}

    @classmethod
    def from_json(cls, value: dict[str, Any], space: Space) -> "Genome":
        """Read what `to_json` made. Raises BadInput, naming node and gene, if it is not in `space`."""
        try:
            names, seconds, depth = list(value["blocks"]), list(value["second_inputs"]), value["depth"]
        except (KeyError, TypeError) as error:
            raise BadInput(f"genome: {error!r}; expected depth, blocks and second_inputs") from error
        for n, name in enumerate(names, 1):
            if name not in space.names:
                raise BadInput(f"genome: node {n}, block gene {name!r}; expected one of {space.names}")
        genome = cls(tuple(space.names.index(name) for name in names), tuple(seconds), depth)
        validate(genome, space)
        return genome


def validate(genome: Genome, space: Space) -> None:
    """Raise BadInput, naming node and gene, unless `genome` could have been drawn from `space`."""
    for what, genes in (("block", genome.blocks), ("second-input", genome.seconds)):
        if len(genes) != space.max_depth:
            raise BadInput(f"genome: {len(genes)} {what} genes; expected {space.max_depth}, one per node")
    if type(genome.depth) is not int or genome.depth not in space.depths:
        raise BadInput(f"genome: depth gene {genome.depth!r}; expected {space.min_depth}..{space.max_depth}")
    for n, (gene, second) in enumerate(zip(genome.blocks, genome.seconds, strict=True), 1):
        if gene not in space.choices(n):
            names = [space.names[choice] for choice in space.choices(n)]
            raise BadInput(f"genome: node {n}, block gene {gene!r}; expected one of {names}")
        if type(second) is not int or second not in space.second_inputs(n):
            expected = space.second_inputs(n)
            raise BadInput(f"genome: node {n}, second-input gene {second!r}; expected {expected[0]}..{expected[-1]}")
    shrinking = [n for n, gene in enumerate(genome.blocks, 1) if space.shrinks[gene]]
    if len(shrinking) > space.max_downsamplings:
        raise BadInput(
            f"genome: node {shrinking[-1]}, block gene downsamples once more than the "
            f"{space.max_downsamplings} that images of {tuple(space.image)} afford"
        )
    if not within_limits(genome.blocks, genome.seconds, genome.depth, space):
        graph = genome.graph(space)
        raise BadInput(
            f"genome: {graph.params:,} parameters, {graph.flops:,} FLOPs; expected within "
            f"max_params {space.params_limit}, max_flops {space.max_flops}"
        )


def within_limits(blocks: Sequence[int], seconds: Sequence[int], depth: int, space: Space) -> bool:
    """Whether the network of these genes keeps the limits of `space`."""
    return not space.limited or space.admits(*space.costs.of(blocks, seconds, depth))


def draw(space: Space, rng: np.random.Generator, turned_away: Counter[str] | None = None) -> Genome:
    """Draw a genome in time linear in its nodes, without rejecting any draw.

    The depth is uniform over the range, both ends included. `turned_away`, where given, counts the
    block genes that gave way to the limits: `downsamplings` and `size` (parameters or FLOPs).
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
    return Genome(tuple(blocks), tuple(seconds.tolist()), depth)


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

    Nodes in random order get the narrowest block of their kind, an eighth of them at a time, so that wiring and
    kinds stay; where that is not enough, the cheapest block; at last the whole is the cheapest network of its
    depth, which the space guarantees to fit. Returns how many blocks were replaced.
    """
    if within_limits(blocks, seconds, depth, space):
        return 0
    order = rng.permutation(depth).tolist()

    def cheaper(level: int) -> list[int]:
        if level > 2 * _PARTS:
            silent = [
                space.cheapest[n > 0] if space.shrinks[blocks[n]] else blocks[n] for n in range(depth, len(blocks))
            ]
            return space.cheapest_genes(depth) + silent
        genes = list(blocks)
        for n in order[: depth * min(level, _PARTS) // _PARTS]:
            genes[n] = space.narrowest[n > 0][genes[n]]
        for n in order[: depth * max(0, level - _PARTS) // _PARTS]:
            if not space.shrinks[genes[n]]:
                genes[n] = space.cheapest[n > 0]
        return genes

    level = bisect_left(
        range(2 * _PARTS + 1), True, 1, key=lambda level: within_limits(cheaper(level), seconds, depth, space)
    )
    before, blocks[:] = list(blocks), cheaper(level)
    return sum(map(ne, before, blocks))
