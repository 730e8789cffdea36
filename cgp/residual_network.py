"""The network of a residual MLP: its blocks' weights are one tensor, which is a path in depth."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from cgp.residual_mlp import ResidualMLP

_ACTIVATIONS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "tanh": torch.tanh,
    "elu": functional.elu,
    "relu": functional.relu,
    "gelu": functional.gelu,
    "sigmoid": torch.sigmoid,
}


class ResidualNetwork(nn.Module):
    """Blocks between two linear maps that are not trained; `weights` is (depth, width, width)."""

    def __init__(self, model: ResidualMLP) -> None:
        """Draw the maps as torch's linear layers begin, and then the weights as `model` says."""
        super().__init__()
        self.model = model
        self.register_buffer("read_in", nn.Linear(model.inputs, model.width, bias=False).weight.detach().clone())
        self.register_buffer("read_out", nn.Linear(model.width, model.classes, bias=False).weight.detach().clone())
        self.weights = nn.Parameter(torch.full((model.depth, model.width, model.width), model.reach))
        if model.begins == "ntrunc":
            reach = model.reach
            nn.init.trunc_normal_(self.weights, std=reach**0.5, a=-reach, b=reach)
        self._activation = _ACTIVATIONS[model.activation]

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs (batch, classes) of images `x` (batch, channels, height, width)."""
        h = functional.linear(x.flatten(1), self.get_buffer("read_in"))
        layers = self.weights.unbind()  # taken one by one, each would have a gradient as large as all of them
        block, before = self._block, None
        for weight in layers:
            h = block(h, weight, before)
            before = weight
        return functional.linear(h, self.get_buffer("read_out"))

    def _block(self, h: Tensor, weight: Tensor, before: Tensor | None) -> Tensor:
        s, model = self._activation, self.model
        match model.block:
            case "none":
                return model.delta * s(functional.linear(h, weight))
            case "skip":
                return h + model.delta * s(functional.linear(h, weight))
            case "linear_skip":
                return h + functional.linear(s(h), weight)
        if before is None:
            return h + s(torch.zeros_like(h)) @ weight
        return h + s(functional.linear(h, before)) @ (weight - before)
