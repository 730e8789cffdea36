"""Networks: whatever is drawn builds, learns in every node, and is an ordinary module."""

import weakref
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from cgp.blocks import FUNCTION_SETS, KINDS, block
from cgp.families import resnet
from cgp.genome import draw
from cgp.graph import Graph, Node
from cgp.layers import Shape
from cgp.network import Network, build
from cgp.space import Space

torch.set_num_threads(1)

SIZES = (8, 28, 32, 33, 64)
EVERY_KIND = {
    "conv": ("conv_8_3", "conv_8_3_2"),
    "sepconv": ("sepconv_8_5",),
    "res": ("res_8_3", "res_8_3_2"),
    "dense": ("dense_4_3",),
    "transition": ("transition",),
    "compress": ("compress",),
    "activation": ("activation",),
    "inception": ("inception_8",),
    "maxpool": ("maxpool",),
    "avgpool": ("avgpool",),
    "sum": ("sum",),
    "concat": ("concat",),
}


def drawn(name: str, depths: tuple[int, int], size: int = 32, channels: int = 3, seed: int = 0) -> Graph:
    space = Space(name, *depths, Shape(channels, size, size), 10)
    return draw(space, np.random.default_rng(seed)).graph(space)


def images_of(graph: Graph, batch: int = 4) -> Tensor:
    return torch.randn(batch, *graph.image, generator=torch.Generator().manual_seed(1))


def built(graph: Graph) -> Network:
    torch.manual_seed(0)
    return build(graph)


def is_learning(tensors: list[Tensor]) -> bool:
    """Whether every tensor has a finite gradient, and they are not all zero."""
    gradients = [tensor.grad for tensor in tensors]
    return all(g is not None and bool(g.isfinite().all()) for g in gradients) and any(
        g is not None and bool(g.any()) for g in gradients
    )


def idle_nodes(graph: Graph) -> list[str]:
    """Take one step backwards in float64; name the nodes whose output or parameters learn nothing."""
    network, maps = built(graph).double().train(), list[Tensor]()

    def keep(module: nn.Module, inputs: Any, out: Tensor) -> None:
        out.retain_grad()
        maps.append(out)

    for node in network.nodes:
        node.register_forward_hook(keep)
    logits = network(images_of(graph).double().requires_grad_())
    functional.cross_entropy(logits, torch.arange(4)).backward()
    assert is_learning(list(network.head.parameters()))
    found = [([out], list(node.parameters())) for out, node in zip(maps, network.nodes, strict=True)]
    return [
        f"{n} {node.block}"
        for n, (node, (out, own)) in enumerate(zip(graph.nodes, found, strict=True), 1)
        if not is_learning(out) or (own and not is_learning(own))
    ]


def assert_sound(graph: Graph) -> None:
    """Counts agree with the module, the shape is right, and every node learns."""
    assert sum(p.numel() for p in built(graph).parameters()) == graph.params
    assert idle_nodes(graph) == []


@pytest.mark.parametrize(("name", "size"), product(FUNCTION_SETS, SIZES))
def test_drawn_network_has_the_counted_parameters_and_every_node_learns(name: str, size: int) -> None:
    for channels in (1, 3):
        graph = drawn(name, (1, 6), size, channels, seed=size + channels)
        network = built(graph)
        assert sum(p.numel() for p in network.parameters()) == graph.params
        assert network(images_of(graph)).shape == (4, 10)
        assert idle_nodes(graph) == []
