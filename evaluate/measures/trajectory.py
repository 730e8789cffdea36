"""The way that a training took, as the plane through its last weights that is closest to the earlier ones."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from cgp.errors import BadInput
from evaluate.files import LAST, kept_epochs
from evaluate.measures.planes import Plane
from evaluate.training.checkpoint import read_tensors

FEWEST = 3  #: weights that span a plane, the last included


class Trajectory(NamedTuple):
    """The principal plane of a training, and where its epochs lie in it.

    A unit of a direction is as long as what the farthest epoch lies off the last in it: places are within -1..1.
    """

    plane: Plane  #: float32, on the CPU
    epochs: list[int]  #: whose weights were kept, in order; at the end the last
    places: Tensor  #: (epochs, 2) float64; of the last (0, 0)
    off: Tensor  #: (epochs,) float64, distance from the plane as a share of that from the last weights; there 0
    explained: list[float]  #: of each direction, its share of the squared distances from the last weights
    lengths: list[float]  #: of each direction


def epochs_of(folder: Path) -> list[int]:
    """Return the epochs of a training whose weights are kept in its model folder, the last included.

    Raises BadInput where those are no checkpoint.
    """
    last = int(read_tensors(folder / LAST)[1]["epoch"])
    return [*(epoch for epoch in kept_epochs(folder) if epoch < last), last]


def trajectory(folder: Path, names: Sequence[str]) -> Trajectory:
    """Return the trajectory of the parameters `names` through the checkpoints in the model folder `folder`.

    Its directions are the principal components of the differences of the weights of epochs from the last ones (Li et
    al. 2018), taken about the last weights, not about their mean, so that the plane goes through where the training
    ended. All parameters count, biases and batch normalisation, too. Takes as many float64 copies of the largest
    tensor as epochs are kept. Raises BadInput where the checkpoints cannot be read, are fewer than `FEWEST`, or lie
    on a line.
    """
    epochs = epochs_of(folder)
    if len(epochs) < FEWEST:
        raise BadInput(f"{folder}: keeps the weights of {len(epochs)} epochs; expected at least {FEWEST}")
    files = kept_epochs(folder)
    end = read_tensors(folder / LAST)[0]
    earlier = [read_tensors(files[epoch])[0] for epoch in epochs[:-1]]  # mapped, not in memory
    products = torch.zeros(len(earlier), len(earlier), dtype=torch.float64)
    for _, differences in _differences(earlier, end, names):
        products += differences @ differences.T
    values, vectors = torch.linalg.eigh(products)  # in rising order
    values, vectors = values[-2:].flip(0), vectors[:, -2:].flip(1)
    if not values[1] > 1e-12 * values[0]:
        raise BadInput(f"{folder}: the weights of its epochs lie on a line; expected some that span a plane")
    vectors = vectors * torch.where(vectors[0] < 0, -1.0, 1.0)  # the earliest lies at positive places
    distances = vectors * values.sqrt()
    lengths = distances.abs().amax(0)
    weights = vectors / values.sqrt() * lengths  # of the differences in each direction, (epochs, 2)
    first, second = dict[str, Tensor](), dict[str, Tensor]()
    for name, differences in _differences(earlier, end, names):
        for found, direction in zip((first, second), weights.T @ differences, strict=True):
            found[name] = direction.view(end[name].shape).float()
    squares = products.diagonal()
    left = (squares - distances.square().sum(1)).clamp(min=0)
    at_end = torch.zeros(1, 2, dtype=torch.float64)
    return Trajectory(
        Plane(first, second),
        epochs,
        torch.cat([distances / lengths, at_end]),
        torch.cat([(left / squares).sqrt(), at_end[0, :1]]),
        (values / squares.sum()).tolist(),
        lengths.tolist(),
    )


def _differences(
    earlier: Sequence[dict[str, Tensor]], end: dict[str, Tensor], names: Sequence[str]
) -> Iterator[tuple[str, Tensor]]:
    """Yield each name with what the earlier tensors of that name differ in from the last, (epochs, numbers)."""
    for name in names:
        yield (
            name,
            torch.stack([tensors[name].double().flatten() for tensors in earlier]) - end[name].double().flatten(),
        )
