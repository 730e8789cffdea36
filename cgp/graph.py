"""What a genome means: its active nodes in topological order, and what they cost. No torch."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, Final, NamedTuple

from cgp.blocks import block
from cgp.errors import BadInput
from cgp.layers import EPSILON, How, Measure, Shape, joined, measure

HEADS: Final = ("pool", "flatten")  #: what makes a vector of the last map: the mean over all pixels, or all of it


@dataclass(frozen=True)
class Node:
    """An active node: a block name and the nodes it reads (0 is the image)."""

    block: str
    inputs: tuple[int, ...]


class Flow(NamedTuple):
    """What reaches one point of the network."""

    shape: Shape
    stride: int = 1  #: by how much height and width have shrunk
    field: int = 1  #: receptive field, in pixels of the image
    convs: int = 0  #: convolutions on the longest path from the image


@dataclass(frozen=True)
class Graph:
    """A network's active nodes, its image and number of classes; node n reads nodes below n.

    The head makes a vector of the last map (`HEADS`), and a linear layer reads that. Raises BadInput, naming the
    node, where the nodes do not form such a network.
    """

    nodes: tuple[Node, ...]
    image: Shape
    classes: int
    head: str = "pool"  #: of `HEADS`
    norm_epsilon: float = EPSILON  #: what batch normalisation adds to a variance

    @classmethod
    def chain(cls, blocks: list[str], image: Shape, classes: int, norm_epsilon: float = EPSILON) -> "Graph":
        """Return the graph in which each of `blocks` reads the one before."""
        nodes = tuple(Node(name, (n,)) for n, name in enumerate(blocks))
        return cls(nodes, image, classes, norm_epsilon=norm_epsilon)

    def __post_init__(self) -> None:
        """Check inputs, arity, and that no node is dead."""
        read = {source for node in self.nodes for source in node.inputs} | {len(self.nodes)}
        for n, node in enumerate(self.nodes, 1):
            try:
                arity = block(node.block).arity
            except BadInput as error:
                raise BadInput(f"node {n}: {error}") from error
            if len(node.inputs) != arity or not all(
                type(source) is int and 0 <= source < n for source in node.inputs
            ):
                raise BadInput(f"node {n} ({node.block}): inputs {list(node.inputs)}; expected {arity} of 0..{n - 1}")
            if n not in read:
                raise BadInput(f"node {n} ({node.block}): read by no node; expected active nodes only")
        if not self.nodes or self.classes < 1 or min(self.image) < 1:
            raise BadInput(
                f"graph of {len(self.nodes)} nodes, {self.classes} classes, images {tuple(self.image)}; "
                "expected 1 or more of each"
            )
        if self.head not in HEADS:
            raise BadInput(f"graph with head {self.head!r}; expected one of {', '.join(HEADS)}")
        if not 0 < self.norm_epsilon < 1:
            raise BadInput(f"graph with norm_epsilon {self.norm_epsilon}; expected above 0 and below 1")

    @cached_property
    def id(self) -> str:
        """SHA-256 of the canonical graph (hex): equal exactly for equal networks."""
        nodes = [
            (node.block, sorted(node.inputs) if block(node.block).join == "sum" else node.inputs)
            for node in self.nodes
        ]
        text = json.dumps([nodes, self.image, self.classes, *self._others.values()], separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def _others(self) -> dict[str, Any]:
        """What is not as graphs of older programs were, whose ids hold."""
        head = {} if self.head == "pool" else {"head": self.head}
        return head | ({} if self.norm_epsilon == EPSILON else {"norm_epsilon": self.norm_epsilon})

    def aligned(self, n: int) -> tuple[Shape, list[int]]:
        """Return the joined input shape of node `n` and by how much each input is max-pooled first."""
        node = self.nodes[n - 1]
        return aligned([self.flows[source] for source in node.inputs], block(node.block).join)

    @cached_property
    def _walk(self) -> tuple[list[Flow], list[Measure]]:
        return walk(self.nodes, self.image)

    @property
    def flows(self) -> list[Flow]:
        """What leaves the image (index 0) and every node."""
        return self._walk[0]

    @property
    def steps(self) -> list[Measure]:
        """What each node costs."""
        return self._walk[1]

    @property
    def depth(self) -> int:
        """Active nodes."""
        return len(self.nodes)

    @cached_property
    def conv_layers(self) -> int:
        """Convolutions on the longest path."""
        return self.flows[-1].convs

    @property
    def receptive_field(self) -> int:
        """Receptive field of the last node, in pixels of the image."""
        return self.flows[-1].field

    @property
    def features(self) -> int:
        """Numbers that the linear layer of the head reads."""
        channels, height, width = self.flows[-1].shape
        return channels if self.head == "pool" else channels * height * width

    @property
    def params(self) -> int:
        """Trainable parameters, head included."""
        return sum(step.params for step in self.steps) + (self.features + 1) * self.classes

    @cached_property
    def flops(self) -> int:
        """Forward FLOPs per image of convolutions and head; a multiply-add is two."""
        return sum(step.flops for step in self.steps) + 2 * self.features * self.classes

    def to_json(self) -> dict[str, Any]:
        """Return a plain value that `from_json` reads."""
        nodes = [[node.block, *node.inputs] for node in self.nodes]
        return {"image": list(self.image), "classes": self.classes, "nodes": nodes} | self._others

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Graph":
        """Read what `to_json` made. Raises BadInput, naming the node, for anything else."""
        try:
            nodes = tuple(Node(str(name), tuple(inputs)) for name, *inputs in value["nodes"])
            image, classes = Shape(*map(int, value["image"])), int(value["classes"])
            epsilon = float(value.get("norm_epsilon", EPSILON))
            return cls(nodes, image, classes, value.get("head", "pool"), epsilon)
        except BadInput:
            raise
        except (KeyError, TypeError, ValueError) as error:
            raise BadInput(f"not a graph: {error!r}; expected image, classes and nodes") from error


def walk(nodes: Sequence[Node], image: Shape) -> tuple[list[Flow], list[Measure]]:
    """Return what leaves the image (index 0) and every node, and what each node costs; nodes may be silent.

    Raises BadInput, naming the node, where maps do not fit together.
    """
    flows, measures = [Flow(image)], list[Measure]()
    for n, node in enumerate(nodes, 1):
        sources = [flows[source] for source in node.inputs]
        try:
            shape, ratios = aligned(sources, block(node.block).join)
        except BadInput as error:
            raise BadInput(f"node {n} ({node.block}): {error}") from error
        step = _step(node.block, shape)
        if min(step.shape) < 1:
            raise BadInput(f"node {n} ({node.block}): gives {tuple(step.shape)}; expected larger images")
        stride = max(source.stride for source in sources)
        pairs = zip(sources, ratios, strict=True)
        field = max(source.field + (ratio - 1) * source.stride for source, ratio in pairs)
        convs = max(source.convs for source in sources) + step.convs
        flows.append(Flow(step.shape, stride * step.stride, field + step.reach * stride, convs))
        measures.append(step)
    return flows, measures


@lru_cache(maxsize=65536)
def _step(name: str, shape: Shape) -> Measure:
    """Measure the block `name` on a joined input of `shape`."""
    return measure(block(name).layers(shape), shape)


def aligned(sources: list[Flow], how: How) -> tuple[Shape, list[int]]:
    """Return the shape of `sources` pooled to the smallest and joined, and the pooling of each."""
    if len(sources) == 1:
        return sources[0].shape, [1]
    stride = max(source.stride for source in sources)
    ratios = [stride // source.stride for source in sources]
    shapes = [
        Shape(source.shape.channels, source.shape.height // ratio, source.shape.width // ratio)
        for source, ratio in zip(sources, ratios, strict=True)
    ]
    return joined(shapes, how), ratios
