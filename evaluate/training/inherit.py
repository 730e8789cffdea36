"""Inherited weights: a child's unchanged nodes begin with their parent's."""

from pathlib import Path

import torch
from torch import nn

from cgp.graph import Graph, Node
from cgp.model import Model, model_from_json
from evaluate.files import BEST
from evaluate.training.checkpoint import read_tensors


@torch.no_grad()
def inherit(network: nn.Module, model: Model, parent: Path) -> float:
    """Copy into `network`, in place, the parent's best weights of every node that did not change.

    A node is unchanged where the parent's node of the same number has the same block, the same inputs
    and tensors of the same shapes; so is the head. Batch statistics come along. Returns the share of the
    trainable parameters that stay as they were initialised, 0..1. Raises BadInput, naming the file,
    where the parent's weights are missing or damaged.
    """
    tensors, description = read_tensors(parent / BEST)
    theirs = _nodes(model_from_json(description["job"]["graph"]))
    own = network.state_dict()
    unchanged = [f"nodes.{n}." for n, (a, b) in enumerate(zip(_nodes(model), theirs, strict=False)) if a == b]
    taken = 0
    for part in [*unchanged, "head."]:
        names = [name for name in own if name.startswith(part)]
        if all(name in tensors and tensors[name].shape == own[name].shape for name in names):
            for name in names:
                own[name].copy_(tensors[name])
            taken += sum(p.numel() for name, p in network.named_parameters() if name.startswith(part))
    return 1 - taken / sum(parameter.numel() for parameter in network.parameters())


def _nodes(model: Model) -> tuple[Node, ...]:
    """Return the nodes of `model`; one of another kind than a graph has none, and takes over its head alone."""
    return model.nodes if isinstance(model, Graph) else ()
