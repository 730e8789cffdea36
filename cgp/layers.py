"""Primitive layers as plain values: what a block is made of, and what each layer costs.

A layer knows its output shape, parameters, FLOPs and receptive field from its input shape alone, so
a network can be measured without torch. `cgp.network` turns the very same values into modules, which
is why the counted and the built network cannot drift apart. `cgp.source` writes them as text.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from cgp.errors import BadInput

How = Literal["sum", "concat"]
MOMENTUM = 0.3  #: share of each batch in batch statistics, so that they keep up with a few epochs
EPSILON = 1e-5  #: of batch normalisation, as torch has it


class Shape(NamedTuple):
    """Shape of one image or feature map: channels, height, width."""

    channels: int
    height: int
    width: int


class Measure(NamedTuple):
    """What a layer does to a feature map and what it costs, per image."""

    shape: Shape  #: output shape
    params: int = 0  #: trainable parameters
    flops: int = 0  #: forward, a multiply-add is two; convolutions only
    convs: int = 0  #: convolutions on the longest path through it
    reach: int = 0  #: growth of the receptive field, in pixels of its input
    stride: int = 1


@dataclass(frozen=True)
class Conv:
    """Convolution without bias, zero-padded by `kernel // 2`."""

    channels: int
    kernel: int
    stride: int = 1
    groups: int = 1
    passes_on: bool = True  #: whether identity initialisation lets it begin as the identity

    def measure(self, shape: Shape) -> Measure:
        """Measure this layer on an input of `shape`."""
        out = Shape(self.channels, -(-shape.height // self.stride), -(-shape.width // self.stride))
        weights = self.channels * (shape.channels // self.groups) * self.kernel**2
        flops = 2 * weights * out.height * out.width
        return Measure(out, weights, flops, 1, self.kernel - 1, self.stride)


@dataclass(frozen=True)
class Norm:
    """Batch normalisation with scale and shift."""

    lifted: bool = False  #: whether identity initialisation lets it begin above zero, before a ReLU

    def measure(self, shape: Shape) -> Measure:
        """Measure this layer on an input of `shape`."""
        return Measure(shape, 2 * shape.channels)


@dataclass(frozen=True)
class Relu:
    """Rectifier."""

    def measure(self, shape: Shape) -> Measure:
        """Measure this layer on an input of `shape`."""
        return Measure(shape)


@dataclass(frozen=True)
class Pool:
    """Maximum or average over a square window; kernel 1 picks every `stride`-th pixel."""

    kind: Literal["max", "avg"]
    kernel: int = 2
    stride: int = 2

    @property
    def padding(self) -> int:
        """Padding on each side: none for a 2 x 2 window, so that odd sizes round down."""
        return (self.kernel - 1) // 2

    def measure(self, shape: Shape) -> Measure:
        """Measure this layer on an input of `shape`."""
        height, width = (
            (size + 2 * self.padding - self.kernel) // self.stride + 1 for size in (shape.height, shape.width)
        )
        out = Shape(shape.channels, height, width)
        return Measure(out, reach=self.kernel - 1, stride=self.stride)


@dataclass(frozen=True)
class Parallel:
    """Branches that read the same input and are joined; an empty branch is the identity."""

    branches: tuple["Layers", ...]
    how: How

    def measure(self, shape: Shape) -> Measure:
        """Measure this layer on an input of `shape`."""
        parts = [measure(branch, shape) for branch in self.branches]
        shapes, params, flops, convs, reach, strides = zip(*parts, strict=True)
        return Measure(joined(shapes, self.how), sum(params), sum(flops), max(convs), max(reach), strides[0])


Layer = Conv | Norm | Relu | Pool | Parallel
Layers = tuple[Layer, ...]


def measure(layers: Layers, shape: Shape) -> Measure:
    """Measure a chain of `layers` on an input of `shape`."""
    params = flops = convs = reach = 0
    stride = 1
    for layer in layers:
        step = layer.measure(shape)
        shape = step.shape
        params, flops, convs = params + step.params, flops + step.flops, convs + step.convs
        reach += step.reach * stride
        stride *= step.stride
    return Measure(shape, params, flops, convs, reach, stride)


def joined(shapes: Sequence[Shape], how: How) -> Shape:
    """Return the shape of equally large maps once summed (channels zero-padded) or concatenated.

    Raises BadInput when heights or widths differ.
    """
    if len({(s.height, s.width) for s in shapes}) > 1:
        raise BadInput(f"{how} of maps of different size: {[tuple(s) for s in shapes]}")
    channels = [s.channels for s in shapes]
    return Shape(sum(channels) if how == "concat" else max(channels), *shapes[0][1:])
