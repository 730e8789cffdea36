"""From a graph, or a genome, to a layout.

Boxes follow each other down columns, those of one resolution (a stage) below its size. Edges are led around boxes.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

from cgp.drawing.columns import Place, Span, fewest_rows, packed
from cgp.drawing.layout import Box, Edge, Key, Layout, Panel, times
from cgp.drawing.order import Drawn, Link, label
from cgp.drawing.routes import BOX, LANE, PITCH, Grid, Routes, Wire, gutter_width
from cgp.drawing.style import FACTS, NAME, SMALL, TITLE, text_width
from cgp.genome import Genome
from cgp.graph import Graph
from cgp.space import Space

PORTRAIT = 210 / 297  #: width to height of a page
_EDGE, _HEADING, _PAD = 20.0, 40.0, 6.0  # of the page; title and facts; between a panel and its boxes
_SPARE = 34.0  # of a box: its coloured side, and what keeps its three texts apart
_KEY, _SWATCH, _GAP = 18.0, 22.0, 12.0  # of the legend: height of a line, width of a sign, between entries
_LONGEST = 72  # characters of a title
_MOST_COLUMNS = 12


def layout_of(graph: Graph, title: str) -> Layout:
    """Lay out the active nodes."""
    return _fitted(Drawn.of_graph(graph), title)


def layout_of_genome(genome: Genome, space: Space, title: str) -> Layout:
    """Lay out all nodes, the silent ones behind the active ones."""
    return _fitted(Drawn.of_genome(genome, space), title)


def _fitted(drawn: Drawn, title: str) -> Layout:
    """Return the layout in as many columns as bring it closest to a portrait page."""
    shown = _shown(title)
    counts, tried = [len(stage) for stage in drawn.stages], list[Layout]()
    for columns in range(1, _MOST_COLUMNS + 1):
        tried.append(_arranged(drawn, shown, *packed(counts, fewest_rows(counts, columns))))
        if tried[-1].width > tried[-1].height:
            break
    return min(tried, key=lambda layout: abs(math.log(layout.width / layout.height / PORTRAIT)))


def _shown(title: str) -> str:
    """Return `title` in a line, without what no format can hold."""
    plain = "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in title)
    return plain if len(plain) <= _LONGEST else plain[: _LONGEST - 1] + "…"


def _arranged(drawn: Drawn, title: str, places: Sequence[Place], spans: Sequence[Span]) -> Layout:
    """Return the layout with boxes at `places` and stages over `spans`."""
    at = {box.node: n for n, box in enumerate(drawn.boxes)}
    wires = [_wire(link, at, places) for link in drawn.links]
    routes = Routes.of(wires, places[-1].column + 1)
    grid = _grid(drawn, routes)
    stages = [n for n, stage in enumerate(drawn.stages) for _ in stage]
    boxes = tuple(map(_placed, drawn.boxes, places, stages, [grid] * len(stages)))
    edges = tuple(
        Edge(link.source, link.target, "chain" if link.near else "skip", boxes[at[link.target]].silent, path)
        for link, path in zip(drawn.links, grid.paths(wires, routes), strict=True)
    )
    panels = tuple(_panel(drawn.stages[span.stage][0], span, grid) for span in spans)
    right = grid.left[-1] + grid.width + max(gutter_width(routes.gutters[-1]), _EDGE + _PAD)
    heading = max(text_width(title, 1.1 * TITLE), text_width(drawn.facts, FACTS))  # bold text is wider
    width = max(right, heading + 2 * _EDGE)
    legend = _legend(drawn, width, max(panel.y + panel.height for panel in panels) + _KEY)
    height = legend[-1].y + _EDGE
    return Layout(width, height, title, drawn.facts, drawn.about, panels, boxes, edges, legend)


def _wire(link: Link, at: dict[int, int], places: Sequence[Place]) -> Wire:
    start, end = at[link.source], at[link.target]
    below = link.near and end == start + 1 and places[start].column == places[end].column
    return Wire(places[start], places[end], link.slot, link.near, below)


def _grid(drawn: Drawn, routes: Routes) -> Grid:
    """Return where columns and rows lie, so that texts and lanes have their room."""
    # What comes down the middle of a box keeps clear of the size that stands left above the next.
    wide = [2 * text_width(label(stage[0]), SMALL) for stage in drawn.stages]
    wide += [text_width(box.flow, SMALL) + text_width(box.name, NAME) for box in drawn.boxes]
    width = max(wide) + text_width(str(len(drawn.boxes)), SMALL) + _SPARE
    left = [_EDGE + _PAD]
    for lanes in routes.gutters[:-1]:
        left.append(left[-1] + width + gutter_width(lanes))
    channel = _EDGE + _HEADING + LANE * routes.channel
    return Grid(tuple(left), width, channel, channel)


def _placed(box: Box, place: Place, stage: int, grid: Grid) -> Box:
    x, y = grid.corner(place)
    return replace(box, stage=stage, x=x, y=y, width=grid.width)


def _panel(first: Box, span: Span, grid: Grid) -> Panel:
    """Return the panel of a stage whose first box is `first`; its label has the upper row to itself."""
    (x, y), (_, bottom) = grid.corner(Place(span.column, span.first)), grid.corner(Place(span.column, span.last))
    top = y + PITCH - BOX - _PAD
    text = label(first) + " (continued)" * span.continued
    return Panel(span.stage, text, first.silent, x - _PAD, top, grid.width + 2 * _PAD, bottom + BOX + _PAD - top)


def _legend(drawn: Drawn, width: float, top: float) -> tuple[Key, ...]:
    """Return what the signs mean that are drawn, in lines of at most `width`."""
    entries = {box.kind: box.kind for box in drawn.boxes if box.number} | {"chain": "chain"}
    entries |= {"skip": "skip"} if drawn.skips else {}
    entries |= {"silent": "silent"} if drawn.boxes[-1].silent else {}
    entries |= {"flow": times("channels", "height", "width")}
    found, x, y = list[Key](), _EDGE, top
    for kind, text in entries.items():
        wide = _SWATCH + text_width(text, SMALL) + _GAP
        if x > _EDGE and x + wide > width - _EDGE:
            x, y = _EDGE, y + _KEY
        found.append(Key(kind, text, x, y))
        x += wide
    return tuple(found)
