"""Fully connected residual networks of many blocks, whose weights are a path in depth: a kind of model. No torch.

They are for the question of the depth limit (Cont, Rossier and Xu 2022, arXiv 2204.07261): how regular is that path
when there are more and more blocks? They are those of ladezai/residual-network; where its README and its code differ,
they follow its code.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Final

from cgp.errors import BadInput, did_you_mean
from cgp.layers import Shape

RESIDUAL_MLP: Final = "residual-mlp"
#: How a block makes its output of its input h, where s is the activation and W its weights.
BLOCKS: Final = {
    "none": "L^-alpha s(W h)",
    "skip": "h + L^-alpha s(W h)",
    "inc_skip": "h + s(V h) (W - V), with V the weights of the block before, 0 for the first",
    "linear_skip": "h + W s(h)",
}
ACTIVATIONS: Final = ("tanh", "elu", "relu", "gelu", "sigmoid")
#: How weights begin, where m is `reach`.
BEGINNINGS: Final = {"constant": "all m", "ntrunc": "normal of variance m, cut at -m and m"}


@dataclass(frozen=True)
class ResidualMLP:
    """`depth` blocks of `width` numbers between two fixed linear maps without bias, of the image and to the outputs.

    In the source's README a block has L^alpha, in its code, as here, L^-alpha. In its README weights begin at
    L^(-beta - 1/gamma) / width^2, in its code, as here, at half of L^(-beta - 1/gamma), and the deviation of `ntrunc`
    is the square root of that. Raises BadInput, naming the value, where one is out of range.
    """

    depth: int  #: L, blocks
    width: int
    image: Shape
    classes: int  #: or outputs of a regression
    block: str = "skip"  #: of `BLOCKS`
    activation: str = "tanh"  #: of `ACTIVATIONS`
    alpha: float = 0.75  #: how fast what a block adds shrinks with depth, 0..1
    beta: float = 0.25  #: how fast its weights are taken to shrink with depth; the theory has 1 - alpha
    gamma: float = 1.0  #: the larger, the larger weights begin; above 0
    begins: str = "ntrunc"  #: of `BEGINNINGS`

    def __post_init__(self) -> None:
        """Check every value."""
        for name, number in (("depth", self.depth), ("width", self.width), ("classes", self.classes)):
            if number < 1:
                raise BadInput(f"residual MLP of {name} {number}; expected at least 1")
        for name, value, known in (
            ("block", self.block, BLOCKS),
            ("activation", self.activation, ACTIVATIONS),
            ("begins", self.begins, BEGINNINGS),
        ):
            if value not in known:
                hint = did_you_mean(value, known)
                raise BadInput(f"residual MLP with {name} {value!r}{hint}; expected one of {', '.join(known)}")
        if not 0 <= self.alpha <= 1 or not 0 <= self.beta <= 1 or not self.gamma > 0:
            raise BadInput(
                f"residual MLP with alpha {self.alpha}, beta {self.beta}, gamma {self.gamma}; expected 0..1, 0..1 "
                "and a number above 0"
            )

    @property
    def delta(self) -> float:
        """L^-alpha, by which a block scales what it adds."""
        return float(self.depth**-self.alpha)

    @property
    def reach(self) -> float:
        """m, by how much a weight is away from 0 at most when it begins."""
        return float(self.depth ** (-self.beta - 1 / self.gamma)) / 2

    @property
    def scale(self) -> float:
        """L^beta, by which weights are multiplied to be points of a path that may have a limit."""
        return float(self.depth**self.beta)

    @property
    def inputs(self) -> int:
        """Numbers of an image."""
        return self.image.channels * self.image.height * self.image.width

    @cached_property
    def id(self) -> str:
        """SHA-256 (hex) of all its values."""
        text = json.dumps(self.to_json(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def conv_layers(self) -> int:
        """Convolutions, of which it has none."""
        return 0

    @property
    def receptive_field(self) -> int:
        """The longer side of the image, all of which every output sees."""
        return max(self.image.height, self.image.width)

    @property
    def params(self) -> int:
        """Weights of the blocks; the maps at both ends are not trained."""
        return self.depth * self.width**2

    @property
    def flops(self) -> int:
        """Forward FLOPs per image of all products with matrices; a multiply-add is two."""
        products = 2 * self.depth - 1 if self.block == "inc_skip" else self.depth
        return 2 * self.width * (self.inputs + products * self.width + self.classes)

    def to_json(self) -> dict[str, Any]:
        """Return a plain value that `from_json` reads."""
        return {"kind": RESIDUAL_MLP} | asdict(self) | {"image": list(self.image)}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "ResidualMLP":
        """Read what `to_json` made. Raises BadInput for anything else."""
        try:
            given = {name: found for name, found in value.items() if name != "kind"}
            return cls(**given | {"image": Shape(*map(int, value["image"]))})
        except BadInput:
            raise
        except (KeyError, TypeError, ValueError) as error:
            raise BadInput(f"not a residual MLP: {error!r}; expected what a run wrote") from error


def residual_mlps(
    image: Shape, classes: int, depths: Sequence[int] = (10, 100), **values: Any
) -> dict[str, ResidualMLP]:
    """Return a residual MLP of each of `depths`, by name; `values` are its other fields.

    Raises BadInput as `ResidualMLP` does.
    """
    width = values.pop("width", 16)
    return {f"{RESIDUAL_MLP}-{depth}": ResidualMLP(depth, width, image, classes, **values) for depth in depths}
