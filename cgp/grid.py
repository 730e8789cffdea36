"""The cells of a grid of nodes: which may read which, and how many active nodes it holds. No torch.

Cells are numbered from 1, column by column; 0 is the image, which stands before column 0, and the cell behind the
last is the output.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from cgp.errors import BadInput

Numbers = np.ndarray[Any, np.dtype[np.int64]]


class Cell(NamedTuple):
    """A cell that is in use, and the cells that it reads; the second is that of a join."""

    number: int
    first: int
    second: int | None = None


@dataclass(frozen=True)
class Grid:
    """Cells in rows and columns, of which each reads cells of the `levels_back` columns before its own.

    A genome is drawn as a path from image to output, which has a cell in a column at most, and beside it cells in
    strands that leave the path (or the image) and come back to it in a join, again one in a column at most. So

    - the path has at most `columns` nodes, and at least as many as it takes to cross the grid in steps of
      `levels_back` columns;
    - strands add at most a node in each column before the last, whose cell on the path joins them: `2 * columns - 1`
      active nodes in all. That takes blocks with two inputs, and a second row; without either `columns` is the most.

    More rows could hold more active nodes, in further strands: but that would be width, not depth, since no path is
    longer than the columns are many.
    """

    rows: int
    columns: int
    levels_back: int
    stem: bool = False  #: whether column 0 alone reads the image

    @property
    def cells(self) -> int:
        """How many cells there are."""
        return self.rows * self.columns

    def column(self, cell: int) -> int:
        """Return the column of `cell`; of the output, how many columns there are."""
        return (cell - 1) // self.rows

    def inputs(self, cell: int) -> range:
        """Return the cells that `cell`, or the output, may read; 0 is the image, which the output never reads."""
        return self._inputs[self.column(cell)]

    @cached_property
    def _inputs(self) -> tuple[range, ...]:
        """What cells of each column may read, and the output."""
        later = [
            range(max(0, column - self.levels_back) * self.rows + 1, column * self.rows + 1)
            for column in range(1, self.columns + 1)
        ]
        entered = [range(0, each.stop) for each in later[: self._first_step - 1]]
        return (range(1), *entered[: self.columns - 1], *later[min(len(entered), self.columns - 1) :])

    @cached_property
    def reach(self) -> tuple[Numbers, Numbers]:
        """Of every cell the lowest input, and how many there are: two arrays of length `cells`."""
        lowest, count = (
            np.repeat([of(each) for each in self._inputs[: self.columns]], self.rows)
            for of in (lambda each: each.start, len)
        )
        return lowest, count

    @property
    def _first_step(self) -> int:
        """How many columns a path may go with its first step, from the image, which stands in column -1."""
        return 1 if self.stem else self.levels_back

    def fewest(self) -> int:
        """Return how few nodes a path through all columns has."""
        return max(1, -(-(self.columns + 1 - self._first_step) // self.levels_back))

    def most(self, joins: bool) -> int:
        """Return how many active nodes a genome has at most; `joins`: where blocks may have two inputs."""
        return 2 * self.columns - 1 if joins and self.rows > 1 else self.columns

    def lengths(self, depth: int, joins: bool) -> range:
        """Return how many of `depth` active nodes may lie on the path; the others lie beside it."""
        if not joins or self.rows == 1:
            return range(depth, depth + 1)
        beside_all = -(-(depth + 1 - self._first_step + self.levels_back) // (self.levels_back + 1))
        return range(max(self.fewest(), depth + 1 - self.columns, beside_all), min(depth, self.columns) + 1)

    def check(self, shallowest: int, deepest: int, joins: bool) -> None:
        """Raise BadInput, with the reason, unless the grid holds each depth of the range."""
        here = f"a grid of {self.rows} x {self.columns}"
        if self.levels_back < 1 or self.rows < 1 or self.columns < 1:
            raise BadInput(f"--wiring grid: {here}, --levels-back {self.levels_back}; expected 1 or more of each")
        if shallowest < (fewest := self.fewest()):
            raise BadInput(
                f"--num-min-depth: {shallowest} is too few: with --levels-back {self.levels_back} it takes {fewest} "
                f"nodes to cross {here}; raise it, or --levels-back, or lower --columns"
            )
        if deepest > (most := self.most(joins)):
            why = f"a path across {self.columns} columns has at most {self.columns} nodes"
            if joins and self.rows > 1:
                why += f", and what joins it from beside at most {self.columns - 1}"
            else:
                why += ", and nothing can join it from beside: that takes blocks with two inputs, and two rows"
            enough = -(-(deepest + 1) // 2) if most > self.columns else deepest
            raise BadInput(
                f"--num-max-depth: {deepest} is more than the {most} active nodes that {here} holds: {why}; lower "
                f"it, or give at least --columns {enough}"
            )

    def path(self, length: int, beside: int, rng: np.random.Generator) -> Numbers:
        """Draw the columns of a path of `length` cells that leaves room for `beside` cells before its last one.

        Any columns first; then those that no step of `levels_back` columns reaches are moved until one does, from
        the back and from the front, which settles all.
        """
        columns = np.sort(rng.permutation(self.columns)[:length])
        if self.stem:
            columns[0] = 0
        columns[-1] = max(columns[-1], self.columns - self.levels_back, beside)
        columns[-1] = min(columns[-1], self._first_step - 1 + (length - 1) * self.levels_back)
        steps = self.levels_back * np.arange(length)
        columns = np.maximum.accumulate((columns - steps)[::-1])[::-1] + steps
        reached = columns - steps
        reached[0] = min(reached[0], self._first_step - 1)
        return np.minimum.accumulate(reached) + steps

    def plainest(self, depth: int) -> list[Cell]:
        """Return a network of `depth` active nodes, always the same: a path and beside it, where it must, a strand.

        The path is in the first row and comes first. Where `depth` is more than the columns, it has all of them, and
        the strand, as late as can be, joins its last cell.
        """
        length, beside = min(depth, self.columns), max(0, depth - self.columns)
        columns = [max(n, self.columns - (length - n) * self.levels_back) for n in range(length)]
        path = [column * self.rows + 1 for column in columns]
        cells = [Cell(number, first) for number, first in zip(path, [0, *path], strict=False)]
        if beside:
            strand = [number + 1 for number in path[-1 - beside : -1]]
            before = path[-2 - beside] if beside + 1 < length else 0
            cells[-1] = cells[-1]._replace(second=strand[-1])
            cells += [Cell(number, first) for number, first in zip(strand, [before, *strand], strict=False)]
        return cells
