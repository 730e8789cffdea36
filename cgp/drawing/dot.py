"""A layout as a graph for Graphviz, which places it by itself; stages are clusters."""

from collections.abc import Iterator

from cgp.drawing.layout import Box, Edge, Layout
from cgp.drawing.style import FAINT, INK, QUIET, SKIP, colour, tint


def dot(layout: Layout) -> str:
    """Return the drawing in the DOT language."""
    return "\n".join(_lines(layout)) + "\n"


def _lines(layout: Layout) -> Iterator[str]:
    yield "digraph {"
    yield f"  label={_quoted(layout.title, layout.facts)}; labelloc=t; fontname=Helvetica;"
    yield f"  node [shape=box, style=filled, fontname=Helvetica]; edge [color={_quoted(INK)}];"
    first = {panel.stage: panel for panel in reversed(layout.panels)}  # a stage may go on in another column
    for stage, panel in sorted(first.items()):
        yield f"  subgraph cluster_{stage} {{"
        yield f"    label={_quoted(panel.label)}; labeljust=l; color={_quoted(FAINT)};"
        yield from (f"    {_node(box)}" for box in layout.boxes if box.stage == stage)
        yield "  }"
    yield from (f"  {_edge(edge)}" for edge in layout.edges)
    yield "}"


def _node(box: Box) -> str:
    text = _quoted(f"{box.number} {box.name}".strip(), box.flow)
    look = f"color={_quoted(colour(box.kind))}, fillcolor={_quoted(tint(box.kind))}"
    if box.silent:
        look = f'color={_quoted(FAINT)}, fillcolor=white, fontcolor={_quoted(QUIET)}, style="filled,dashed"'
    return f"{_quoted(str(box.node))} [label={text}, {look}];"


def _edge(edge: Edge) -> str:
    """Return an edge; one that passes others by does not pull its ends together."""
    look = ["constraint=false"] if edge.kind == "skip" else ["weight=10"]
    if edge.silent:
        look += [f"color={_quoted(FAINT)}", "style=dashed"]
    elif edge.kind == "skip":
        look += [f"color={_quoted(SKIP)}"]
    return f"{_quoted(str(edge.source))} -> {_quoted(str(edge.target))} [{', '.join(look)}];"


def _quoted(*lines: str) -> str:
    """Return lines of text as a string of DOT."""
    return '"' + r"\n".join(line.replace("\\", r"\\").replace('"', r"\"") for line in lines) + '"'
