"""What the activations of each layer are like while a network is trained: after each epoch, on the same images.

    MODEL/activations.npz    layers (their names); epoch, (epochs,); mean, sd and near_zero, (epochs, layers);
                             histogram, (epochs, layers, BINS), how many values lie in each bin

A layer is an active node of a graph, and the head; of another kind of model, a module with parameters of its own.
"""

import io
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from cgp.errors import BadInput
from cgp.network import Trunk
from evaluate.data.images import Images
from evaluate.devices.numerics import Numerics
from evaluate.files import ACTIVATIONS, write_atomically
from evaluate.training.checkpoint import ModelFolder

BINS, REACH = 40, 7.0  #: of a histogram, and how far from 0 it reaches; the outermost bins take what lies beyond
NEAR_ZERO = 0.05  #: absolute value up to which an activation is near zero
_FEWEST, _MOST, _SHARE = 8, 64, 32  # images that are looked at: so many, or one for each 32 training images

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Activations:
    """What was recorded of one training; the fields are the arrays of the file."""

    layers: Array  #: (layers,), names in the order in which they compute
    epoch: Array  #: (epochs,), counted from 1
    mean: Array  #: (epochs, layers)
    sd: Array  #: (epochs, layers), over all values of a layer
    near_zero: Array  #: (epochs, layers), share of the values within `NEAR_ZERO` of 0
    histogram: Array  #: (epochs, layers, BINS)

    @classmethod
    def read(cls, path: Path) -> "Activations":
        """Return what the file at `path` holds. Raises BadInput, naming it, where it is missing or damaged."""
        try:
            with path.open("rb") as whole, np.load(whole, allow_pickle=False) as file:
                return cls(**{name: file[name] for name in cls.__dataclass_fields__})
        except (OSError, KeyError, ValueError, EOFError, BadZipFile) as error:
            raise BadInput(f"{path}: cannot be read as activations ({error}); train this model again") from error

    def write(self, path: Path) -> None:
        """Write the file at `path`, whole."""
        file = io.BytesIO()
        np.savez_compressed(file, allow_pickle=False, **vars(self))
        write_atomically(path, file.getvalue(), durable=False)

    def followed_by(self, other: "Activations") -> "Activations":
        """Return own epochs that lie before those of `other`, and then all of `other`."""
        early = self.epoch < other.epoch[0]
        joined = {name: np.concatenate([value[early], getattr(other, name)]) for name, value in self._by_epoch()}
        return Activations(self.layers, **joined)

    def _by_epoch(self) -> list[tuple[str, Array]]:
        return [(name, value) for name, value in vars(self).items() if name != "layers"]


class Recorder:
    """Looks at a network after each epoch, and keeps what it sees in the folder of the model.

    It computes beside the training, in evaluation mode, and draws nothing: scores are those of a training that is
    not looked at.
    """

    def __init__(self, network: nn.Module, x: Tensor, numerics: Numerics, folder: ModelFolder) -> None:
        """Look at what `network` makes of images `x` (batch, channels, height, width), both on their device."""
        self._network, self._x, self._numerics, self._folder = network, x, numerics, folder
        self._so_far: Activations | None = None

    def note(self, epoch: int) -> None:
        """Look at the network after `epoch`; what was recorded of it and of later ones is replaced."""
        path, found = self._folder.path / ACTIVATIONS, self._look(epoch)
        if self._so_far is None and epoch > 1:
            try:
                self._so_far = Activations.read(path)
            except BadInput as error:
                self._folder.log(f"activations are recorded from epoch {epoch} on: {error}")
        self._so_far = self._so_far.followed_by(found) if self._so_far else found
        self._so_far.write(path)

    @torch.no_grad()
    def _look(self, epoch: int) -> Activations:
        seen = dict[str, tuple[Tensor, Tensor]]()
        layers = layers_of(self._network)
        self._network.eval()
        with ExitStack() as hooks, self._numerics.autocast():
            for name, module in layers.items():
                hooks.callback(module.register_forward_hook(partial(_note, seen, name)).remove)
            self._network(self._x)
        moments = torch.stack([moment for moment, _ in seen.values()]).cpu().numpy()
        histogram = torch.stack([counts for _, counts in seen.values()]).cpu().numpy()
        names, row = np.array(list(seen)), moments[None]
        return Activations(names, np.array([epoch]), row[..., 0], row[..., 1], row[..., 2], histogram[None])


def recorder(
    network: nn.Module, images: Images, validation: Images | None, numerics: Numerics, folder: ModelFolder
) -> Recorder:
    """Return what looks at `network` while it is trained on `images`: with some validation images, where there are.

    They are so few that this takes a few hundredths of an epoch's time (benchmark `activations`), and no more than
    `numerics` scores at once.
    """
    count = min(_MOST, max(_FEWEST, len(images) // _SHARE), numerics.scored or _MOST)
    x, _ = (validation or images).batch(slice(0, count))
    return Recorder(network, x, numerics, folder)


def layers_of(network: nn.Module) -> dict[str, nn.Module]:
    """Return the modules of `network` that count as layers, by name, in the order in which they are held."""
    if isinstance(network, Trunk):
        nodes = zip(network.graph.nodes, network.nodes, strict=False)
        return {f"{n} {node.block}": module for n, (node, module) in enumerate(nodes, 1)} | {
            name: module for name, module in network.named_children() if name == "head"
        }
    return {name: module for name, module in network.named_modules() if any(True for _ in module.parameters(False))}


def statistics(values: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean, deviation and share near zero of `values`, (3,) float64, and their histogram, (BINS,) int64."""
    flat = values.detach().float().flatten()
    mean = flat.mean(dtype=torch.float64)
    sd = (flat - mean).square_().mean(dtype=torch.float64).sqrt()
    near = (flat.abs() <= NEAR_ZERO).sum() / len(flat)
    bins = flat.add(REACH).mul_(BINS / (2 * REACH)).clamp_(0, BINS - 1).to(torch.uint8)  # several times as fast as
    return torch.stack([mean, sd, near.double()]), torch.bincount(bins, minlength=BINS)  # torch.histc


def _note(
    seen: dict[str, tuple[Tensor, Tensor]], name: str, _module: nn.Module, _inputs: tuple[Any, ...], output: Tensor
) -> None:
    seen[name] = statistics(output)
