"""Where everything of a drawing stands: a plain value, which any renderer writes down."""

from dataclasses import dataclass
from typing import Literal

from cgp.drawing.routes import BOX, Path
from cgp.layers import Shape

IMAGE, HEAD = 0, -1  #: numbers of the two boxes that are no nodes


@dataclass(frozen=True)
class Box:
    """The image, a node, or the head (global average pooling, or nothing, and a linear layer)."""

    node: int  #: IMAGE, 1, 2, ... in the order of the graph (or of the genome), or HEAD
    name: str
    kind: str  #: of its block, or `image` or `head`
    shape: Shape  #: what leaves it
    silent: bool
    stage: int = 0
    x: float = 0.0
    y: float = 0.0
    width: float = 0.0
    height: float = BOX

    @property
    def number(self) -> str:
        """Its number, as text; image and head have none."""
        return str(self.node) if self.node > IMAGE else ""

    @property
    def flow(self) -> str:
        """Channels, height and width of what leaves it, as text."""
        return f"{self.shape.channels} classes" if self.node == HEAD else times(*self.shape)


@dataclass(frozen=True)
class Edge:
    """Who reads whom. `chain` joins neighbours, `skip` passes others by."""

    source: int  #: `node` of a box
    target: int
    kind: Literal["chain", "skip"]
    silent: bool  #: whether it leads to a silent node
    path: Path  #: the corners of its way


@dataclass(frozen=True)
class Panel:
    """The part of a stage that stands in one column, with the size of its maps as its label."""

    stage: int
    label: str
    silent: bool
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class Key:
    """An entry of the legend: a kind of block, or `chain`, `skip`, `silent` or `flow`."""

    kind: str
    label: str
    x: float
    y: float


@dataclass(frozen=True)
class Layout:
    """A drawing; lengths are in pixels, from the top left."""

    width: float
    height: float
    title: str
    facts: str
    about: str  #: the whole in words, for those who cannot see it
    panels: tuple[Panel, ...]
    boxes: tuple[Box, ...]
    edges: tuple[Edge, ...]
    legend: tuple[Key, ...]


def times(*sizes: int | str) -> str:
    """Return sizes with the sign for times between them."""
    return " \N{MULTIPLICATION SIGN} ".join(map(str, sizes))
