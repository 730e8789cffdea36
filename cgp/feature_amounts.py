"""Feature amounts: VGG networks that share about one total of features among their layers in other ways.

After Mundt, Majumder, Weis and Ramesh 2018 (arXiv 1812.05836): the density of a skew normal over the layers says
which share of the total each layer has.
"""

import math
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cgp.errors import BadInput
from cgp.graph import Graph
from cgp.layers import Shape

DEPTHS: Final = (10, 13, 16, 19)  #: layers with weights: convolutions, two fully connected ones, and the classifier
_CONNECTED = 2  # fully connected layers before the classifier
_FEWEST = 2  # features of a layer
_MOST = 10_000  # features in all; of twice as many, single layers would be wider than a block may be
_COVERED = 0.95  # of the density, that a variant's layers have to hold
_EPSILON = 1e-4  # of batch normalisation
_Numbers = NDArray[np.float64]
_WIDTHS = np.arange(1, 12) * 0.5
_SKEWS = range(-40, 41, 4)
_STEP, _POINTS = 0.01, 100  # of the rule that integrates a layer's bin, [n, n + .99] instead of [n, n + 1]


class Variant(NamedTuple):
    """How a network shares the total among its layers, and as which density it does."""

    mean: int  #: where the skew normal lies, in layers from the image
    width: float  #: its scale, in layers
    skew: int  #: above 0 it falls off slowly behind `mean`, below 0 before it
    features: tuple[int, ...]  #: of each layer but the classifier


@dataclass(frozen=True)
class Amounts:
    """Which variants: raises BadInput, naming the flag, for a depth or a number that cannot be."""

    depth: int = 16  #: of `DEPTHS`
    total: int | None = None  #: features of all layers; None: as many as the VGG of this depth has
    exact: bool = False  #: whether each variant has exactly the total; else its layers' shares are rounded up
    most: int | None = None  #: how many variants, evenly spread over all; None: all

    def __post_init__(self) -> None:
        """Check every value."""
        if self.depth not in DEPTHS:
            known = ", ".join(map(str, DEPTHS))
            raise BadInput(f"--vgg-depth: {self.depth}; expected {known}")
        lowest = _FEWEST * self.layers
        if self.total is not None and not lowest <= self.total <= _MOST:
            raise BadInput(
                f"--features-total: {self.total}; expected {lowest}..{_MOST}: at least {_FEWEST} in each of "
                f"{self.layers} layers"
            )
        if self.most is not None and self.most < 1:
            raise BadInput(f"--variants: {self.most}; expected at least 1")

    @property
    def layers(self) -> int:
        """Layers that have features: all but the classifier."""
        return self.depth - 1

    @property
    def whole(self) -> int:
        """Features of all layers."""
        return sum(self._of_vgg) if self.total is None else self.total

    @property
    def _of_vgg(self) -> list[int]:
        each = _deep(self.layers)
        return [64, 64, 128, 128, *[256] * each, *[512] * (2 * each + _CONNECTED)]

    @property
    def vgg(self) -> tuple[int, ...]:
        """Features of each layer of the VGG itself (D, at depth 16), scaled to the total where that is another."""
        own = np.array(self._of_vgg)
        return tuple(map(int, own)) if self.total is None else _apportioned(own / own.sum(), self.total)

    def variants(self) -> list[Variant]:
        """Return the variants that hold enough of the density, with at least 2 features in each layer.

        They are ordered by mean, width and skew. Raises BadInput where there is none.
        """
        found = list[Variant]()
        for mean in range(self.layers + 1):
            for width in _WIDTHS:
                for skew, bins in zip(_SKEWS, _bins(mean, width, self.layers), strict=True):
                    rounded = tuple(int(amount) for amount in np.ceil(bins * self.whole))
                    if bins.sum() > _COVERED and min(rounded) >= _FEWEST:
                        features = _apportioned(bins / bins.sum(), self.whole) if self.exact else rounded
                        found.append(Variant(mean, float(width), skew, features))
        if not found:
            raise BadInput(
                f"--features-total: {self.whole} leave no variant with {_FEWEST} features in each of {self.layers} "
                "layers; expected more"
            )
        if self.most is None or self.most >= len(found):
            return found
        return [found[(2 * n + 1) * len(found) // (2 * self.most)] for n in range(self.most)]


def _deep(layers: int) -> int:
    """Return how many convolutions each of the last three of five stages has."""
    return (layers - _CONNECTED - 4) // 3


def _bins(mean: int, width: float, layers: int) -> _Numbers:
    """Return, for each skew and layer, the integral of the skew normal's density over the layer.

    By the trapezoidal rule on the 100 points n, n + .01, ..., n + .99, as the original does it: a hundredth of the
    width is left out, without which depth 16 would have 204 variants instead of 193.
    """
    from scipy.special import erf

    points = np.arange(layers)[:, None] + np.arange(_POINTS) * _STEP
    z = (points - mean) / width
    bell = 2 / (width * math.sqrt(2 * math.pi)) * np.exp(-(z**2) / 2)
    density = bell * (1 + erf(np.array(_SKEWS)[:, None, None] * z / math.sqrt(2))) / 2
    integral: _Numbers = (density.sum(-1) - (density[..., 0] + density[..., -1]) / 2) * _STEP
    return integral


def _apportioned(shares: _Numbers, total: int) -> tuple[int, ...]:
    """Return `total` in whole parts by `shares`, by their largest remainders; none is below 2."""
    wanted = shares * total
    parts = np.maximum(_FEWEST, np.floor(wanted).astype(np.int64))
    while lack := total - int(parts.sum()):
        remainder = wanted - parts
        if lack > 0:
            parts[remainder.argmax()] += 1
        else:
            parts[np.where(parts > _FEWEST, remainder, np.inf).argmin()] -= 1
    return tuple(map(int, parts))


class Member(NamedTuple):
    """A network of the family."""

    name: str
    variant: Variant | None  #: None for the VGG itself
    features: tuple[int, ...]


def members(amounts: Amounts) -> list[Member]:
    """Return the networks of the family: all variants in their order, and the VGG itself at last."""
    variants = [
        Member(f"m{variant.mean} w{variant.width:g} a{variant.skew}", variant, variant.features)
        for variant in amounts.variants()
    ]
    return [*variants, Member(f"vgg-{amounts.depth}", None, amounts.vgg)]


def network(features: tuple[int, ...], image: Shape, classes: int) -> Graph:
    """Return the VGG with these `features`, of each layer but the classifier.

    Its stages end in poolings, of which small images get as many as they have room for (five at 32 x 32, four at 28
    x 28, three at 8 x 8). Fully connected layers are convolutions of one pixel: of the images that VGG is for, one
    pixel is all that the last pooling leaves; of larger ones they read each pixel, and the head the mean.
    """
    convolutions = len(features) - _CONNECTED
    each = _deep(len(features))
    ends = {2, 4, 4 + each, 4 + 2 * each, convolutions}
    room = min(image.height, image.width).bit_length() - 1
    blocks = list[str]()
    for layer, amount in enumerate(features, 1):
        blocks.append(f"conv_{amount}_{3 if layer <= convolutions else 1}")
        if layer in ends and room:
            blocks.append("maxpool")
            room -= 1
    return Graph.chain(blocks, image, classes, _EPSILON)


def weights(graph: Graph) -> int:
    """Return the weights of all convolutions and linear layers of `graph`: the parameters that the original counts.

    Biases and batch normalisation are left out.
    """
    layers = (step.params - 2 * step.shape.channels for step in graph.steps if step.convs)
    return sum(layers) + graph.features * graph.classes
