"""Where the weights of a training begin: as initialised, with a parent's, or with those in a file."""

from pathlib import Path

import torch
from torch import nn

from cgp.errors import BadInput
from evaluate.job import Inherit, Train, Weights
from evaluate.training.checkpoint import read_tensors
from evaluate.training.inherit import inherit

_HEAD = "head."  # prefix of its names


def begin(network: nn.Module, task: Train) -> float | None:
    """Let `network`, which is initialised, begin as `task` says, in place.

    Returns the share of the parameters that stay as they were initialised, 0..1, or None where all do by intent.
    Raises BadInput, naming the file, for weights that cannot be read or are of another network.
    """
    match task.start:
        case Inherit(parent):
            return inherit(network, task.model, Path(parent))
        case Weights() as start:
            _take_over(network, start)
            _freeze(network, start)
            fresh = sum(p.numel() for name, p in network.named_parameters() if start.new_head and _in_head(name))
            return fresh / sum(parameter.numel() for parameter in network.parameters())
    return None


@torch.no_grad()
def _take_over(network: nn.Module, start: Weights) -> None:
    tensors, _ = read_tensors(Path(start.file))
    for name, own in network.state_dict().items():
        if start.new_head and _in_head(name):
            continue
        if name not in tensors or tensors[name].shape != own.shape:
            found = f"of shape {tuple(tensors[name].shape)}" if name in tensors else "not there"
            raise BadInput(f"{start.file}: {name} is {found}; expected {tuple(own.shape)}, as this network has it")
        own.copy_(tensors[name])


def _freeze(network: nn.Module, start: Weights) -> None:
    for name, parameter in network.named_parameters():
        if start.frozen == "backbone" and not _in_head(name):
            parameter.requires_grad_(False)
    for module in network.modules():
        if start.frozen == "norm" and isinstance(module, nn.BatchNorm2d):
            module.requires_grad_(False)


def _in_head(name: str) -> bool:
    return name.startswith(_HEAD)
