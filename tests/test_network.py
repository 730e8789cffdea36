"""Networks: whatever is drawn builds, learns in every node, and is an ordinary module."""

import weakref
from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.fx import symbolic_trace
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
    network = build(graph)
    assert isinstance(network, Network)
    return network


def is_learning(tensors: Iterable[Tensor]) -> bool:
    """Whether every tensor has a finite gradient, and they are not all zero."""
    gradients = [tensor.grad for tensor in tensors]
    finite = [g for g in gradients if g is not None and g.isfinite().all()]
    return len(finite) == len(gradients) and any(bool(g.any()) for g in finite)


def idle_nodes(graph: Graph) -> list[str]:
    """Take one step backwards in float64; name the nodes whose output or parameters learn nothing."""
    network, maps = built(graph).double().train(), list[Tensor]()

    def keep(module: nn.Module, inputs: Any, out: Tensor) -> None:
        out.retain_grad()
        maps.append(out)

    for module in network.nodes:
        module.register_forward_hook(keep)
    logits = network(images_of(graph).double().requires_grad_())
    functional.cross_entropy(logits, torch.arange(4)).backward()
    assert is_learning(network.head.parameters())
    idle = []
    for n, (node, out, module) in enumerate(zip(graph.nodes, maps, network.nodes, strict=True), 1):
        own = list(module.parameters())
        if not is_learning([out]) or (own and not is_learning(own)):
            idle.append(f"node {n} ({node.block})")
    return idle


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


# -- every network builds, has the counted parameters, and learns


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", FUNCTION_SETS)
def test_drawn_network_is_as_counted_and_every_node_learns(name: str, size: int) -> None:
    for channels in (1, 3):
        graph = drawn(name, (1, 5), size, channels, seed=size + channels)
        assert count(build(graph)) == graph.params
        assert idle_nodes(graph) == []


@pytest.mark.parametrize("name", FUNCTION_SETS)
def test_every_node_of_a_deep_network_learns(name: str) -> None:
    graph = drawn(name, (40, 40), 8)
    assert count(build(graph)) == graph.params
    assert idle_nodes(graph) == []


@pytest.mark.parametrize("name", FUNCTION_SETS)
def test_every_block_of_every_function_set_learns(name: str) -> None:
    entry, nodes = FUNCTION_SETS[name], list[Node]()
    for chosen in ("conv_8_3", *entry.stem, *entry.blocks):
        n = len(nodes)
        nodes.append(Node(chosen, (n, 0) if block(chosen).arity == 2 else (n,)))
    graph = Graph(tuple(nodes), Shape(3, 16, 16), 10)
    assert count(build(graph)) == graph.params
    assert idle_nodes(graph) == []


def test_a_new_kind_of_block_is_entered_here_to_be_tested() -> None:
    assert set(EVERY_KIND) == set(KINDS)


@pytest.mark.parametrize("name", [name for names in EVERY_KIND.values() for name in names])
def test_every_kind_of_block_learns_and_has_the_measured_shape(name: str) -> None:
    inputs = (1, 0) if block(name).arity == 2 else (1,)
    graph = Graph((Node("conv_8_3", (0,)), Node(name, inputs)), Shape(3, 9, 9), 10)
    network = built(graph)
    assert network.forward_features(images_of(graph)).shape == (4, *graph.flows[-1].shape)
    assert count(network) == graph.params
    assert idle_nodes(graph) == []


@settings(max_examples=25, deadline=None)
@given(
    name=st.sampled_from(sorted(FUNCTION_SETS)),
    depths=st.sampled_from(((1, 1), (3, 5), (20, 70))),
    size=st.sampled_from(SIZES),
    seed=st.integers(0, 2**32 - 1),
)
def test_any_drawn_network_has_the_counted_parameters_and_shapes(
    name: str, depths: tuple[int, int], size: int, seed: int
) -> None:
    graph = drawn(name, depths, size, seed=seed)
    with torch.device("meta"):
        network, images = Network(graph), torch.empty(2, *graph.image)
    assert count(network) == graph.params
    assert network.forward_features(images).shape == (2, *graph.flows[-1].shape)
    assert network(images).shape == (2, 10)


# -- an ordinary module


@pytest.mark.parametrize("larger", [Shape(3, 33, 33), Shape(3, 40, 40), Shape(3, 64, 97)])
@pytest.mark.parametrize("name", FUNCTION_SETS)
def test_larger_images_than_the_graphs_work(name: str, larger: Shape) -> None:
    graph = drawn(name, (20, 30), 32, seed=1)
    with torch.device("meta"):
        assert build(graph)(torch.empty(2, *larger)).shape == (2, 10)


@pytest.mark.parametrize("name", FUNCTION_SETS)
def test_fx_traces_it_to_equal_outputs(name: str) -> None:
    graph = drawn(name, (5, 12), 16, seed=2)
    network, images = built(graph).eval(), images_of(graph)
    traced = symbolic_trace(network)
    assert torch.equal(traced(images), network(images))
    assert traced.state_dict().keys() == network.state_dict().keys()


def test_num_classes_zero_gives_the_pooled_features() -> None:
    graph = drawn("vgg", (3, 5))
    network, images = built(graph).eval(), images_of(graph)
    network.reset_classifier(0)
    assert network.num_classes == 0
    assert torch.equal(network(images), network.forward_features(images).mean((2, 3)))
    assert network(images).shape == (4, network.num_features)


def test_reset_classifier_gives_a_fresh_head_and_keeps_the_features() -> None:
    graph = drawn("vgg", (3, 5))
    network, images = built(graph).eval(), images_of(graph)
    features = network.forward_features(images)
    network.reset_classifier(7)
    assert network(images).shape == (4, 7)
    assert torch.equal(network.forward_features(images), features)


def test_activations_are_freed_after_their_last_use() -> None:
    graph = Graph.chain(["conv_8_3"] * 8, Shape(3, 8, 8), 10)
    network, maps, alive = built(graph), list[weakref.ref[Tensor]](), list[int]()

    def watch(module: nn.Module, inputs: Any, out: Tensor) -> None:
        alive.append(sum(ref() is not None for ref in maps))
        maps.append(weakref.ref(out))

    for node in network.nodes:
        node.register_forward_hook(watch)
    with torch.no_grad():
        network(images_of(graph))
    assert alive == [0] + [1] * 7
    assert [ref() for ref in maps] == [None] * 8


def test_a_map_read_again_later_is_kept_until_then() -> None:
    nodes = (Node("conv_8_3", (0,)), Node("conv_8_3", (1,)), Node("conv_8_3", (2,)), Node("concat", (3, 1)))
    graph = Graph(nodes, Shape(3, 8, 8), 10)
    network, images = built(graph).eval(), images_of(graph)
    first = network.nodes[0](images)
    third = network.nodes[2](network.nodes[1](first))
    assert torch.equal(network.forward_features(images), torch.cat([third, first], 1))


def test_forward_leaves_no_state_but_batch_statistics() -> None:
    graph = drawn("mixed", (20, 20), 8)
    network = built(graph).eval()
    before = {name: set(vars(module)) for name, module in network.named_modules()}
    state = {name: value.clone() for name, value in network.state_dict().items()}
    network(images_of(graph))
    assert {name: set(vars(module)) for name, module in network.named_modules()} == before
    assert all(torch.equal(value, state[name]) for name, value in network.state_dict().items())


# -- joins


@pytest.mark.parametrize("size", [8, 32, 33])
def test_sum_pools_the_larger_map_by_the_full_ratio(size: int) -> None:
    nodes = (Node("avgpool", (0,)), Node("avgpool", (1,)), Node("sum", (2, 0)))
    graph = Graph(nodes, Shape(3, size, size), 10)
    images = images_of(graph)
    small = functional.avg_pool2d(functional.avg_pool2d(images, 2), 2)
    by_hand = small + functional.max_pool2d(images, 4)
    torch.testing.assert_close(built(graph).forward_features(images), by_hand)


def test_concat_pools_the_larger_map_by_the_full_ratio() -> None:
    nodes = (Node("maxpool", (0,)), Node("maxpool", (1,)), Node("concat", (2, 0)))
    graph = Graph(nodes, Shape(3, 32, 32), 10)
    images = images_of(graph)
    small = functional.max_pool2d(images, 4)
    assert torch.equal(built(graph).forward_features(images), torch.cat([small, small], 1))


def test_sum_pads_the_narrower_map_with_zero_channels() -> None:
    graph = Graph((Node("conv_8_3", (0,)), Node("sum", (1, 0))), Shape(3, 8, 8), 10)
    network, images = built(graph).eval(), images_of(graph)
    convolved, out = network.nodes[0](images), network.forward_features(images)
    assert torch.equal(out[:, :3], convolved[:, :3] + images)
    assert torch.equal(out[:, 3:], convolved[:, 3:])


@pytest.mark.parametrize("how", ["sum", "concat"])
def test_gradients_go_back_through_both_inputs_of_a_join(how: str) -> None:
    graph = Graph((Node("conv_3_3", (0,)), Node(how, (1, 0))), Shape(3, 8, 8), 10)
    network, images = built(graph).eval(), images_of(graph).requires_grad_()
    nn.init.zeros_(next(network.parameters()))  # so that none come back through the convolution
    network(images).sum().backward()
    assert is_learning([images])


def test_residual_with_a_step_keeps_every_other_pixel_of_its_input() -> None:
    graph = Graph.chain(["res_8_3_2"], Shape(3, 9, 9), 10)
    network, images = built(graph).eval(), images_of(graph)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.zeros_(module.weight)
    out = network.forward_features(images)
    assert torch.equal(out[:, :3], images[:, :, ::2, ::2].relu())
    assert not out[:, 3:].any()


@pytest.mark.parametrize("size", [32, 33])
def test_resnet_20_learns_in_every_node(size: int) -> None:
    assert idle_nodes(resnet(20, Shape(3, size, size))) == []
