"""The classic: nodes in rows and columns, every connection a gene. No torch.

A node reads nodes of the `levels_back` columns before its own (or the image, where that is as near); which nodes are
active is found backwards from the output gene. Any depth of the range is drawn as likely as any other, without a draw
being rejected: the active nodes come first, a path and strands beside it (see `cgp.grid`), and then what is silent. A
gene may change to whatever keeps depth and poolings in their limits, which is known of every value at once, from the
set of nodes that each node depends on.
"""

from collections import Counter
from collections.abc import Sequence
from itertools import compress
from typing import Any, NamedTuple
from zlib import crc32

import numpy as np

from cgp.blocks import block
from cgp.errors import BadInput
from cgp.graph import Node
from cgp.space import Space
from cgp.wiring.grid_draw import Draw


class Genes(NamedTuple):
    """The genes of a grid of N cells, by what they mean; of each list entry n - 1 is about cell n."""

    blocks: Sequence[int]  #: indices into the names of the space
    firsts: Sequence[int]  #: the cell that is read
    seconds: Sequence[int]  #: the other cell that a join reads
    output: int  #: the cell that the head reads

    @classmethod
    def of(cls, genes: Sequence[int], space: Space) -> "Genes":
        """Read genes in the order of a genome: blocks, first inputs, second inputs, output."""
        cells = space.grid.cells
        return cls(genes[:cells], genes[cells : 2 * cells], genes[2 * cells : -1], genes[-1])

    def reads(self, cell: int, space: Space) -> tuple[int, ...]:
        """Return what `cell` reads."""
        first = self.firsts[cell - 1]
        return (first, self.seconds[cell - 1]) if space.joins[self.blocks[cell - 1]] else (first,)

    def active(self, space: Space) -> list[int]:
        """Return the cells that the output depends on, in order."""
        blocks, firsts, seconds, joins = self.blocks, self.firsts, self.seconds, space.joins
        used = bytearray(self.output + 1)
        used[self.output] = 1
        for cell in range(self.output, 0, -1):
            if used[cell]:
                used[firsts[cell - 1]] = 1
                if joins[blocks[cell - 1]]:
                    used[seconds[cell - 1]] = 1
        used[0] = 0
        return list(compress(range(self.output + 1), used))


class InGrid:
    """Genes of N cells: blocks 0..N-1, first inputs N..2N-1, second inputs 2N..3N-1, and the output, 3N."""

    def draw(self, space: Space, rng: np.random.Generator, turned_away: Counter[str] | None) -> tuple[int, ...]:
        """Draw genes in time linear in the cells; the depth is uniform over the range, both ends included.

        How many of its nodes are on the path is uniform, too, over what the grid allows. `turned_away` counts
        `downsamplings` and `size` (parameters or FLOPs).
        """
        drawn = Draw(space, rng)
        surplus = drawn.limit_downsamplings()
        shrunk = drawn.fit() if space.limited else 0
        if turned_away is not None:
            turned_away.update(downsamplings=surplus, size=shrunk)
        return (*drawn.blocks, *drawn.firsts, *drawn.seconds, drawn.output)

    def active(self, genes: Sequence[int], space: Space) -> list[int]:
        """Return the active cells' block genes and inputs, and the output gene."""
        found, cells = Genes.of(genes, space), space.grid.cells
        active = [cell - 1 for cell in found.active(space)]
        joins = [n for n in active if space.joins[found.blocks[n]]]
        return [*active, *(cells + n for n in active), *(2 * cells + n for n in joins), 3 * cells]

    def alternatives(self, genes: Sequence[int], index: int, space: Space) -> list[int]:
        """Return what gene `index` may be instead: what keeps depth and poolings of active nodes in their limits."""
        found, grid = Genes.of(genes, space), space.grid
        kind, place = divmod(index, grid.cells)
        cell, now = place + 1 if kind < 3 else grid.cells + 1, genes[index]
        values = grid.inputs(cell) if kind else _choices(space, cell)
        others = [value for value in values if value != now]
        if kind < 3:
            joins = space.joins[found.blocks[place]]
            if cell not in found.active(space) or (kind == 2 and not joins):
                return others
        if kind == 0:
            return _blocks_that_keep(found, cell, others, space)
        kept = {1: found.reads(cell, space)[1:], 2: (found.firsts[place],)}[kind] if kind < 3 else ()
        reached = _Reached(found, space, cell, kept)
        return [value for value in others if reached.keeps(reached.of[value])]

    def nodes(self, genes: Sequence[int], space: Space) -> tuple[Node, ...]:
        """Return the active nodes, in an order that does not depend on where in the grid they are."""
        return tuple(_ordered(Genes.of(genes, space), space).values())

    def all_nodes(self, genes: Sequence[int], space: Space) -> tuple[tuple[Node, ...], frozenset[int]]:
        """Return the active nodes as `nodes` does, and behind them the silent ones in the order of the grid.

        Silent nodes whose maps would be smaller than a pixel are left out, and what reads them.
        """
        found = Genes.of(genes, space)
        nodes = _ordered(found, space)
        place = {0: 0} | {cell: n for n, cell in enumerate(nodes, 1)}
        active, side = len(nodes), min(space.image.height, space.image.width)
        halvings = {0: 0}
        for cell in range(1, space.grid.cells + 1):
            sources = found.reads(cell, space)
            if not all(source in halvings for source in sources):
                continue
            halved = max(halvings[source] for source in sources) + space.shrinks[found.blocks[cell - 1]]
            if side >> halved:
                halvings[cell] = halved
                if cell not in place:
                    name = space.names[found.blocks[cell - 1]]
                    place[cell] = len(place)
                    nodes[cell] = Node(name, tuple(place[source] for source in sources))
        return tuple(nodes.values()), frozenset(range(1, active + 1))

    def cost(self, genes: Sequence[int], space: Space) -> tuple[int, int]:
        """Return parameters and FLOPs."""
        found = Genes.of(genes, space)
        return _cost(found, found.active(space), space)

    def check(self, genes: Sequence[int], space: Space) -> None:
        """Raise BadInput, naming cell and gene, unless each gene is one that `space` admits there."""
        found, grid = Genes.of(genes, space), space.grid
        for cell, (gene, *inputs) in enumerate(zip(found.blocks, found.firsts, found.seconds, strict=True), 1):
            if gene not in _choices(space, cell):
                names = [space.names[choice] for choice in _choices(space, cell)]
                raise BadInput(f"genome: cell {cell}, block gene {gene!r}; expected one of {names}")
            for source in inputs:
                _check_input(f"cell {cell}, input gene", source, grid.inputs(cell))
        _check_input("output gene", found.output, grid.inputs(grid.cells + 1))
        active = found.active(space)
        if len(active) not in space.depths:
            raise BadInput(f"genome: {len(active)} active nodes; expected {space.min_depth}..{space.max_depth}")
        shrinking = [cell for cell in active if space.shrinks[found.blocks[cell - 1]]]
        if len(shrinking) > space.max_downsamplings:
            raise BadInput(
                f"genome: cell {shrinking[-1]}, block gene downsamples once more than the "
                f"{space.max_downsamplings} that images of {tuple(space.image)} afford"
            )

    def to_json(self, genes: Sequence[int], space: Space) -> dict[str, Any]:
        """Return depth, block names, inputs (two of each cell) and output."""
        found = Genes.of(genes, space)
        inputs = [list(pair) for pair in zip(found.firsts, found.seconds, strict=True)]
        names = [space.names[gene] for gene in found.blocks]
        return {"depth": len(found.active(space)), "blocks": names, "inputs": inputs, "output": found.output}

    def from_json(self, value: dict[str, Any], space: Space) -> tuple[int, ...]:
        """Read what `to_json` made. Raises BadInput for anything else."""
        try:
            names, output = list(value["blocks"]), value["output"]
            firsts, seconds = ([inputs[n] for inputs in value["inputs"]] for n in range(2))
        except (KeyError, TypeError, IndexError) as error:
            raise BadInput(f"genome: {error!r}; expected blocks, inputs (two of each cell) and output") from error
        for cell, name in enumerate(names, 1):
            if name not in space.names:
                raise BadInput(f"genome: cell {cell}, block gene {name!r}; expected one of {space.names}")
        for what, given in (("block genes", names), ("pairs of inputs", firsts)):
            if len(given) != space.grid.cells:
                raise BadInput(f"genome: {len(given)} {what}; expected {space.grid.cells}, one per cell")
        return (*(space.names.index(name) for name in names), *firsts, *seconds, output)


def _choices(space: Space, cell: int) -> tuple[int, ...]:
    """Return the block genes that `cell` may have: in column 0, which reads the image, those of a first node."""
    return space.later_choices if space.grid.column(cell) else space.first_choices


def _check_input(what: str, gene: int, admitted: range) -> None:
    if type(gene) is not int or gene not in admitted:
        raise BadInput(f"genome: {what} {gene!r}; expected {admitted[0]}..{admitted[-1]}")


def _cost(genes: Genes, active: Sequence[int], space: Space) -> tuple[int, int]:
    """Return what the network of the `active` cells costs, of which the last is the output."""
    blocks, firsts, seconds = ([of_cells[cell - 1] for cell in active] for of_cells in genes[:3])
    return space.costs.of(blocks, firsts, seconds, numbers=active)


# -- what a gene may be instead


class _Reached:
    """The sets of cells, as bits of a number, that each cell depends on, itself included: `of[0]` is empty.

    Of the `changed` cell only what it keeps reading counts, and where the output changes none; `base` is what the
    network then is without the rest.
    """

    def __init__(self, genes: Genes, space: Space, changed: int, kept: Sequence[int]) -> None:
        self._space = space
        self.of = of = [0]
        self.poolings = 0
        shrinks = space.shrinks
        for cell, gene in enumerate(genes.blocks, 1):
            reads = kept if cell == changed else genes.reads(cell, space)
            found = bit = 1 << cell
            for source in reads:
                found |= of[source]
            of.append(found)
            if shrinks[gene]:
                self.poolings |= bit
        self.base = 0 if changed > len(genes.blocks) else of[genes.output]

    def keeps(self, more: int, poolings: int | None = None) -> bool:
        """Whether the network keeps its limits that depends on `more` than the base."""
        whole = self.base | more
        shrinking = whole & (self.poolings if poolings is None else poolings)
        return whole.bit_count() in self._space.depths and shrinking.bit_count() <= self._space.max_downsamplings


def _blocks_that_keep(genes: Genes, cell: int, others: Sequence[int], space: Space) -> list[int]:
    """Return those of `others` that the active `cell` may be."""
    reached = _Reached(genes, space, cell, ())
    first, second = (reached.of[source[cell - 1]] for source in (genes.firsts, genes.seconds))
    bit = 1 << cell
    kept = dict[tuple[bool, bool], bool]()
    for joins in (False, True):
        for shrinks in (False, True):
            poolings = reached.poolings | bit if shrinks else reached.poolings & ~bit
            kept[joins, shrinks] = reached.keeps(first | second if joins else first, poolings)
    return [gene for gene in others if kept[space.joins[gene], space.shrinks[gene]]]


# -- what the genes mean


def _ordered(genes: Genes, space: Space) -> dict[int, Node]:
    """Return the active cells as nodes, in the order in which the output, asking first inputs first, needs them.

    So the order is the same wherever in the grid the cells are; the inputs of a sum, which mean the same either way
    round, are in the order of a checksum of what they depend on.
    """
    forms, inputs = {0: 0}, dict[int, tuple[int, ...]]()
    for cell in genes.active(space):
        name, sources = space.names[genes.blocks[cell - 1]], genes.reads(cell, space)
        if block(name).join == "sum":
            sources = tuple(sorted(sources, key=forms.__getitem__))
        inputs[cell] = sources
        forms[cell] = crc32(f"{name}{[forms[source] for source in sources]}".encode())
    nodes, place, waiting = dict[int, Node](), {0: 0}, [genes.output]
    while waiting:
        cell = waiting[-1]
        missing = [source for source in inputs[cell] if source not in place]
        if missing:
            waiting.append(missing[0])
            continue
        waiting.pop()
        place[cell] = len(place)
        nodes[cell] = Node(space.names[genes.blocks[cell - 1]], tuple(place[source] for source in inputs[cell]))
    return nodes
