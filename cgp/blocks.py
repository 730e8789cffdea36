"""The blocks a genome may name, and the function sets they are drawn from.

A block says how many inputs it joins and, given their joined shape, which primitive layers follow.
To add one: write a class, enter it in `KINDS`, name it in a set of `FUNCTION_SETS`. Shapes,
parameters, FLOPs and the torch module all follow from `layers`.
"""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from functools import cache
from itertools import product
from typing import ClassVar

from cgp.errors import BadInput, did_you_mean
from cgp.layers import Conv, How, Layers, Norm, Parallel, Pool, Relu, Shape


@dataclass(frozen=True)
class Block:
    """One kind of node. Its fields are the numbers in its name: `conv_64_3` is Convolution(64, 3)."""

    arity: ClassVar[int] = 1
    join: ClassVar[How] = "sum"  # how several inputs become one

    @property
    def stride(self) -> int:
        """By how much this block shrinks height and width."""
        return 1

    def layers(self, shape: Shape) -> Layers:
        """Return the layers that follow the joined input of `shape`."""
        raise NotImplementedError(f"{type(self).__name__}.layers")


@dataclass(frozen=True)
class Strided(Block):
    """What may take steps of more than one pixel; `step` is left out of the name when it is 1."""

    channels: int
    kernel: int
    step: int = 1

    @property
    def stride(self) -> int:
        """By how much this block shrinks height and width."""
        return self.step


@dataclass(frozen=True)
class Convolution(Strided):
    """conv (no bias) - BN - ReLU."""

    def layers(self, shape: Shape) -> Layers:
        """Return the layers of this block."""
        return (Conv(self.channels, self.kernel, self.step), Norm(), Relu())


@dataclass(frozen=True)
class Separable(Block):
    """Depthwise convolution, pointwise convolution - BN - ReLU.

    Its maps begin above zero: a chain of those that do not stays at chance.
    """

    channels: int
    kernel: int

    def layers(self, shape: Shape) -> Layers:
        """Return the layers of this block; of one channel a depthwise convolution is an ordinary one."""
        depthwise = Conv(shape.channels, self.kernel, groups=shape.channels)
        return (depthwise, Conv(self.channels, 1), Norm(lifted=shape.channels > 1), Relu())


@dataclass(frozen=True)
class Residual(Strided):
    """conv-BN-ReLU-conv-BN plus the input, then ReLU (He et al. 2015; Suganuma et al. 2017).

    The narrower summand is padded with zero channels; with a step the input keeps every other
    pixel (He's option A).
    """

    def layers(self, shape: Shape) -> Layers:
        """Return the layers of this block."""
        first = (Conv(self.channels, self.kernel, self.step), Norm(), Relu())
        second = (Conv(self.channels, self.kernel), Norm())
        shortcut = (Pool("max", 1, self.step),) if self.step > 1 else ()
        return (Parallel((first + second, shortcut), "sum"), Relu())


@dataclass(frozen=True)
class DenseLayer(Block):
    """Input, and beside it BN-ReLU-1x1(4 growth)-BN-ReLU-kxk(growth) (Huang et al. 2016)."""

    growth: int
    kernel: int

    def layers(self, shape: Shape) -> Layers:
        """Return the layers of this block."""
        bottleneck = (Norm(), Relu(), Conv(4 * self.growth, 1))
        new = (*bottleneck, Norm(), Relu(), Conv(self.growth, self.kernel))
        return (Parallel(((), new), "concat"),)


@dataclass(frozen=True)
class Compression(Block):
    """BN-ReLU-1x1 to half the channels: DenseNet's transition without its pooling.

    It stops at 16 channels, so that several in a row do not choke the network.
    """

    def layers(self, shape: Shape) -> Layers:
        """Return the layers of this block."""
        return (Norm(), Relu(), Conv(max(min(16, shape.channels), shape.channels // 2), 1))


@dataclass(frozen=True)
class Transition(Compression):
    """BN-ReLU-1x1 to half the channels, then 2 x 2 average pooling (Huang et al. 2016)."""

    @property
    def stride(self) -> int:
        """By how much this block shrinks height and width."""
        return 2

    def layers(self, shape: Shape) -> Layers:
        """Return the layers of this block."""
        return (*super().layers(shape), Pool("avg"))


@dataclass(frozen=True)
class Activation(Block):
    """BN-ReLU: what ends a pre-activated network."""

    def layers(self, shape: Shape) -> Layers:
        """Return the layers of this block."""
        return (Norm(), Relu())


@dataclass(frozen=True)
class Inception(Block):
    """1x1, 1x1-3x3, 1x1-5x5 and pool-1x1 branches, concatenated (Szegedy et al. 2014).

    The branches get 1/4, 1/2, 1/8 and the rest of `channels`; each convolution is conv-BN-ReLU. Only the first
    branch begins as the identity, since gradients of branches that pass on the same channels add up with every
    block; and all maps begin above zero. Otherwise a deep chain of these blocks diverges.
    """

    channels: int

    def layers(self, shape: Shape) -> Layers:
        """Return the layers of this block."""
        one, three, five = self.channels // 4, self.channels // 2, self.channels // 8

        def conv(channels: int, kernel: int, passes_on: bool = False) -> Layers:
            return (Conv(channels, kernel, passes_on=passes_on), Norm(lifted=True), Relu())

        branches = (
            conv(one, 1, passes_on=True),
            conv(one, 1) + conv(three, 3),
            conv(five, 1) + conv(five, 5),
            (Pool("max", 3, 1), *conv(self.channels - one - three - five, 1)),
        )
        return (Parallel(branches, "concat"),)


@dataclass(frozen=True)
class MaxPool(Block):
    """2 x 2 maximum pooling, stride 2."""

    @property
    def stride(self) -> int:
        """By how much this block shrinks height and width."""
        return 2

    def layers(self, shape: Shape) -> Layers:
        """Return the layers of this block."""
        return (Pool("max"),)


@dataclass(frozen=True)
class AvgPool(MaxPool):
    """2 x 2 average pooling, stride 2."""

    def layers(self, shape: Shape) -> Layers:
        """Return the layers of this block."""
        return (Pool("avg"),)


@dataclass(frozen=True)
class Sum(Block):
    """Sum of two inputs; the narrower is padded with zero channels, the larger max-pooled."""

    arity: ClassVar[int] = 2

    def layers(self, shape: Shape) -> Layers:
        """Return the layers of this block: none behind the join."""
        return ()


@dataclass(frozen=True)
class Concat(Sum):
    """Two inputs side by side in channels; the larger is max-pooled to the smaller."""

    join: ClassVar[How] = "concat"


KINDS: dict[str, type[Block]] = {
    "conv": Convolution,
    "sepconv": Separable,
    "res": Residual,
    "dense": DenseLayer,
    "transition": Transition,
    "compress": Compression,
    "activation": Activation,
    "inception": Inception,
    "maxpool": MaxPool,
    "avgpool": AvgPool,
    "sum": Sum,
    "concat": Concat,
}


@dataclass(frozen=True)
class FunctionSet:
    """Names of the blocks to draw from; where `stem` is given, node 1 is drawn from that alone.

    A stem spares pre-activated blocks the image itself, which their ReLU would cut in half.
    """

    blocks: tuple[str, ...]
    stem: tuple[str, ...] = ()
    max_params: int | None = None  #: the set's own limit, where its networks could grow without bound


def _names(kind: str, *ranges: Iterable[int]) -> tuple[str, ...]:
    return tuple("_".join([kind, *map(str, numbers)]) for numbers in product(*ranges))


_WIDTHS, _POOLS = (16, 32, 64), ("maxpool", "avgpool")
_VGG = (*_names("conv", _WIDTHS, (3, 5)), *_POOLS)
_RESNET = (*_VGG, *_names("res", _WIDTHS, (3, 5)), "sum")
_DENSE = (*_names("dense", _WIDTHS, (3, 5)), "compress", "transition")
_INCEPTION = (*_names("inception", (32, 64, 128)), *_POOLS)
_STEM = _names("conv", _WIDTHS, (3,))
_GECCO = (*_POOLS, "sum", "concat")
_MOST = {"kernel": 31, "step": 16}  # of other numbers 4096: more than anyone uses; what is larger overflows or hangs

FUNCTION_SETS: dict[str, FunctionSet] = {
    "vgg": FunctionSet(_VGG),
    "vgg-sep": FunctionSet((*_names("sepconv", _WIDTHS, (3, 5)), *_POOLS)),
    "resnet": FunctionSet(_RESNET),
    "densenet": FunctionSet(_DENSE, _STEM),
    "inception": FunctionSet(_INCEPTION),
    "cgp-cnn-conv": FunctionSet((*_names("conv", (32, 64, 128), (1, 3, 5)), *_GECCO)),
    # A residual block keeps the wider of its input and its own width, so concat only ever widens.
    "cgp-cnn-res": FunctionSet((*_names("res", (32, 64, 128), (1, 3, 5)), *_GECCO), max_params=10_000_000),
    "mixed": FunctionSet(
        (*_RESNET, *_names("sepconv", _WIDTHS, (3, 5)), *_DENSE[:6], *_INCEPTION[:3], "transition", "concat"), _STEM
    ),
}


@cache
def block(name: str) -> Block:
    """Return the block called `name`, such as `conv_64_3`, `res_16_3_2` (step 2) or `sum`.

    Raises BadInput for an unknown kind, a wrong count of numbers, one that is too large, or an even kernel.
    """
    kind, *numbers = name.split("_")
    if kind not in KINDS:
        every = sorted({known for entry in FUNCTION_SETS.values() for known in entry.blocks} | set(KINDS))
        raise BadInput(f"unknown block {name!r}{did_you_mean(name, every)}; kinds are: {', '.join(KINDS)}")
    wanted = [field.name for field in fields(KINDS[kind])]
    required = len(wanted) - ("step" in wanted)
    canonical = all(n.isascii() and n.isdecimal() and n[0] != "0" for n in numbers)
    stepless = len(numbers) > required and numbers[-1] == "1"  # one block, one name
    if not required <= len(numbers) <= len(wanted) or not canonical or stepless:
        pattern = "_".join([kind, *(field.upper() for field in wanted[:required])])
        raise BadInput(f"block {name!r}: expected {pattern} with whole numbers of at least 1")
    for field, number in zip(wanted, numbers, strict=False):
        if int(number[:9]) > (most := _MOST.get(field, 4096)):  # no digit more: Python refuses to read 5,000
            raise BadInput(f"block {name[:40]!r}: its {field} is too large; expected at most {most}")
    made = KINDS[kind](*map(int, numbers))
    if getattr(made, "kernel", 1) % 2 == 0:
        raise BadInput(f"block {name!r}: its kernel is even; expected 1, 3, 5, ... so that sizes keep")
    if isinstance(made, Inception) and made.channels < 8:
        raise BadInput(f"block {name!r}: {made.channels} channels; expected at least 8 for its four branches")
    return made


def function_set(name: str) -> FunctionSet:
    """Return the named set, or one made of a comma-separated list of block names.

    Raises BadInput for an unknown set or block.
    """
    if name in FUNCTION_SETS:
        return FUNCTION_SETS[name]
    names = tuple(dict.fromkeys(part.strip() for part in name.split(",") if part.strip()))
    if len(names) == 1 and names[0].split("_")[0] not in KINDS:
        guess, known = did_you_mean(name, FUNCTION_SETS), ", ".join(FUNCTION_SETS)
        raise BadInput(f"unknown function set {name!r}{guess}; sets are: {known}; or give blocks with commas")
    for each in names:
        block(each)
    return FunctionSet(names)
