"""How boxes are stacked into columns: stage below stage, each under a header row of its own."""

from collections.abc import Sequence
from itertools import count
from typing import NamedTuple

_FEWEST = 2  # boxes below a header: one alone is easily overlooked


class Place(NamedTuple):
    """A cell of the page's grid, counted from 0."""

    column: int
    row: int


class Span(NamedTuple):
    """The part of a stage that stands in one column: rows `first` (its header) to `last`."""

    stage: int
    column: int
    first: int
    last: int
    continued: bool


def packed(counts: Sequence[int], rows: int) -> tuple[list[Place], list[Span]]:
    """Return the places of all boxes, in order, and the spans of stages of so many boxes, in columns of `rows`.

    A stage is split only where no column holds it whole, so that most stages begin at the top.
    """
    places, spans = list[Place](), list[Span]()
    column = row = 0
    for stage, left in enumerate(counts):
        if row and row + 1 + left > rows and (1 + left <= rows or row + 1 + _FEWEST > rows):
            column, row = column + 1, 0
        whole = left
        while left:
            if row == rows:
                column, row = column + 1, 0
            here = min(left, rows - row - 1)
            spans.append(Span(stage, column, row, row + here, left < whole))
            places += [Place(column, row + 1 + n) for n in range(here)]
            left, row = left - here, row + 1 + here
    return places, spans


def fewest_rows(counts: Sequence[int], columns: int) -> int:
    """Return how few rows are enough for stages of so many boxes in `columns` columns."""
    least = max(1 + _FEWEST, -(-(sum(counts) + len(counts)) // columns))
    return next(rows for rows in count(least) if packed(counts, rows)[0][-1].column < columns)
