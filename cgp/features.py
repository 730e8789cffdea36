"""What others build on a network: maps of several resolutions, a finer last map, images of other channels.

Names and meanings are timm's: `features_only` and `out_indices`, `output_stride`, `in_chans`.
"""

from collections.abc import Mapping, Sequence
from functools import singledispatchmethod
from typing import Literal, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from cgp.errors import BadInput
from cgp.graph import Graph
from cgp.network import Branches, Join, Network, NodeModule, Trunk


def create(
    graph: Graph,
    weights: Mapping[str, Tensor] | None = None,
    *,
    num_classes: int | None = None,
    in_chans: int | None = None,
    global_pool: str | None = None,
    features_only: bool = False,
    out_indices: Sequence[int] | None = None,
    output_stride: int | None = None,
) -> "Network | FeatureNetwork":
    """Return the network of `graph` as timm's `create_model` would: None stands for what the graph says.

    `weights` are those of `Network`; without them it begins as torch begins. The head is a fresh one where
    `num_classes` is another number, or what it reads. With `features_only` there is none, and `num_classes` and
    `global_pool` say nothing. Raises BadInput, naming the argument, for what the graph cannot do.
    """
    classes, flat = graph.classes if num_classes is None else num_classes, graph.head == "flatten"
    if features_only:
        network: Network | FeatureNetwork = FeatureNetwork(graph, out_indices)
    elif out_indices is not None:
        raise BadInput(f"out_indices: {list(out_indices)} goes with features_only=True; give both, or neither")
    else:
        network = Network(graph)
        network.reset_classifier(classes, global_pool)
    if weights is not None:
        same_head = classes == graph.classes and (global_pool is None or (global_pool == "flatten") == flat)
        own = [name for name in network.state_dict() if same_head or not name.startswith("head.")]
        network.load_state_dict({name: weights[name] for name in own}, strict=same_head)
    if in_chans is not None:
        adapt_input(network, in_chans)
    if output_stride is not None:
        dilate(network, output_stride)
    return network


Kind = Literal["max", "avg"]

# -- maps of several resolutions


class Level(NamedTuple):
    """A map that a network gives on its way: that of the last node of its resolution."""

    node: int
    channels: int
    reduction: int  #: by how much height and width have shrunk


def levels(graph: Graph) -> list[Level]:
    """Return the maps that stand for the resolutions of `graph`, the largest first."""
    last = {graph.flows[n].stride: n for n in range(1, graph.depth + 1)}
    return [Level(n, graph.flows[n].shape.channels, stride) for stride, n in sorted(last.items())]


class FeatureInfo(NamedTuple):
    """What the maps of a `FeatureNetwork` are, by the names that timm gives it."""

    chosen: tuple[Level, ...]
    out_indices: tuple[int, ...]

    def channels(self) -> list[int]:
        """Return the channels of each map."""
        return [level.channels for level in self.chosen]

    def reduction(self) -> list[int]:
        """Return by how much each map is smaller than the image."""
        return [level.reduction for level in self.chosen]

    def module_name(self) -> list[str]:
        """Return the name of the module that gives each map."""
        return [f"nodes.{level.node - 1}" for level in self.chosen]


class FeatureNetwork(Trunk):
    """The network of a graph without its head: it returns a list of maps, the largest first.

    Its weights have the names that they have in `Network`; nodes behind the last map are left out.
    """

    def __init__(self, graph: Graph, out_indices: Sequence[int] | None = None) -> None:
        """Build the nodes for the resolutions with these indices; None stands for all, -1 for the last.

        Raises BadInput for one that there is not.
        """
        found = levels(graph)
        given = range(len(found)) if out_indices is None else out_indices
        if not given or not all(-len(found) <= index < len(found) for index in given):
            known = ", ".join(f"{n} (reduction {level.reduction})" for n, level in enumerate(found))
            raise BadInput(f"out_indices: {list(given)}; this network has {known}; expected one or more of these")
        self._indices = tuple(sorted({index % len(found) for index in given}))
        self._chosen = tuple(found[index] for index in self._indices)
        super().__init__(graph, max(level.node for level in self._chosen))

    @property
    def feature_info(self) -> FeatureInfo:
        """What the maps are: `channels()`, `reduction()`."""
        limited = [level._replace(reduction=min(level.reduction, self.output_stride)) for level in self._chosen]
        return FeatureInfo(tuple(limited), self._indices)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Return the maps of images `x`, each (batch, channels, height, width)."""
        return self.maps(x, [level.node for level in self._chosen])


# -- images of other channels


def adapt_input(trunk: Trunk, in_chans: int) -> None:
    """Let `trunk`, in place, read images of `in_chans` channels: a 1 x 1 convolution makes them those of its graph.

    Its weights begin as timm adapts those of a first convolution: a single channel stands for each of the graph's,
    several take turns, so scaled that maps keep their size. It is in front of the graph, in which other nodes than
    the first may read the image, too. Raises BadInput for no channel.
    """
    if in_chans < 1:
        raise BadInput(f"in_chans: {in_chans}; expected at least 1")
    own = trunk.graph.image.channels
    if in_chans == own:
        trunk.adapter = None
        return
    adapter = nn.Conv2d(in_chans, own, 1, bias=False)
    with torch.no_grad():
        adapter.weight.fill_(1 if in_chans == 1 else 0)
        for n in range(in_chans if in_chans > 1 else 0):
            adapter.weight[n % own, n] = own / in_chans
    trunk.adapter = adapter


# -- a finer last map


def dilate(trunk: Trunk, output_stride: int) -> None:
    """Let no map of `trunk` be smaller than the image by more than `output_stride`, in place.

    Steps beyond that are of one pixel, and the pixels of later windows lie apart instead (Chen et al. 2014): where
    sizes divide, every second (fourth, ...) pixel is what it was. To be done once. Raises BadInput where a step goes
    past `output_stride`.
    """
    if output_stride < 1:
        raise BadInput(f"output_stride: {output_stride}; expected at least 1, such as 8 or 16")
    graph = trunk.graph
    if getattr(trunk, "global_pool", "") == "flatten" and output_stride < trunk.output_stride:
        raise BadInput(
            f"output_stride: {output_stride}; the head reads all of maps of stride {trunk.output_stride}: give "
            "global_pool 'avg' or '', too"
        )
    for n, (node, module) in enumerate(zip(graph.nodes, trunk.nodes, strict=False), 1):
        stride = graph.flows[n].stride
        if output_stride % stride and stride % output_stride:
            raise BadInput(
                f"output_stride: {output_stride}; node {n} ({node.block}) goes to {stride}, past it; "
                f"expected {' or '.join(map(str, sorted({flow.stride for flow in graph.flows})))}"
            )
        assert isinstance(module, NodeModule)  # for mypy: a ModuleList holds modules of any kind
        sources = [graph.flows[source].stride for source in node.inputs]
        dilation = _Dilation(output_stride)
        if isinstance(module.join, Join):
            module.join = dilation.join(module.join, sources)
        module.body = dilation.of(module.body, max(sources))
    trunk.output_stride = min(trunk.output_stride, output_stride)


class _Dilation:
    """Rewrites modules so that no stride goes beyond a limit."""

    def __init__(self, limit: int) -> None:
        self._limit = limit

    def _windows(self, before: int, after: int) -> tuple[int, int]:
        """Return step and dilation of windows that lead from stride `before` to `after`."""
        there = min(before, self._limit)
        return min(after, self._limit) // there, before // there

    def join(self, join: Join, sources: list[int]) -> nn.Module:
        """Return `join` of maps whose strides were `sources`, its pooling done by windows."""
        after = max(sources)
        if after <= self._limit:
            return join
        windows = [_Window("max", after // own, *self._windows(own, after)) for own in sources]
        join.ratios = (1,) * len(sources)
        return _Joined(windows, join)

    def of(self, module: nn.Module, before: int) -> nn.Module:
        """Return `module`, whose input had the stride `before`; convolutions are changed in place."""
        return self._of(module, before)[0]

    @singledispatchmethod
    def _of(self, module: nn.Module, before: int) -> tuple[nn.Module, int]:
        return module, before

    @_of.register
    def _(self, module: nn.Sequential, before: int) -> tuple[nn.Module, int]:
        for n, part in enumerate(module):
            module[n], before = self._of(part, before)
        return module, before

    @_of.register
    def _(self, module: Branches, before: int) -> tuple[nn.Module, int]:
        after = before
        for n, branch in enumerate(module.branches):
            module.branches[n], after = self._of(branch, before)
        return module, after

    @_of.register
    def _(self, module: nn.Conv2d, before: int) -> tuple[nn.Module, int]:
        after, kernel = before * module.stride[0], module.kernel_size[0]
        step, apart = self._windows(before, after)
        module.stride, module.dilation, module.padding = (step,) * 2, (apart,) * 2, (apart * (kernel // 2),) * 2
        return module, after

    @_of.register(nn.MaxPool2d)
    @_of.register(nn.AvgPool2d)
    def _(self, module: nn.MaxPool2d | nn.AvgPool2d, before: int) -> tuple[nn.Module, int]:
        after = before * _side(module.stride)
        if after <= self._limit:
            return module, after
        kind: Kind = "max" if isinstance(module, nn.MaxPool2d) else "avg"
        window = _Window(kind, _side(module.kernel_size), *self._windows(before, after), _side(module.padding))
        return window, after


def _side(size: int | tuple[int, int]) -> int:
    """Return the side of a square, which torch takes as one number or as two."""
    return size if isinstance(size, int) else size[0]


class _Window(nn.Module):
    """Maximum or mean of square windows whose pixels lie `dilation` apart; it shrinks maps by `step`, rounded down.

    Beyond the last rows and columns the mean goes on with those, the maximum without.
    """

    def __init__(self, kind: Kind, kernel: int, step: int, dilation: int, padding: int = 0) -> None:
        super().__init__()
        self.kind, self.kernel, self.step, self.dilation = kind, kernel, step, dilation
        before = dilation * padding
        self.pads = (before, max(0, (kernel - 1) * dilation + 1 - step) - before) * 2

    def forward(self, x: Tensor) -> Tensor:
        if self.kind == "max":
            padded = functional.pad(x, self.pads, value=-torch.inf)
            return functional.max_pool2d(padded, self.kernel, self.step, dilation=self.dilation)
        padded = functional.pad(x, self.pads, mode="replicate")
        weight = x.new_full((x.shape[1], 1, self.kernel, self.kernel), 1 / self.kernel**2)
        return functional.conv2d(padded, weight, stride=self.step, dilation=self.dilation, groups=x.shape[1])


class _Joined(nn.Module):
    """Maps through a window each, then joined."""

    def __init__(self, windows: list[_Window], join: Join) -> None:
        super().__init__()
        self.windows, self.join = nn.ModuleList(windows), join

    def forward(self, *maps: Tensor) -> Tensor:
        return cast(Tensor, self.join(*[window(x) for window, x in zip(self.windows, maps, strict=True)]))
