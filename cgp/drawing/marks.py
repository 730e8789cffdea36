"""A layout as marks of ink, which a renderer writes down one after the other, later ones above earlier ones."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from cgp.drawing import style
from cgp.drawing.layout import Box, Edge, Key, Layout, Panel
from cgp.drawing.routes import Path, Point
from cgp.drawing.style import Step, arrow, colour, outline, rounded, text_width, tint

_LEFT = 20.0  # of title and facts
_SIDE = 5.0  # width of a box's coloured side


@dataclass(frozen=True)
class Area:
    """A rectangle with a border."""

    x: float
    y: float
    width: float
    height: float
    fill: str
    line: str
    dashed: bool = False


@dataclass(frozen=True)
class Words:
    """A line of text whose baseline begins, or ends, at a point."""

    x: float
    y: float
    text: str
    size: float
    colour: str = style.INK
    bold: bool = False
    anchor: Literal["start", "end"] = "start"


@dataclass(frozen=True)
class Stroke:
    """What a pen draws."""

    steps: tuple[Step, ...]
    colour: str
    width: float
    dashed: bool = False


@dataclass(frozen=True)
class Head:
    """The head of an arrow."""

    corners: tuple[Point, Point, Point]
    colour: str


Mark = Area | Words | Stroke | Head


def marks(layout: Layout) -> Iterator[Mark]:
    """Yield all that is drawn, except for the paper."""
    yield Words(_LEFT, 30, layout.title, style.TITLE, bold=True)
    yield Words(_LEFT, 47, layout.facts, style.FACTS, style.QUIET)
    for panel in layout.panels:
        yield from _panel(panel)
    for edge in sorted(layout.edges, key=lambda edge: (not edge.silent, edge.kind == "skip")):
        yield from _edge(edge)
    room = text_width(max((box.number for box in layout.boxes), key=len), style.SMALL)
    for box in layout.boxes:
        yield from _box(box, room)
    for key in layout.legend:
        yield from _key(key)


def _panel(panel: Panel) -> Iterator[Mark]:
    yield Area(panel.x, panel.y, panel.width, panel.height, style.PANEL, "#dcdcdc", panel.silent)
    yield Words(panel.x + 7, panel.y + 16, panel.label, style.SMALL, style.QUIET, bold=True)


def _edge(edge: Edge) -> Iterator[Mark]:
    """Yield an edge; below one that passes others by, paper keeps it apart from those that it crosses."""
    ink = style.FAINT if edge.silent else style.SKIP if edge.kind == "skip" else style.INK
    if edge.kind == "skip":
        yield Stroke(rounded(edge.path), style.PAPER, 4.5)
    yield from _arrow(edge.path, ink, edge.silent)


def _arrow(path: Path, ink: str, dashed: bool) -> Iterator[Mark]:
    yield Stroke(rounded(path), ink, 1.4, dashed)
    yield Head(arrow(path), ink)


def _box(box: Box, room: float) -> Iterator[Mark]:
    """Yield a box, with so much room for its number that names stand below each other."""
    ink, base = (style.QUIET if box.silent else style.INK), box.y + box.height / 2 + 4
    yield from _frame(box.x, box.y, box.width, box.height, box.kind, box.silent)
    number = box.x + _SIDE + 6 + room
    yield Words(number, base, box.number, style.SMALL, style.QUIET, anchor="end")
    yield Words(number + 6, base, box.name, style.NAME, ink, bold=not box.silent)
    yield Words(box.x + box.width - 6, base, box.flow, style.SMALL, ink, anchor="end")


def _frame(x: float, y: float, width: float, height: float, kind: str, silent: bool) -> Iterator[Mark]:
    """Yield what is of a kind's colour: faded where it is silent."""
    side, fill, line = (tint(kind), style.PAPER, style.FAINT) if silent else (colour(kind), tint(kind), outline(kind))
    yield Area(x, y, width, height, fill, line, silent)
    yield Area(x, y, _SIDE, height, side, side)


def _key(key: Key) -> Iterator[Mark]:
    """Yield a sign of the legend and what it means."""
    line: Path = ((key.x, key.y - 3.5), (key.x + 17, key.y - 3.5))
    text = key.x
    if key.kind in ("chain", "skip"):
        yield from _arrow(line, style.SKIP if key.kind == "skip" else style.INK, False)
    elif key.kind != "flow":
        yield from _frame(key.x, key.y - 8.5, 16, 10, key.kind, key.kind == "silent")
    if key.kind != "flow":
        text += 22
    yield Words(text, key.y, key.label, style.SMALL, style.QUIET)
