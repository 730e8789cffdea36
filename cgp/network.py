"""A model becomes a network here: `build(model)` returns an ordinary nn.Module."""

from functools import singledispatch
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from cgp.blocks import block
from cgp.graph import Graph
from cgp.layers import MOMENTUM, Conv, How, Layer, Layers, Norm, Parallel, Pool, Relu, Shape, measure
from cgp.model import Model


class Join(nn.Module):
    """Several maps as one: max-pooled by `ratios`, then summed (channels zero-padded) or concatenated.

    Inputs are (batch, channels, height, width); `pads` are the zero channels each lacks.
    """

    def __init__(self, how: How, ratios: list[int], channels: list[int]) -> None:
        """Settle pooling and padding now, so that forward does not look at shapes."""
        super().__init__()
        widest = max(channels) if how == "sum" else 0
        self.how, self.ratios = how, tuple(ratios)
        self.pads = tuple(max(0, widest - own) for own in channels)

    def forward(self, *maps: Tensor) -> Tensor:
        """Join `maps`."""
        ready = []
        for x, ratio, pad in zip(maps, self.ratios, self.pads, strict=True):
            if ratio > 1:
                x = functional.max_pool2d(x, ratio)
            if pad:
                x = functional.pad(x, (0, 0, 0, 0, 0, pad))
            ready.append(x)
        if self.how == "concat":
            return torch.cat(ready, 1)
        total = ready[0]
        for x in ready[1:]:
            total = total + x
        return total


class Branches(nn.Module):
    """Modules side by side on the same input (batch, channels, height, width), then joined."""

    def __init__(self, branches: list[nn.Module], join: Join) -> None:
        """Hold `branches` and how they are joined."""
        super().__init__()
        self.branches = nn.ModuleList(branches)
        self.join = join

    def forward(self, x: Tensor) -> Tensor:
        """Return the joined outputs of all branches."""
        return cast(Tensor, self.join(*[branch(x) for branch in self.branches]))


class NodeModule(nn.Module):
    """One active node: its inputs joined where there are several, then its layers."""

    def __init__(self, join: Join | None, body: nn.Module) -> None:
        """Hold the join and the layers behind it."""
        super().__init__()
        self.join = join
        self.body = body

    def forward(self, *maps: Tensor) -> Tensor:
        """Return this node's output map."""
        return cast(Tensor, self.body(maps[0] if self.join is None else self.join(*maps)))


class Network(nn.Module):
    """The network of a graph: `nodes` in topological order, global average pooling, a linear head.

    Images are (batch, channels, height, width) and may be larger than the graph's. An activation is
    dropped after its last use. `num_classes` 0 means pooled features instead of logits.
    """

    def __init__(self, graph: Graph) -> None:
        """Build every node of `graph`."""
        super().__init__()
        self.num_classes = graph.classes
        self.num_features = graph.features
        self.nodes = nn.ModuleList(_node(graph, n) for n in range(1, graph.depth + 1))
        last_use = {source: n for n, node in enumerate(graph.nodes, 1) for source in node.inputs}
        self._plan = tuple(
            (node.inputs, tuple(source for source in set(node.inputs) if last_use[source] == n))
            for n, node in enumerate(graph.nodes, 1)
        )
        self.head: nn.Module = nn.Linear(graph.features, graph.classes)

    def forward_features(self, x: Tensor) -> Tensor:
        """Return the last node's map, (batch, num_features, height, width)."""
        maps = {0: x}
        for n, (module, (inputs, spent)) in enumerate(zip(self.nodes, self._plan, strict=True), 1):
            out = module(*[maps[source] for source in inputs])
            for source in spent:
                del maps[source]
            maps[n] = out
        return maps[len(self._plan)]

    def forward_head(self, features: Tensor) -> Tensor:
        """Pool and classify: (batch, num_classes), or (batch, num_features) without classes."""
        return cast(Tensor, self.head(features.mean((2, 3))))

    def forward(self, x: Tensor) -> Tensor:
        """Return logits of images `x`."""
        return self.forward_head(self.forward_features(x))

    def reset_classifier(self, num_classes: int) -> None:
        """Replace the head by a fresh one for `num_classes`; 0 removes it."""
        self.num_classes = num_classes
        self.head = nn.Linear(self.num_features, num_classes) if num_classes else nn.Identity()


@singledispatch
def build(model: Model) -> nn.Module:
    """Return the untrained network of `model`, initialised by torch's defaults.

    Raises TypeError for a kind of model that has no network.
    """
    raise TypeError(f"no network for a model of type {type(model).__name__}")


@build.register
def _(model: Graph) -> Network:
    return Network(model)


def _node(graph: Graph, n: int) -> NodeModule:
    node, (shape, ratios) = graph.nodes[n - 1], graph.aligned(n)
    chosen = block(node.block)
    channels = [graph.flows[source].shape.channels for source in node.inputs]
    join = Join(chosen.join, ratios, channels) if chosen.arity > 1 else None
    return NodeModule(join, _chain(chosen.layers(shape), shape))


def _chain(layers: Layers, shape: Shape) -> nn.Module:
    modules: list[nn.Module] = []
    for layer in layers:
        modules.append(_module(layer, shape))
        shape = layer.measure(shape).shape
    return modules[0] if len(modules) == 1 else nn.Sequential(*modules) if modules else nn.Identity()


def _beginning(module: nn.Module, **marks: bool) -> nn.Module:
    """Mark `module` with how it begins, for evaluate/training/initialise.py; torch.fx could not trace a subclass."""
    for name, value in marks.items():
        setattr(module, name, value)
    return module


@singledispatch
def _module(layer: Layer, shape: Shape) -> nn.Module:
    raise TypeError(f"no module for layer {layer!r}")


@_module.register
def _(layer: Conv, shape: Shape) -> nn.Module:
    sizes = (shape.channels, layer.channels, layer.kernel, layer.stride, layer.kernel // 2)
    return _beginning(nn.Conv2d(*sizes, groups=layer.groups, bias=False), passes_on=layer.passes_on)


@_module.register
def _(layer: Norm, shape: Shape) -> nn.Module:
    return _beginning(nn.BatchNorm2d(shape.channels, momentum=MOMENTUM), lifted=layer.lifted)


@_module.register
def _(layer: Relu, shape: Shape) -> nn.Module:
    return nn.ReLU()


@_module.register
def _(layer: Pool, shape: Shape) -> nn.Module:
    kind = nn.MaxPool2d if layer.kind == "max" else nn.AvgPool2d
    return kind(layer.kernel, layer.stride, layer.padding)


@_module.register
def _(layer: Parallel, shape: Shape) -> nn.Module:
    channels = [measure(branch, shape).shape.channels for branch in layer.branches]
    branches = [_chain(branch, shape) for branch in layer.branches]
    return Branches(branches, Join(layer.how, [1] * len(branches), channels))
