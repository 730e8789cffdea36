"""How edges are led around boxes: along lanes in the gutter right of each column, and in a channel above all.

No two edges lie on each other: side by side in a gutter they have lanes, and each side of a box has a slot for what
leaves it and for each of its inputs.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from cgp.drawing.columns import Place

Point = tuple[float, float]
Path = tuple[Point, ...]

BOX, PITCH = 24.0, 34.0  # height of a box; from one row to the next
LANE, MARGIN = 7.0, 12.0  # between lanes; between a lane and a box
# At which parts of a box's height edges arrive, by input, and leave. All differ, so that none lies on another.
_FROM_OWN_COLUMN, _FROM_OTHERS = (0.2, 0.46), (0.33, 0.62)
_SKIPS_LEAVE, _CHAIN_LEAVES = 0.75, 0.88
_CHANNEL = -1  # where gutters are counted from 0
_ABOVE = -2.0  # the channel, in rows
_APART = 0.3  # rows between two edges in one lane


class Wire(NamedTuple):
    """An edge to be led from one place to another, there to input `slot`."""

    source: Place
    target: Place
    slot: int
    near: bool  #: whether nothing stands between its boxes
    straight: bool  #: whether it just leads down to the box below

    @property
    def stays(self) -> bool:
        """Whether it ends in the column that it begins in."""
        return self.target.column == self.source.column

    @property
    def far(self) -> bool:
        """Whether it passes by columns that lie between, and so takes the channel."""
        return self.target.column > self.source.column + 1

    @property
    def begin(self) -> float:
        """At which part of its box's height it leaves."""
        return _CHAIN_LEAVES if self.near else _SKIPS_LEAVE

    @property
    def end(self) -> float:
        """At which part of its box's height it arrives: on the right side where it stays, else on the left."""
        return (_FROM_OWN_COLUMN if self.stays else _FROM_OTHERS)[self.slot]


Part = Literal["leaving", "above", "arriving"]  # of a wire: in a gutter, in the channel, in another gutter


class _Stretch(NamedTuple):
    """What a wire takes of a gutter, or of the channel, from `low` to `high`; `outer` ones keep off the boxes."""

    wire: int
    part: Part
    gutter: int
    outer: bool
    low: float
    high: float


@dataclass(frozen=True)
class Routes:
    """The lane of every part of every wire, and how many lanes each gutter and the channel have."""

    lanes: dict[tuple[int, Part], int]
    gutters: tuple[int, ...]
    channel: int

    @classmethod
    def of(cls, wires: Sequence[Wire], columns: int) -> "Routes":
        """Give every wire its lanes."""
        stretches = [stretch for n, wire in enumerate(wires) for stretch in _stretches(n, wire)]
        lanes, widths = dict[tuple[int, Part], int](), list[int]()
        for gutter in (_CHANNEL, *range(columns)):
            found = _lanes([stretch for stretch in stretches if stretch.gutter == gutter])
            lanes |= {(stretch.wire, stretch.part): lane for stretch, lane in found.items()}
            widths.append(max(found.values(), default=-1) + 1)
        return cls(lanes, tuple(widths[1:]), widths[0])


@dataclass(frozen=True)
class Grid:
    """Where columns and rows lie on the page, in pixels."""

    left: tuple[float, ...]  #: side of each column's boxes
    width: float  #: of a box
    top: float  #: of row 0
    channel: float  #: the lowest lane above the columns

    def corner(self, place: Place) -> Point:
        """Return the top left corner of the box at `place`."""
        return self.left[place.column], self.top + place.row * PITCH

    def paths(self, wires: Sequence[Wire], routes: Routes) -> list[Path]:
        """Return the corners of the way of each wire, which touches no box but its own two."""
        return [self._path(n, wire, routes) for n, wire in enumerate(wires)]

    def _path(self, n: int, wire: Wire, routes: Routes) -> Path:
        (x, y), (to_x, to_y) = self.corner(wire.source), self.corner(wire.target)
        if wire.straight:
            return (x + self.width / 2, y + BOX), (x + self.width / 2, to_y)
        begin, end = y + BOX * wire.begin, to_y + BOX * wire.end
        ends = to_x + self.width if wire.stays else to_x
        first = self._lane(wire.source.column, routes.lanes[n, "leaving"])
        if not wire.far:
            return (x + self.width, begin), (first, begin), (first, end), (ends, end)
        over = self.channel - LANE * routes.lanes[n, "above"]
        last = self._lane(wire.target.column - 1, routes.lanes[n, "arriving"])
        return (x + self.width, begin), (first, begin), (first, over), (last, over), (last, end), (ends, end)

    def _lane(self, column: int, lane: int) -> float:
        return self.left[column] + self.width + MARGIN + LANE * lane


def gutter_width(lanes: int) -> float:
    """Return how wide a gutter of so many lanes is."""
    return 2 * MARGIN + LANE * max(0, lanes - 1)


def _stretches(n: int, wire: Wire) -> Iterator[_Stretch]:
    """Yield what the `n`-th wire takes of gutters and channel; heights are in rows."""
    if wire.straight:
        return
    leaving, arriving = wire.source.column, wire.target.column - 1
    begin, end = wire.source.row + wire.begin * BOX / PITCH, wire.target.row + wire.end * BOX / PITCH
    if not wire.far:
        yield _Stretch(n, "leaving", leaving, not wire.stays, min(begin, end), max(begin, end))
        return
    yield _Stretch(n, "leaving", leaving, True, _ABOVE, begin)
    yield _Stretch(n, "above", _CHANNEL, False, leaving, arriving)
    yield _Stretch(n, "arriving", arriving, True, _ABOVE, end)


def _lanes(stretches: Sequence[_Stretch]) -> dict[_Stretch, int]:
    """Return the lane of each stretch: the shortest nearest to the boxes, and those in one lane apart."""
    found, taken = dict[_Stretch, int](), list[list[_Stretch]]()
    for mine in sorted(stretches, key=lambda stretch: (stretch.outer, stretch.high - stretch.low)):
        free = (n for n, others in enumerate(taken) if not any(_meet(mine, other) for other in others))
        lane = next(free, len(taken))
        taken += [[]] * (lane == len(taken))
        taken[lane] = [*taken[lane], mine]
        found[mine] = lane
    return found


def _meet(one: _Stretch, other: _Stretch) -> bool:
    return one.low < other.high + _APART and other.low < one.high + _APART
