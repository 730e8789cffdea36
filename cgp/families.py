"""Families: known networks in their CIFAR form (32 x 32 images, global average pooling), and residual MLPs."""

from collections.abc import Callable, Mapping
from typing import Any

from cgp import feature_amounts
from cgp.errors import BadInput, did_you_mean
from cgp.feature_amounts import Amounts
from cgp.graph import Graph
from cgp.layers import Shape
from cgp.model import Model
from cgp.residual_mlp import RESIDUAL_MLP, residual_mlps

CIFAR10 = Shape(3, 32, 32)
VGG_FEATURES, OF_VGG_16 = "vgg-features", Amounts()


def vgg(depth: int, image: Shape = CIFAR10, classes: int = 10) -> Graph:
    """VGG with batch normalisation (Simonyan and Zisserman 2014): `depth` 16 or 19.

    Its convolutions alone: the fully connected layers give way to the common head.
    """
    per_stage = {16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}[depth]
    blocks = list[str]()
    for channels, count in zip((64, 128, 256, 512, 512), per_stage, strict=True):
        blocks += [f"conv_{channels}_3"] * count + ["maxpool"]
    return Graph.chain(blocks, image, classes)


def resnet(depth: int, image: Shape = CIFAR10, classes: int = 10) -> Graph:
    """CIFAR ResNet with option A shortcuts (He et al. 2015); `depth` is 6n + 2."""
    count = (depth - 2) // 6
    blocks = ["conv_16_3"] + ["res_16_3"] * count
    for channels in (32, 64):
        blocks += [f"res_{channels}_3_2"] + [f"res_{channels}_3"] * (count - 1)
    return Graph.chain(blocks, image, classes)


def densenet_bc(depth: int, growth: int, image: Shape = CIFAR10, classes: int = 10) -> Graph:
    """DenseNet-BC with three dense blocks (Huang et al. 2016); `depth` is 6n + 4."""
    stage = [f"dense_{growth}_3"] * ((depth - 4) // 6)
    blocks = [f"conv_{2 * growth}_3", *stage, "transition", *stage, "transition", *stage, "activation"]
    return Graph.chain(blocks, image, classes)


def vgg_features(image: Shape, classes: int, amounts: Amounts = OF_VGG_16) -> dict[str, Graph]:
    """VGG networks that share their features among the layers in other ways, and the VGG itself at last."""
    members = feature_amounts.members(amounts)
    return {member.name: feature_amounts.network(member.features, image, classes) for member in members}


#: What makes the networks of each, from the shape of the images, how many classes there are, and options of its own.
FAMILIES: dict[str, Callable[..., Mapping[str, Model]]] = {
    "vgg": lambda image, classes: {f"vgg-{d}": vgg(d, image, classes) for d in (16, 19)},
    "resnet": lambda image, classes: {f"resnet-{d}": resnet(d, image, classes) for d in (20, 32, 44, 56, 110)},
    "densenet": lambda image, classes: {"densenet-bc-100-12": densenet_bc(100, 12, image, classes)},
    VGG_FEATURES: vgg_features,
    RESIDUAL_MLP: residual_mlps,
}


def family(name: str, image: Shape = CIFAR10, classes: int = 10, **options: Any) -> Mapping[str, Model]:
    """Return the networks of the family `name`, by name; `options` are those of the function in `FAMILIES`.

    Raises BadInput for an unknown family, and for images that are too small for it.
    """
    networks = family_named(name)(image, classes, **options)
    try:
        for model in networks.values():
            model.flops  # noqa: B018 - a shape that cannot be is met where it is asked for
    except BadInput as error:
        side = f"{image.height} x {image.width}"
        raise BadInput(f"--family: {name} does not fit images of {side}: {error}") from error
    return networks


def family_named(name: str) -> Callable[..., Mapping[str, Model]]:
    """Return what makes the networks of the family `name`. Raises BadInput for an unknown one."""
    if name not in FAMILIES:
        known = ", ".join(FAMILIES)
        raise BadInput(f"--family: unknown {name!r}{did_you_mean(name, FAMILIES)}; one of {known}")
    return FAMILIES[name]
