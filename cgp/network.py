"""A model becomes a network here: `build(model)` returns an ordinary nn.Module."""

from collections.abc import Sequence
from functools import singledispatch
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from cgp.blocks import block
from cgp.errors import BadInput, did_you_mean
from cgp.graph import Graph
from cgp.layers import MOMENTUM, Conv, How, Layer, Layers, Norm, Parallel, Pool, Relu, Shape, measure
from cgp.model import Model
from cgp.residual_mlp import ResidualMLP
from cgp.residual_network import ResidualNetwork


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

    def __init__(self, join: nn.Module | None, body: nn.Module) -> None:
        """Hold the join and the layers behind it."""
        super().__init__()
        self.join = join
        self.body = body

    def forward(self, *maps: Tensor) -> Tensor:
        """Return this node's output map."""
        return cast(Tensor, self.body(maps[0] if self.join is None else self.join(*maps)))


class Trunk(nn.Module):
    """The nodes of a graph in topological order, up to node `last`: what a network computes before its head.

    Images are (batch, channels, height, width) and may be larger than the graph's. An activation is
    dropped after its last use. `default_cfg` says what that of timm's models says: of a graph alone the size of its
    images and maps, and its classes.
    """

    def __init__(self, graph: Graph, last: int) -> None:
        """Build the nodes of `graph` that `last` needs; in topological order they are 1 to `last`."""
        super().__init__()
        self.graph = graph
        self.output_stride = graph.flows[last].stride  #: by how much the last map is smaller than the image
        self.adapter: nn.Module | None = None  #: what makes other images like the graph's (cgp/features.py)
        self.nodes = nn.ModuleList(_node(graph, n) for n in range(1, last + 1))
        for module in self.nodes.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eps = graph.norm_epsilon
        self.default_cfg: dict[str, Any] = {
            "num_classes": graph.classes,
            "input_size": tuple(graph.image),
            "pool_size": tuple(graph.flows[-1].shape[1:]),
            "classifier": "head",
        }
        nodes = graph.nodes[:last]
        last_use = {source: n for n, node in enumerate(nodes, 1) for source in node.inputs}
        self._plan = tuple(
            (node.inputs, tuple(source for source in set(node.inputs) if last_use[source] == n))
            for n, node in enumerate(nodes, 1)
        )

    @property
    def pretrained_cfg(self) -> dict[str, Any]:
        """`default_cfg`, by the name under which timm's own functions look for it."""
        return self.default_cfg

    def maps(self, x: Tensor, wanted: Sequence[int]) -> list[Tensor]:
        """Return what the `wanted` nodes give for images `x`, in their order."""
        maps = {0: x if self.adapter is None else self.adapter(x)}
        found = dict[int, Tensor]()
        for n, (module, (inputs, spent)) in enumerate(zip(self.nodes, self._plan, strict=True), 1):
            out = module(*[maps[source] for source in inputs])
            for source in spent:
                del maps[source]
            maps[n] = out
            if n in wanted:
                found[n] = out
        return [found[n] for n in wanted]


#: Of `global_pool`: mean or maximum over all pixels, all numbers of the map in a row, or the map as it is.
POOLS = ("avg", "max", "flatten", "")


class Network(Trunk):
    """The network of a graph: its nodes, global pooling, a linear head. Its interface is that of timm's models.

    `num_classes` 0 means features instead of logits: pooled, or with `global_pool` "" the map itself. With
    `flatten` images have to be of the graph's size.
    """

    def __init__(self, graph: Graph) -> None:
        """Build every node of `graph`."""
        super().__init__(graph, graph.depth)
        self.num_classes = graph.classes
        self.num_features = graph.flows[-1].shape.channels
        self.global_pool = "avg" if graph.head == "pool" else graph.head
        self.head: nn.Module = nn.Linear(graph.features, graph.classes)
        self.head_drop = nn.Dropout(0.0)  #: of what the head reads; `p` is the share that is dropped in training

    def forward_features(self, x: Tensor) -> Tensor:
        """Return the last node's map, (batch, num_features, height, width)."""
        (features,) = self.maps(x, (len(self.nodes),))
        return features

    def forward_head(self, features: Tensor, pre_logits: bool = False) -> Tensor:
        """Pool the map of `forward_features` and classify: (batch, num_classes).

        With `pre_logits`, or without classes, return what the classifier would read: (batch, num_features), with
        `flatten` (batch, num_features x height x width), or without pooling the map.
        """
        if self.global_pool == "flatten":
            features = features.flatten(1)
        elif self.global_pool:
            features = features.mean((2, 3)) if self.global_pool == "avg" else features.amax((2, 3))
        if self.head_drop.p:
            features = self.head_drop(features)
        return features if pre_logits else cast(Tensor, self.head(features))

    def forward(self, x: Tensor) -> Tensor:
        """Return logits of images `x`."""
        return self.forward_head(self.forward_features(x))

    def get_classifier(self) -> nn.Module:
        """Return the layer that gives the logits; without classes the identity."""
        return self.head

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """Replace the head by a fresh one for `num_classes`; 0 removes it. None keeps the pooling.

        Raises BadInput for an unknown pooling, and for classes without one.
        """
        pool = self.global_pool if global_pool is None else global_pool
        if pool not in POOLS:
            raise BadInput(
                f"global_pool: unknown {pool!r}{did_you_mean(pool, POOLS)}; expected 'avg', 'max', 'flatten' or ''"
            )
        if num_classes < 0 or (num_classes and not pool):
            asked = f"num_classes: {num_classes} with global_pool {pool!r}"
            raise BadInput(f"{asked}; expected at least 0, and 0 without pooling, which the classifier needs")
        self.num_classes, self.global_pool = num_classes, pool
        where = next(self.parameters(), torch.empty(0))
        self.head = nn.Identity()
        if num_classes:
            height, width = self.graph.flows[-1].shape[1:] if pool == "flatten" else (1, 1)
            reads = self.num_features * height * width
            self.head = nn.Linear(reads, num_classes, device=where.device, dtype=where.dtype)


@singledispatch
def build(model: Model) -> nn.Module:
    """Return the untrained network of `model`, initialised by torch's defaults.

    Raises TypeError for a kind of model that has no network.
    """
    raise TypeError(f"no network for a model of type {type(model).__name__}")


@build.register
def _(model: Graph) -> Network:
    return Network(model)


@build.register
def _(model: ResidualMLP) -> ResidualNetwork:
    return ResidualNetwork(model)


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
