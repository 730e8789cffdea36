"""What is drawn and in which order: large maps first, behind the last active node the head, then silent nodes."""

from collections.abc import Sequence
from itertools import groupby, pairwise
from typing import NamedTuple

from cgp.drawing.layout import HEAD, IMAGE, Box, times
from cgp.genome import Genome
from cgp.graph import Graph, Node, walk
from cgp.layers import Shape
from cgp.space import Space
from cgp.wiring import wiring


class Link(NamedTuple):
    """An edge between boxes: the input `slot` of `target`; `near`: from the node that stands just before it."""

    source: int
    target: int
    slot: int
    near: bool


class Drawn:
    """The boxes of a network in order, not placed yet, the stages that they form, and the links between them."""

    def __init__(self, graph: Graph, nodes: Sequence[Node], active: frozenset[int]) -> None:
        """Draw `nodes`, of which the `active` ones (counted from 1) are those of `graph`."""
        self.graph = graph
        shapes = [flow.shape for flow in walk(nodes, graph.image)[0]]
        # Maps never grow along an edge, so whatever is read stands before what reads it.
        place = {n: (n not in active, -shapes[n].height, -shapes[n].width, n) for n in range(1, len(nodes) + 1)}
        order = sorted(place, key=place.__getitem__)
        boxes = [_box(n, nodes[n - 1].block, shapes[n], n not in active) for n in order]
        image = Box(IMAGE, "image", "image", graph.image, False)
        head = Box(HEAD, "head", "head", Shape(graph.classes, *shapes[max(active)][1:]), False)
        self.boxes = [image, *boxes[: len(active)], head, *boxes[len(active) :]]
        self.stages = [list(stage) for _, stage in groupby(self.boxes, lambda box: (box.silent, box.shape[1:]))]
        inputs = {n: node.inputs for n, node in enumerate(nodes, 1)}
        self.links = [
            *_links([IMAGE, *order], inputs),
            Link(max(active), HEAD, 0, True),  # which stands last among those of its size
        ]

    @classmethod
    def of_graph(cls, graph: Graph) -> "Drawn":
        """Draw the active nodes."""
        return cls(graph, graph.nodes, frozenset(range(1, graph.depth + 1)))

    @classmethod
    def of_genome(cls, genome: Genome, space: Space) -> "Drawn":
        """Draw all nodes."""
        return cls(genome.graph(space), *wiring(space).all_nodes(genome.genes, space))

    @property
    def skips(self) -> list[Link]:
        """The links that pass a node by."""
        return [link for link in self.links if not link.near]

    @property
    def facts(self) -> str:
        """What the network costs."""
        graph = self.graph
        power, unit = next((p, unit) for p, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k"), (1, "")) if graph.flops >= p)
        convs = f"{graph.conv_layers} convolution{'s' * (graph.conv_layers != 1)}"
        return f"depth {graph.depth} · {convs} · {graph.params:,} parameters · {graph.flops / power:.1f} {unit}FLOPs"

    @property
    def about(self) -> str:
        """The network in words."""
        stages = "; ".join(f"{label(stage[0])}: {_blocks(stage)}" for stage in self.stages)
        told = f"A network for images of {times(*self.graph.image)} and {self.graph.classes} classes: {self.facts}. "
        told += f"Stages: {stages}."
        skips = ", ".join(f"{link.target} reads {link.source or 'the image'}" for link in self.skips)
        return f"{told} Skips: {skips}." if skips else told


def label(box: Box) -> str:
    """Return what names the stage of `box`."""
    return times(*box.shape[1:]) + ", silent" * box.silent


def _box(n: int, name: str, shape: Shape, silent: bool) -> Box:
    return Box(n, name, name.partition("_")[0], shape, silent)


def _links(order: Sequence[int], inputs: dict[int, tuple[int, ...]]) -> list[Link]:
    return [
        Link(source, node, slot, source == before and source not in inputs[node][:slot])
        for before, node in pairwise(order)
        for slot, source in enumerate(inputs[node])
    ]


def _blocks(stage: Sequence[Box]) -> str:
    count = sum(box.node > IMAGE for box in stage)
    return f"{count} block{'s' * (count != 1)}"
