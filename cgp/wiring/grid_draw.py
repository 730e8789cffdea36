"""How the genes of a grid are drawn: the active cells first, and then what is silent. No torch."""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from operator import ne

import numpy as np

from cgp.grid import Numbers
from cgp.space import Space
from cgp.wiring.fitting import narrowed

_JOINING = 0.25  #: chance that a strand joins the path where it may go on: few joins beside those of the function set


class Draw:
    """Genes that are being drawn: first the active cells, then what is random behind them."""

    def __init__(self, space: Space, rng: np.random.Generator) -> None:
        """Draw depth, cells, blocks and connections, whatever the poolings and the cost."""
        self._space, self._rng = space, rng
        grid = space.grid
        depth = int(rng.integers(space.min_depth, space.max_depth + 1))
        lengths = grid.lengths(depth, any(space.joins))
        length = int(rng.integers(lengths.start, lengths.stop))
        self._fill()
        columns = grid.path(length, depth - length, rng)
        rows = (rng.random(length) * grid.rows).astype(np.int64)
        self._path: list[int] = (columns * grid.rows + rows + 1).tolist()
        self._beside = self._cells_beside(columns, rows, depth - length) if depth > length else []
        self.active = sorted(self._path + [cell for cell, _, _ in self._beside])
        self._chances: Iterator[float] = iter(rng.random(4 * depth).tolist())
        self._connect()

    @property
    def output(self) -> int:
        """The cell that the head reads."""
        return self._path[-1]

    def _fill(self) -> None:
        """Draw all genes, as if all cells were silent."""
        space, rng, grid = self._space, self._rng, self._space.grid
        lowest, count = grid.reach
        chances = rng.random((3, grid.cells))
        of_block = np.full(grid.cells, len(space.later_choices))
        of_block[: grid.rows] = len(space.first_choices)
        genes = (chances[0] * of_block).astype(np.int64)
        blocks = np.asarray(space.later_choices)[genes % len(space.later_choices)]
        blocks[: grid.rows] = np.asarray(space.first_choices)[genes[: grid.rows]]
        inputs = lowest + (chances[1:] * count).astype(np.int64)
        self.blocks: list[int] = blocks.tolist()
        self.firsts: list[int]
        self.seconds: list[int]
        self.firsts, self.seconds = inputs.tolist()

    def _cells_beside(self, columns: Numbers, rows: Numbers, count: int) -> list[tuple[int, int, int]]:
        """Draw cells beside the path, at most one in a column, each before the path's last column.

        Returns them in order, each with its column and the place in the path of the next cell there.
        """
        grid, rng = self._space.grid, self._rng
        taken = np.full(grid.columns, -1)
        taken[columns] = rows
        chosen = np.sort(rng.permutation(columns[-1])[:count])
        away = taken[chosen]  # the row of the path, where it has a cell in that column
        free = (rng.random(count) * (grid.rows - (away >= 0))).astype(np.int64)
        free += (free >= away) & (away >= 0)
        ahead = np.searchsorted(columns, chosen, side="right")
        cells = chosen * grid.rows + free + 1
        return list(zip(cells.tolist(), chosen.tolist(), ahead.tolist(), strict=True))

    def _connect(self) -> None:
        """Connect the active cells: the path, then strands beside it, then whatever else joins two of them."""
        space, grid = self._space, self._space.grid
        for before, cell in zip([0, *self._path], self._path, strict=False):
            self.firsts[cell - 1] = before
        joined = self._connect_beside()
        joins = space.joins
        for cell in self.active:
            if joins[self.blocks[cell - 1]] and cell not in joined:
                others = self._active_before(cell, self.firsts[cell - 1])
                if others:
                    self.seconds[cell - 1] = self._one_of(others)
                else:
                    self.blocks[cell - 1] = self._one_of(space.plain(2 if grid.column(cell) else 1))

    def _connect_beside(self) -> set[int]:
        """Connect the cells beside the path to strands that begin and end on it; return the cells that join them.

        A strand goes on with the next cell beside the path, or joins the path at its next cell, by chance; where one
        of the two is impossible, the other is not.
        """
        space, rows, joined, strand = self._space, self._space.grid.rows, set[int](), 0
        every_join = [gene for gene in space.later_choices if space.joins[gene]]
        for n, (cell, column, ahead) in enumerate(self._beside):
            self.firsts[cell - 1] = strand or self._one_of(self._active_before(cell))
            strand, join = cell, self._path[ahead]
            out_of_reach = column + space.levels_back + 1
            following = self._beside[n + 1][1] if n + 1 < len(self._beside) else out_of_reach
            apart = following >= out_of_reach
            if apart or ((join - 1) // rows <= following and next(self._chances) < _JOINING):
                self.seconds[join - 1] = cell
                if not space.joins[self.blocks[join - 1]]:
                    self.blocks[join - 1] = self._one_of(every_join)
                joined.add(join)
                strand = 0
        return joined

    def _active_before(self, cell: int, but: int = -1) -> list[int]:
        """Return the active cells, and the image, that `cell` may read, without `but`."""
        reach, active = self._space.grid.inputs(cell), self.active
        found = active[bisect_left(active, reach.start) : bisect_left(active, reach.stop)]
        if not reach.start:
            found.append(0)
        return [source for source in found if source != but]

    def _one_of(self, values: Sequence[int]) -> int:
        return values[int(next(self._chances) * len(values))]

    def limit_downsamplings(self) -> int:
        """Keep as many poolings as the image affords, any of them; return how many active cells lost theirs."""
        space, rng = self._space, self._rng
        shrinking = [cell for cell in self.active if space.shrinks[self.blocks[cell - 1]]]
        surplus = len(shrinking) - space.max_downsamplings
        if surplus <= 0:
            return 0
        for n in rng.permutation(len(shrinking))[:surplus].tolist():
            plain = space.plain(2 if space.grid.column(shrinking[n]) else 1)
            self.blocks[shrinking[n] - 1] = plain[rng.integers(len(plain))]
        return surplus

    def fit(self) -> int:
        """Make the active nodes cheaper, as little as it takes, until they keep the limits of the space.

        At last they are the cheapest network of their depth, which the space guarantees to fit. Returns how many
        blocks were replaced.
        """
        space, active = self._space, self.active
        before = [self.blocks[cell - 1] for cell in active]
        fits = self._fits(before)
        if fits(before):
            return 0
        kept = [joins or shrinks for joins, shrinks in zip(space.joins, space.shrinks, strict=True)]
        later = [space.grid.column(cell) > 0 for cell in active]
        fitted = narrowed(before, later, kept, fits, space, self._rng)
        if fitted is None:
            return self._replace()
        for cell, gene in zip(active, fitted, strict=True):
            self.blocks[cell - 1] = gene
        return sum(map(ne, before, fitted))

    def _fits(self, before: Sequence[int]) -> Callable[[Sequence[int]], bool]:
        """Return what says whether other blocks than `before` fit, wired as the active cells are."""
        space = self._space
        firsts, seconds = connections(self.active, before, self.firsts, self.seconds, space)
        return lambda blocks: space.fits(blocks, firsts, seconds)

    def _replace(self) -> int:
        """Put the cheapest network of the same depth into the grid; return of how many nodes it is."""
        cells = self._space.cheapest_cells(len(self.active))
        for (cell, first, second), gene in cells.items():
            self.blocks[cell - 1], self.firsts[cell - 1] = gene, first
            if second is not None:
                self.seconds[cell - 1] = second
        self.active = sorted(cell.number for cell in cells)
        self._path = self.active
        return len(cells)


def connections(
    active: Sequence[int], blocks: Sequence[int], firsts: Sequence[int], seconds: Sequence[int], space: Space
) -> tuple[list[int], list[int]]:
    """Return what the `active` cells of these `blocks` read first and second, by place among them; 0: the image.

    `firsts` and `seconds` are of all cells. A cell that joins nothing has 0 as its second.
    """
    place = {0: 0} | {cell: n for n, cell in enumerate(active, 1)}
    joins = map(space.joins.__getitem__, blocks)
    return (
        [place[firsts[cell - 1]] for cell in active],
        [place[seconds[cell - 1]] if join else 0 for cell, join in zip(active, joins, strict=True)],
    )
