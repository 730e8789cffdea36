"""What the renderers share: colours, sizes of text, and how the corners of a path are rounded."""

from typing import Literal, NamedTuple

from cgp.drawing.routes import Path, Point

TITLE, FACTS, NAME, SMALL = 15.0, 11.0, 11.0, 10.0  # sizes of text, in pixels
INK, QUIET, FAINT, PAPER, PANEL = "#1a1a1a", "#595959", "#8a8a8a", "#ffffff", "#f6f6f6"
SKIP = "#b34a00"
_ARROW, _HALF = 6.0, 3.2  # length of an arrow's head, and half its width
_RADIUS = 6.0

# Okabe and Ito's palette, which the colour-blind can tell apart; kin share a hue, and every box has its name on it.
_BLUE, _SKY, _ORANGE, _GREEN, _PURPLE = "#0072b2", "#56b4e9", "#e69f00", "#009e73", "#cc79a7"
_YELLOW, _VERMILION, _GREY = "#f0e442", "#d55e00", "#8c8c8c"
_COLOURS = {
    **{"conv": _BLUE, "sepconv": _SKY, "res": _ORANGE, "dense": _GREEN, "inception": _PURPLE},
    **{"maxpool": _YELLOW, "avgpool": _YELLOW, "sum": _VERMILION, "concat": _VERMILION},
    **{"image": INK, "head": INK},
}


def colour(kind: str) -> str:
    """Return the colour of a kind of block; kinds without one of their own are grey."""
    return _COLOURS.get(kind, _GREY)


def tint(kind: str) -> str:
    """Return the colour of a kind, so pale that text on it reads well."""
    return _mixed(colour(kind), PAPER, 0.16)


def outline(kind: str) -> str:
    """Return the colour of a kind, so dark that a line of it is seen on paper."""
    return _mixed(colour(kind), INK, 0.6)


def _mixed(one: str, other: str, share: float) -> str:
    """Return a colour of which `share` is `one`."""
    pairs = zip(bytes.fromhex(one[1:]), bytes.fromhex(other[1:]), strict=True)
    return "#" + "".join(f"{round(a * share + b * (1 - share)):02x}" for a, b in pairs)


def text_width(text: str, size: float) -> float:
    """Return how wide `text` is at most, in the widest of the fonts."""
    return len(text) * size * 0.64


def arrow(path: Path) -> tuple[Point, Point, Point]:
    """Return the head of the arrow that ends `path`, tip first."""
    (x, y), (dx, dy) = path[-1], _direction(path[-2], path[-1])
    back_x, back_y = x - dx * _ARROW, y - dy * _ARROW
    return (x, y), (back_x - dy * _HALF, back_y + dx * _HALF), (back_x + dy * _HALF, back_y - dx * _HALF)


class Step(NamedTuple):
    """One step of a pen: move (M) or draw a line (L) to a point, or a curve (Q) by a corner to a point."""

    pen: Literal["M", "L", "Q"]
    points: tuple[Point, ...]


def rounded(path: Path) -> tuple[Step, ...]:
    """Return the strokes of `path` with round corners, up to the head of its arrow."""
    (x, y), (dx, dy) = path[-1], _direction(path[-2], path[-1])
    points = (*path[:-1], (x - dx * (_ARROW - 1), y - dy * (_ARROW - 1)))
    steps = [Step("M", (points[0],))]
    for before, corner, after in zip(points, points[1:], points[2:], strict=False):
        radius = min(_RADIUS, _length(before, corner) / 2, _length(corner, after) / 2)
        (in_x, in_y), (out_x, out_y) = _direction(before, corner), _direction(corner, after)
        steps.append(Step("L", ((corner[0] - in_x * radius, corner[1] - in_y * radius),)))
        steps.append(Step("Q", (corner, (corner[0] + out_x * radius, corner[1] + out_y * radius))))
    return (*steps, Step("L", points[-1:]))


def _length(start: Point, end: Point) -> float:
    return abs(end[0] - start[0]) + abs(end[1] - start[1])  # along one axis


def _direction(start: Point, end: Point) -> Point:
    length = _length(start, end) or 1.0
    return (end[0] - start[0]) / length, (end[1] - start[1]) / length
