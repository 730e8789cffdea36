"""How the genes of a grid are drawn: the active cells first, and then what is silent. No torch."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
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
        grid = self._space.grid
        lowest, count = grid.reach
        choices, starts, counts = self._space.block_choices
        chances = self._rng.random((3, grid.cells))
        self.blocks: list[int] = choices[starts + (chances[0] * counts).astype(np.int64)].tolist()
        self.firsts: list[int]
        self.seconds: list[int]
        self.firsts, self.seconds = (lowest + (chances[1:] * count).astype(np.int64)).tolist()

    def _cells_beside(self, columns: Numbers, rows: Numbers, count: int) -> list[tuple[int, int, int]]:
        """Draw cells beside the path, at most one in a column, each before the path's last column.

        Returns them in order, each with its column and the place in the path of the next cell there.
        """
        of_path, rng = dict(zip(columns.tolist(), rows.tolist(), strict=True)), self._rng
        chosen: list[int] = np.sort(rng.permutation(columns[-1])[:count]).tolist()
        ahead = np.searchsorted(columns, chosen, side="right").tolist()
        in_column, beside = self._space.rows, list[tuple[int, int, int]]()
        for column, place, chance in zip(chosen, ahead, rng.random(count).tolist(), strict=True):
            taken = of_path.get(column, in_column)  # where the path has no cell, all rows are free
            row = int(chance * (in_column - (taken < in_column)))
            beside.append((column * in_column + row + (row >= taken) + 1, column, place))
        return beside

    def _connect(self) -> None:
        """Connect the active cells: the path, then strands beside it, then whatever else joins two of them."""
        blocks, firsts, joins = self.blocks, self.firsts, self._space.joins
        for before, cell in zip([0, *self._path], self._path, strict=False):
            firsts[cell - 1] = before
        joined = self._connect_beside()
        for cell in self.active:
            if joins[blocks[cell - 1]] and cell not in joined:
                others = self._active_before(cell, firsts[cell - 1])
                if others:
                    self.seconds[cell - 1] = self._one_of(others)
                else:
                    blocks[cell - 1] = self._one_of(self._plain(cell))

    def _connect_beside(self) -> set[int]:
        """Connect the cells beside the path to strands that begin and end on it; return the cells that join them.

        A strand goes on with the next cell beside the path, or joins the path at its next cell, by chance; where one
        of the two is impossible, the other is not.
        """
        space, rows, joined, strand = self._space, self._space.rows, set[int](), 0
        every_join = [gene for gene in space.later_choices if space.joins[gene]]
        following = [column for _, column, _ in self._beside[1:]] + [space.columns + space.levels_back]
        for (cell, column, ahead), after in zip(self._beside, following, strict=False):
            self.firsts[cell - 1] = strand or self._one_of(self._active_before(cell))
            strand, join = cell, self._path[ahead]
            apart = after > column + space.levels_back
            if apart or ((join - 1) // rows <= after and next(self._chances) < _JOINING):
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
        if but in found:
            found.remove(but)
        return found

    def _plain(self, cell: int) -> list[int]:
        """Return the block genes of `cell` with one input that keep height and width."""
        return self._space.plain(2 if cell > self._space.rows else 1)

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
            plain = self._plain(shrinking[n])
            self.blocks[shrinking[n] - 1] = plain[rng.integers(len(plain))]
        return surplus

    def fit(self) -> int:
        """Make the active nodes cheaper, as little as it takes, until they keep the limits of the space.

        At last they are the cheapest network of their depth, which the space guarantees to fit. Returns how many
        blocks were replaced.
        """
        space, active = self._space, self.active
        of_cells = self.blocks, self.firsts, self.seconds
        before, firsts, seconds = ([genes[cell - 1] for cell in active] for genes in of_cells)

        def fits(blocks: Sequence[int]) -> bool:
            return space.fits(blocks, firsts, seconds, active)

        if fits(before):
            return 0
        kept = [joins or shrinks for joins, shrinks in zip(space.joins, space.shrinks, strict=True)]
        later = [cell > space.rows for cell in active]  # behind column 0
        fitted = narrowed(before, later, kept, fits, space, self._rng)
        if fitted is None:
            return self._replace()
        for cell, gene in zip(active, fitted, strict=True):
            self.blocks[cell - 1] = gene
        return sum(map(ne, before, fitted))

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
