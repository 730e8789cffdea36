"""Graphs: what a genome means, what it costs, and the families, against hand counts and torch."""

import json
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from torchvision import models

from cgp.blocks import FUNCTION_SETS, block
from cgp.errors import BadInput
from cgp.families import CIFAR10, FAMILIES, VGG_FEATURES, family
from cgp.feature_amounts import Amounts
from cgp.genome import Genome, draw
from cgp.graph import Graph, Node
from cgp.layers import Shape
from cgp.network import build
from cgp.space import Space
from cgp.wiring.sequential import split

torch.set_num_threads(1)


def drawn(function_set: str, depths: tuple[int, int], seed: int) -> Graph:
    space = Space(function_set, *depths, CIFAR10, 10)
    return draw(space, np.random.default_rng(seed)).graph(space)


def joined(how: str, *inputs: int) -> Graph:
    """Two poolings, and the join of `inputs` behind them."""
    return Graph((Node("maxpool", (0,)), Node("maxpool", (1,)), Node(how, inputs)), CIFAR10, 10)


# -- identity


def test_genomes_that_differ_in_silent_genes_are_one_graph() -> None:
    space = Space("resnet", 5, 70, CIFAR10, 10)
    one, other = (draw(space, np.random.default_rng(seed)) for seed in (1, 2))
    (mine, my_seconds, _), (theirs, their_seconds, _) = (split(genome.genes, space) for genome in (one, other))
    mixed = Genome((*mine[:5], *theirs[5:], *my_seconds[:5], *their_seconds[5:], 5))
    whole = Genome((*mine, *my_seconds, 5))
    assert mixed != whole
    assert mixed.graph(space).id == whole.graph(space).id


def test_order_of_inputs_matters_to_concat_but_not_to_sum() -> None:
    assert joined("sum", 2, 1).id == joined("sum", 1, 2).id
    assert joined("concat", 2, 1).id != joined("concat", 1, 2).id


@pytest.mark.parametrize(
    "other",
    [
        Graph.chain(["conv_8_3"], CIFAR10, 100),
        Graph.chain(["conv_8_3"], Shape(3, 33, 32), 10),
        Graph.chain(["conv_8_5"], CIFAR10, 10),
        Graph.chain(["conv_8_3", "conv_8_3"], CIFAR10, 10),
    ],
)
def test_graphs_that_differ_have_different_ids(other: Graph) -> None:
    assert other.id != Graph.chain(["conv_8_3"], CIFAR10, 10).id


def test_id_is_the_same_in_every_process_and_version() -> None:
    assert joined("sum", 2, 0).id.startswith("ec51249ceff885d8")


# -- JSON and bad graphs


@pytest.mark.parametrize("name", FUNCTION_SETS)
def test_graph_survives_json(name: str) -> None:
    graph = drawn(name, (3, 40), 0)
    again = Graph.from_json(json.loads(json.dumps(graph.to_json())))
    assert again == graph
    assert again.id == graph.id


@pytest.mark.parametrize(
    ("nodes", "words"),
    [
        ([["conv_8_3", 0], ["conv_8_3", 0]], ("node 1 (conv_8_3)", "read by no node")),
        ([["conv_8_3", 0], ["sum", 1, 2]], ("node 2 (sum)", "inputs [1, 2]", "2 of 0..1")),
        ([["conv_8_3", -1]], ("node 1 (conv_8_3)", "inputs [-1]", "1 of 0..0")),
        ([["conv_8_3", 0], ["sum", 1]], ("node 2 (sum)", "inputs [1]", "2 of 0..1")),
        ([["conv_8_3"]], ("node 1 (conv_8_3)", "inputs []", "1 of 0..0")),
        ([["conv_8_3", "a"]], ("node 1", "'a'")),
        ([[]], ("not a graph", "expected image, classes and nodes")),
        ([["kern_8_3", 0]], ("unknown block 'kern_8_3'",)),
        ([], ("0 nodes",)),
        (None, ("not a graph", "expected image, classes and nodes")),
    ],
)
def test_bad_graph_is_refused_by_name(nodes: Any, words: tuple[str, ...]) -> None:
    with pytest.raises(BadInput) as caught:
        Graph.from_json({"image": [3, 32, 32], "classes": 10, "nodes": nodes})
    assert [word for word in words if word not in str(caught.value)] == []


@pytest.mark.parametrize("missing", ["image", "classes", "nodes"])
def test_graph_file_without_a_part_names_it(missing: str) -> None:
    value = joined("sum", 2, 0).to_json()
    del value[missing]
    with pytest.raises(BadInput, match=missing):
        Graph.from_json(value)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("konv_8_3", ("did you mean 'conv_", "kinds are: conv, ")),
        ("conv_8", ("conv_CHANNELS_KERNEL",)),
        ("conv_8_3_1_1", ("conv_CHANNELS_KERNEL",)),
        ("conv_0_3", ("at least 1",)),
        ("conv_a_3", ("whole numbers",)),
        ("conv_²_3", ("whole numbers",)),
        ("res_8_2", ("even", "1, 3, 5")),
        ("maxpool_2", ("expected maxpool ",)),
        ("inception_7", ("at least 8",)),
    ],
)
def test_bad_block_name_says_what_was_expected(name: str, words: tuple[str, ...]) -> None:
    with pytest.raises(BadInput) as caught:
        block(name)
    assert [word for word in (repr(name), *words) if word not in str(caught.value)] == []


# -- costs


@pytest.mark.parametrize(
    ("blocks", "field", "convs"),
    [
        (["conv_8_3"] * 3, 7, 3),
        (["conv_8_3", "maxpool", "conv_8_3"], 3 + 1 + 4, 2),
        (["conv_8_5", "avgpool", "maxpool", "conv_8_1"], 5 + 1 + 2, 2),
        (["res_8_3", "maxpool", "res_8_3"], 5 + 1 + 8, 4),
        (["sepconv_8_5"], 5, 2),
        (["inception_8", "conv_8_3"], 5 + 2, 3),
        (["dense_4_3", "dense_4_3"], 5, 4),
        (["conv_8_3", "transition", "conv_8_3"], 3 + 1 + 4, 3),
        (["conv_8_3", "compress", "activation"], 3, 2),
        (["conv_8_3_2", "res_8_3_2", "conv_8_3"], 3 + 4 + 8 + 8, 4),
    ],
)
def test_receptive_field_and_depth_of_chains(blocks: list[str], field: int, convs: int) -> None:
    graph = Graph.chain(blocks, CIFAR10, 10)
    assert (graph.receptive_field, graph.conv_layers) == (field, convs)
    assert graph.depth == len(blocks)


def test_a_join_has_the_field_and_depth_of_its_longest_path() -> None:
    chain = (Node("conv_8_5", (0,)), Node("conv_8_5", (1,)), Node("conv_8_1", (0,)))
    graph = Graph((*chain, Node("sum", (3, 2))), CIFAR10, 10)
    assert (graph.receptive_field, graph.conv_layers) == (9, 2)


def test_field_of_the_image_max_pooled_into_a_join_is_counted() -> None:
    graph = Graph((Node("conv_8_1_2", (0,)), Node("conv_8_1_2", (1,)), Node("sum", (2, 0))), CIFAR10, 10)
    assert graph.receptive_field == 4


@pytest.mark.parametrize(
    ("blocks", "params", "flops"),
    [
        (["conv_8_3"], 8 * 27 + 16, 2 * 8 * 27 * 1024),
        (["sepconv_8_3"], 3 * 9 + 8 * 3 + 16, 2 * (27 + 24) * 1024),
        (["maxpool", "conv_8_1"], 24 + 16, 2 * 24 * 256),
        (["res_8_3"], 8 * 27 + 8 * 72 + 32, 2 * (8 * 27 + 8 * 72) * 1024),
        (["conv_8_3_2"], 8 * 27 + 16, 2 * 8 * 27 * 256),
    ],
)
def test_parameters_and_flops_by_hand(blocks: list[str], params: int, flops: int) -> None:
    graph = Graph.chain(blocks, CIFAR10, 10)
    assert graph.params == params + 8 * 10 + 10
    assert graph.flops == flops + 2 * 8 * 10


@pytest.mark.parametrize("name", FUNCTION_SETS)
def test_flops_equal_what_torch_counts(name: str) -> None:
    for seed, depths in enumerate(((1, 3), (3, 8), (20, 30))):
        graph = drawn(name, depths, seed)
        with torch.device("meta"), FlopCounterMode(display=False) as counter:
            build(graph).eval()(torch.empty(1, *graph.image))
        assert graph.flops == counter.get_total_flops()


def test_densenet_draws_of_depth_70_do_not_explode() -> None:
    params = [drawn("densenet", (70, 70), seed).params for seed in range(50)]
    assert max(params) < 40_000_000


# -- families


@pytest.mark.parametrize(("depth", "make"), [(16, models.vgg16_bn), (19, models.vgg19_bn)])
def test_vgg_has_the_weights_of_torchvision(depth: int, make: Any) -> None:
    with torch.device("meta"):
        theirs = make(weights=None).features
        ours = build(family("vgg")[f"vgg-{depth}"]).get_submodule("nodes")
    biases = {f"{name}.bias" for name, module in theirs.named_modules() if isinstance(module, torch.nn.Conv2d)}
    wanted = [p.shape for name, p in theirs.named_parameters() if name not in biases]
    assert len(biases) == depth - 3
    assert [p.shape for p in ours.parameters()] == wanted


@pytest.mark.parametrize(("depth", "millions"), [(20, 0.27), (32, 0.46), (44, 0.66), (56, 0.85), (110, 1.7)])
def test_resnet_has_the_published_size_and_depth(depth: int, millions: float) -> None:
    graph = family("resnet")[f"resnet-{depth}"]
    assert graph.params / 1e6 == pytest.approx(millions, abs=0.05 if depth == 110 else 0.005)
    assert graph.conv_layers == depth - 1


def test_densenet_bc_has_the_published_size_and_depth() -> None:
    graph = family("densenet")["densenet-bc-100-12"]
    assert round(graph.params / 1e6, 1) == 0.8
    assert graph.conv_layers == 99


@pytest.mark.parametrize("name", FAMILIES)
def test_families_take_other_images_and_classes(name: str) -> None:
    options = {"amounts": Amounts(most=2)} if name == VGG_FEATURES else {}
    for graph in family(name, Shape(1, 64, 64), 7, **options).values():
        with torch.device("meta"):
            network = build(graph)
            assert network(torch.empty(2, 1, 64, 64)).shape == (2, 7)
        assert graph.params == sum(p.numel() for p in network.parameters())


def test_unknown_family_names_the_closest() -> None:
    with pytest.raises(BadInput, match=r"'resnets' \(did you mean 'resnet'\?\); one of vgg, resnet"):
        family("resnets")


@pytest.mark.parametrize("name", ["conv_16_3_1", "conv_016_3", "conv_16_03"])
def test_a_block_has_one_name(name: str) -> None:
    with pytest.raises(BadInput, match="expected conv_CHANNELS_KERNEL"):
        block(name)


def test_a_graph_that_cannot_run_names_its_node() -> None:
    with pytest.raises(BadInput, match=r"node 6 \(maxpool\): gives"):
        _ = Graph.chain(["maxpool"] * 6, Shape(3, 32, 32), 10).flows
    odd = Graph((Node("conv_16_3_2", (0,)), Node("sum", (1, 0))), Shape(3, 33, 33), 10)
    with pytest.raises(BadInput, match=r"node 2 \(sum\)"):
        _ = odd.flows
    with pytest.raises(BadInput, match="node 1: unknown block"):
        Graph.chain(["cnov_8_3"], Shape(3, 8, 8), 10)


def test_no_function_set_explodes() -> None:
    for name in FUNCTION_SETS:
        space = Space(name, 20, 70, Shape(3, 32, 32), 10)
        sizes = [draw(space, np.random.default_rng(seed)).graph(space).params for seed in range(20)]
        assert max(sizes) < 40_000_000, name
