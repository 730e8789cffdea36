"""A layout as PNG, by matplotlib, which is imported when it is needed: the package's extra `report`."""

import io
import warnings
from functools import singledispatch
from typing import TYPE_CHECKING

from cgp.drawing.layout import Layout
from cgp.drawing.marks import Area, Head, Mark, Stroke, Words, marks
from cgp.errors import BadInput

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SCALE = 2  # pixels of the picture for one of the layout: text stays sharp
_INCH = 96  # pixels of the layout
_POINT = 72 / _INCH  # of a pixel


def png(layout: Layout) -> bytes:
    """Return the drawing as PNG. Raises BadInput where matplotlib is not installed."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise BadInput(
            "--out: .png needs matplotlib, which is not installed: pip install 'cgp-evolve[report]', or write .svg"
        ) from error
    figure = Figure(figsize=(layout.width / _INCH, layout.height / _INCH))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, layout.width), ylim=(layout.height, 0))
    axes.axis("off")
    for above, mark in enumerate(marks(layout)):
        _paint(mark, axes, above)
    written = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph", UserWarning)  # a title may have letters that the font has not
        figure.savefig(written, format="png", dpi=_INCH * _SCALE)
    return written.getvalue()


@singledispatch
def _paint(mark: Mark, axes: "Axes", above: int) -> None:
    """Add a mark to `axes`, above those before it."""
    raise NotImplementedError(type(mark).__name__)


@_paint.register(Area)
def _(mark: Area, axes: "Axes", above: int) -> None:
    from matplotlib.patches import Rectangle

    area = Rectangle((mark.x, mark.y), mark.width, mark.height, facecolor=mark.fill, edgecolor=mark.line)
    area.set(linewidth=_POINT, linestyle="--" if mark.dashed else "-", zorder=above)
    axes.add_patch(area)


@_paint.register(Words)
def _(mark: Words, axes: "Axes", above: int) -> None:
    words = axes.text(mark.x, mark.y, mark.text, fontsize=mark.size * _POINT, color=mark.colour, zorder=above)
    words.set(ha="right" if mark.anchor == "end" else "left", weight="bold" if mark.bold else "normal")
    words.set_parse_math(False)  # a dollar is a dollar


@_paint.register(Stroke)
def _(mark: Stroke, axes: "Axes", above: int) -> None:
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    codes = {"M": [Path.MOVETO], "L": [Path.LINETO], "Q": [Path.CURVE3, Path.CURVE3]}
    points = [point for step in mark.steps for point in step.points]
    path = Path(points, [code for step in mark.steps for code in codes[step.pen]])
    line = PathPatch(path, fill=False, edgecolor=mark.colour, linewidth=mark.width * _POINT, zorder=above)
    line.set_linestyle("--" if mark.dashed else "-")
    axes.add_patch(line)


@_paint.register(Head)
def _(mark: Head, axes: "Axes", above: int) -> None:
    from matplotlib.patches import Polygon

    axes.add_patch(Polygon(mark.corners, facecolor=mark.colour, edgecolor="none", zorder=above))
