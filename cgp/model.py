"""What `build` turns into a network: plain, frozen values, JSON both ways. No torch.

Today that is a graph or a residual MLP. Another kind is a class with the attributes of `Model`, an entry in
`KINDS`, and its `build` in `cgp/network.py`.
"""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from cgp.errors import BadInput
from cgp.graph import Graph
from cgp.layers import Shape
from cgp.residual_mlp import RESIDUAL_MLP, ResidualMLP


class Model(Protocol):
    """A network as a value, and what it costs. Equal ids are equal networks."""

    @property
    def id(self) -> str:
        """SHA-256 (hex) of what decides the network."""

    @property
    def image(self) -> Shape:
        """Shape of the images that it reads."""

    @property
    def classes(self) -> int:
        """How many classes it tells apart."""

    @property
    def depth(self) -> int:
        """Nodes, or layers."""

    @property
    def conv_layers(self) -> int:
        """Convolutions on the longest path."""

    @property
    def receptive_field(self) -> int:
        """Side of the part of the image that an output sees, in pixels."""

    @property
    def params(self) -> int:
        """Trainable parameters."""

    @property
    def flops(self) -> int:
        """Forward FLOPs per image; a multiply-add is two."""

    def to_json(self) -> dict[str, Any]:
        """Return a plain value that `model_from_json` reads; its `kind` is that of `KINDS`, without one a graph."""


KINDS: Mapping[str, Callable[[dict[str, Any]], Model]] = {
    "graph": Graph.from_json,
    RESIDUAL_MLP: ResidualMLP.from_json,
}


def model_from_json(value: dict[str, Any]) -> Model:
    """Read what `to_json` of any kind of model made. Raises BadInput for an unknown kind, or what is no model."""
    kind = value.get("kind", "graph")
    if kind not in KINDS:
        raise BadInput(f"model of kind {kind!r}; this program knows {', '.join(KINDS)}; use a later one")
    return KINDS[kind](value)
