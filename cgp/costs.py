"""What a network costs, told from its genes alone: fast enough to ask of every draw and every mutation. No torch."""

import math
from collections.abc import Iterable, Sequence
from itertools import count

from cgp.blocks import Block
from cgp.layers import Shape, measure

Flow = tuple[int, int]  #: channels of a map, and how many times its height and width were halved
Step = tuple[Flow, int, int]  #: what leaves a block; the block's parameters and FLOPs per image


class Steps(dict[Flow, Step]):
    """What one block makes of each flow that reaches it, worked out when it is first asked for."""

    def __init__(self, block: Block, image: Shape) -> None:
        """Tell of `block` in networks for images of the shape `image`."""
        super().__init__()
        self._block, self._image = block, image

    def __missing__(self, flow: Flow) -> Step:
        """Work out what becomes of `flow`."""
        channels, halvings = flow
        shape = Shape(channels, self._image.height >> halvings, self._image.width >> halvings)
        step = measure(self._block.layers(shape), shape)
        left = (step.shape.channels, halvings + (step.stride > 1))
        self[flow] = left, step.params, step.flops
        return self[flow]


class Costs:
    """Parameters and FLOPs of the networks that a space can draw."""

    def __init__(self, blocks: Sequence[Block], image: Shape, classes: int, head: str = "pool") -> None:
        """Tell of networks whose block genes are indices into `blocks`, which halve an image or keep its size."""
        self.image, self.classes, self.head = image, classes, head
        self.steps = tuple(Steps(block, image) for block in blocks)
        self.joins = tuple(block.join if block.arity == 2 else None for block in blocks)

    def of(
        self,
        blocks: Sequence[int],
        firsts: Sequence[int],
        seconds: Sequence[int],
        most: tuple[float, float] = (math.inf, math.inf),
        numbers: Iterable[int] | None = None,
    ) -> tuple[int, int]:
        """Return parameters, and forward FLOPs per image, of nodes and the head behind the last of them.

        Nodes come in topological order; `numbers` are what inputs call them, 1, 2, ... where left out, and 0 is the
        image. Node n has the gene `blocks[n - 1]` and reads `firsts[n - 1]`, and where it joins `seconds[n - 1]`.
        There are as many nodes as `firsts`. Equal to `Graph.params` and `Graph.flops` (a test holds it), fifty
        times as fast. Where one of the two is beyond `most`, that is all that is told: later nodes are not counted.
        """
        steps, joins = self.steps, self.joins
        most_params, most_flops = most
        flow = (self.image.channels, 0)
        flows, params, flops = {0: flow}, 0, 0
        for number, first, second, gene in zip(numbers or count(1), firsts, seconds, blocks, strict=False):
            flow, how = flows[first], joins[gene]
            if how is not None:
                (channels, halvings), (others, more) = flow, flows[second]
                channels = channels + others if how == "concat" else channels if channels > others else others
                flow = (channels, halvings if halvings > more else more)
            flow, own_params, own_flops = steps[gene][flow]
            params += own_params
            flops += own_flops
            if params > most_params or flops > most_flops:
                break
            flows[number] = flow
        features, halvings = flow
        if self.head == "flatten":
            features *= (self.image.height >> halvings) * (self.image.width >> halvings)
        return params + (features + 1) * self.classes, flops + 2 * features * self.classes
