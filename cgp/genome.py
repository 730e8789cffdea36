"""A genome: integer genes, frozen, valid by construction. What they mean is the wiring's to say. No torch."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cgp.errors import BadInput
from cgp.graph import Graph
from cgp.space import Space
from cgp.wiring import wiring


@dataclass(frozen=True)
class Genome:
    """Genes, in the order of the space's wiring (see `cgp.wiring`)."""

    genes: tuple[int, ...]

    def graph(self, space: Space) -> Graph:
        """Return the active nodes: what this genome means."""
        nodes = wiring(space).nodes(self.genes, space)
        return Graph(nodes, space.image, space.classes, space.head, space.norm_epsilon)

    def to_json(self, space: Space) -> dict[str, Any]:
        """Return a plain value that `from_json` reads, with blocks by name."""
        return wiring(space).to_json(self.genes, space)

    @classmethod
    def from_json(cls, value: dict[str, Any], space: Space) -> "Genome":
        """Read what `to_json` made. Raises BadInput, naming node and gene, if it is not in `space`."""
        genome = cls(wiring(space).from_json(value, space))
        validate(genome, space)
        return genome


def validate(genome: Genome, space: Space) -> None:
    """Raise BadInput, naming node and gene, unless `genome` could have been drawn from `space`."""
    wiring(space).check(genome.genes, space)
    if not within_limits(genome.genes, space):
        graph = genome.graph(space)
        raise BadInput(
            f"genome: {graph.params:,} parameters, {graph.flops:,} FLOPs; expected within "
            f"max_params {space.params_limit}, max_flops {space.max_flops}"
        )


def within_limits(genes: Sequence[int], space: Space) -> bool:
    """Whether the network of `genes` keeps the limits of `space`."""
    return not space.limited or space.admits(*wiring(space).cost(genes, space))


def draw(space: Space, rng: np.random.Generator, turned_away: Counter[str] | None = None) -> Genome:
    """Draw a genome in time linear in its nodes, without rejecting any draw.

    The depth is uniform over the range, both ends included. `turned_away`, where given, counts the
    block genes that gave way to the limits: `downsamplings` and `size` (parameters or FLOPs).
    """
    return Genome(wiring(space).draw(space, rng, turned_away))
