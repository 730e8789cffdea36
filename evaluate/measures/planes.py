"""Planes in the space of a network's weights: two directions, and the network moved along them."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

_BLOCKS = 3  # dimensions of a tensor that holds the weights of many blocks: (blocks, outputs, inputs)

#: A tensor for each parameter that it changes, by its name and of its shape.
Direction = Mapping[str, Tensor]


class Plane(NamedTuple):
    """All that weights + x first + y second reach; both directions change the same parameters."""

    first: Direction
    second: Direction


def varied(network: nn.Module) -> dict[str, nn.Parameter]:
    """Return the parameters that a landscape is over, by name: those that train, of any shape."""
    return {name: parameter for name, parameter in network.named_parameters() if parameter.requires_grad}


def random_plane(network: nn.Module, seed: int) -> Plane:
    """Return two Gaussian directions, each filter as long as the network's own (Li et al. 2018, arXiv 1712.09913).

    They change weights of more than one dimension: biases and batch normalisation stay. Each filter of the second is
    made orthogonal to the same filter of the first before it is scaled. So both are normalised filter by filter, and
    orthogonal as wholes. A filter of a single number has no second direction: that is 0 there. They depend on the
    network and on `seed` alone.
    """
    first, second = dict[str, Tensor](), dict[str, Tensor]()
    weights = {name: parameter for name, parameter in varied(network).items() if parameter.ndim > 1}
    for place, (name, parameter) in enumerate(weights.items()):
        own = filters(parameter.detach().double().cpu())
        drawn = np.random.default_rng((seed, place)).standard_normal((2, *own.shape))
        one, other = torch.from_numpy(drawn)
        other = other - one * ((one * other).sum(1) / one.square().sum(1))[:, None]
        if own.shape[1] == 1:  # what is left of it is rounding
            other = torch.zeros_like(other)
        lengths = own.norm(dim=1, keepdim=True)
        for found, direction in ((first, one), (second, other)):
            scaled = direction * lengths / direction.norm(dim=1, keepdim=True).clamp(min=1e-300)
            found[name] = scaled.view(parameter.shape).to(parameter)
    return Plane(first, second)


def filters(weight: Tensor) -> Tensor:
    """Return a weight as rows, (filters, numbers of one).

    A filter is what makes one output: `weight[n]` of a convolution or a linear layer; of a tensor with the weights of
    many blocks (blocks, outputs, inputs) a row of one block.
    """
    return weight.flatten(0, 1) if weight.ndim == _BLOCKS else weight.flatten(1)


@torch.no_grad()
def walk(network: nn.Module, plane: Plane, places: list[tuple[float, float]]) -> Iterator[tuple[float, float]]:
    """Move `network` to each of `places`, in units of the directions of `plane`, and yield it there.

    Places count from its weights as they are now.
    """
    parameters = varied(network)
    centre = {name: parameters[name].detach().clone() for name in plane.first}
    for x, y in places:
        for name, weights in centre.items():
            moved = weights.add(plane.first[name], alpha=x).add_(plane.second[name], alpha=y)
            parameters[name].data.copy_(moved)
        yield x, y


@contextmanager
def restored(network: nn.Module) -> Iterator[None]:
    """Give `network` back, in the end, all parameters and statistics that it has now."""
    before = {name: value.clone() for name, value in network.state_dict().items()}
    try:
        yield
    finally:
        network.load_state_dict(before)
