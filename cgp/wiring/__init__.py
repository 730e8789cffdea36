"""How genes mean connections. A genome's genes are integers; its wiring says what each may be and which count.

sequential   a chain, whose length is a gene
grid         rows and columns, every connection a gene; grid_draw, how such genes are drawn

To add one: write a class with the methods of `Wiring` in a file of its own and enter it in `WIRINGS`.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from cgp.graph import Node
from cgp.space import Space
from cgp.wiring.grid import InGrid
from cgp.wiring.sequential import Sequential

__all__ = ["WIRINGS", "InGrid", "Sequential", "Wiring", "wiring"]


class Wiring(Protocol):
    """All that drawing, mutating and reading a genome of a space asks of its wiring."""

    def draw(self, space: Space, rng: np.random.Generator, turned_away: Counter[str] | None) -> tuple[int, ...]:
        """Return the genes of a random genome, within the limits of `space`, without rejecting any draw.

        `turned_away`, where given, counts the block genes that gave way to limits, by kind of limit.
        """

    def active(self, genes: Sequence[int], space: Space) -> list[int]:
        """Return the indices of the genes that the graph depends on; the others are silent."""

    def alternatives(self, genes: Sequence[int], index: int, space: Space) -> list[int]:
        """Return what gene `index` may be instead, the others being as they are, whatever the network would cost."""

    def nodes(self, genes: Sequence[int], space: Space) -> tuple[Node, ...]:
        """Return the active nodes in topological order: equal wherever the network is the same one."""

    def all_nodes(self, genes: Sequence[int], space: Space) -> tuple[tuple[Node, ...], frozenset[int]]:
        """Return every node, silent ones too, in topological order, and the numbers (from 1) of the active ones.

        The active ones come in the order of `nodes`. Silent nodes that no map could reach are left out.
        """

    def cost(self, genes: Sequence[int], space: Space) -> tuple[int, int]:
        """Return parameters, and forward FLOPs per image, of the network."""

    def check(self, genes: Sequence[int], space: Space) -> None:
        """Raise BadInput, naming node and gene, unless each gene is one that `space` admits there."""

    def to_json(self, genes: Sequence[int], space: Space) -> dict[str, Any]:
        """Return a plain value that `from_json` reads, with blocks by name."""

    def from_json(self, value: dict[str, Any], space: Space) -> tuple[int, ...]:
        """Read what `to_json` made. Raises BadInput for anything else."""


WIRINGS: dict[str, Wiring] = {"sequential": Sequential(), "grid": InGrid()}


def wiring(space: Space) -> Wiring:
    """Return the wiring of the genomes of `space`."""
    return WIRINGS[space.wiring]
