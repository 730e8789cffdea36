"""A layout as SVG: one element, which stands alone or inside a page. All text is escaped."""

from functools import singledispatch
from xml.sax.saxutils import escape

from cgp.drawing import style
from cgp.drawing.layout import Layout
from cgp.drawing.marks import Area, Head, Mark, Stroke, Words, marks
from cgp.drawing.routes import Point

_FONT = "Helvetica, Arial, 'DejaVu Sans', sans-serif"
_DASHES = ' stroke-dasharray="4 3"'


def svg(layout: Layout) -> str:
    """Return the drawing as SVG."""
    width, height = _number(layout.width), _number(layout.height)
    size = f'width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" {size} font-family="{_FONT}">',
        f"<title>{escape(layout.title)}</title>",
        f"<desc>{escape(layout.about)}</desc>",
        f'<rect width="{width}" height="{height}" fill="{style.PAPER}"/>',
        *map(_written, marks(layout)),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


@singledispatch
def _written(mark: Mark) -> str:
    """Return a mark as an element."""
    raise NotImplementedError(type(mark).__name__)


@_written.register
def _(mark: Area) -> str:
    x, y, width, height = map(_number, (mark.x, mark.y, mark.width, mark.height))
    place = f'x="{x}" y="{y}" width="{width}" height="{height}"'
    return f'<rect {place} rx="2" fill="{mark.fill}" stroke="{mark.line}"{_DASHES * mark.dashed}/>'


@_written.register
def _(mark: Words) -> str:
    place = f'x="{_number(mark.x)}" y="{_number(mark.y)}" font-size="{_number(mark.size)}" fill="{mark.colour}"'
    look = ' font-weight="bold"' * mark.bold + ' text-anchor="end"' * (mark.anchor == "end")
    return f"<text {place}{look}>{escape(mark.text)}</text>"


@_written.register
def _(mark: Stroke) -> str:
    steps = [f"{step.pen}{_points(*step.points)}" for step in mark.steps]
    look = f'fill="none" stroke="{mark.colour}" stroke-width="{_number(mark.width)}"{_DASHES * mark.dashed}'
    return f'<path d="{"".join(steps)}" {look}/>'


@_written.register
def _(mark: Head) -> str:
    return f'<path d="M{"L".join(map(_points, mark.corners))}Z" fill="{mark.colour}"/>'


def _points(*points: Point) -> str:
    return " ".join(f"{_number(x)} {_number(y)}" for x, y in points)


def _number(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
