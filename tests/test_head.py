"""The head `flatten`: a linear layer reads every number of the last map."""

import json

import numpy as np
import pytest
import torch

from cgp.errors import BadInput
from cgp.features import create
from cgp.genome import draw
from cgp.graph import Graph, Node
from cgp.layers import Shape
from cgp.network import Network, build
from cgp.source import IMPORTS, definition
from cgp.space import Space
from cgp.wiring import wiring

IMAGE = Shape(3, 16, 16)
FLAT = Graph((Node("conv_8_3", (0,)), Node("maxpool", (1,))), IMAGE, 10, "flatten")


def test_a_flat_head_is_counted_built_and_told_apart() -> None:
    pooled = Graph(FLAT.nodes, IMAGE, 10)
    assert FLAT.features == 8 * 8 * 8
    assert FLAT.params - pooled.params == 10 * (8 * 8 * 8 - 8)
    assert FLAT.params == sum(p.numel() for p in build(FLAT).parameters())
    assert FLAT.id != pooled.id
    assert Graph.from_json(json.loads(json.dumps(FLAT.to_json()))) == FLAT
    assert "head" not in pooled.to_json()
    with pytest.raises(BadInput, match="head 'flat'; expected one of pool, flatten"):
        Graph(FLAT.nodes, IMAGE, 10, "flat")


@pytest.mark.parametrize("kind", ["sequential", "grid"])
def test_costs_told_from_the_genes_count_the_flat_head(kind: str) -> None:
    space = Space("cgp-cnn-conv", 2, 9, IMAGE, 10, 9, wiring=kind, rows=2, columns=9, head="flatten")
    for seed in range(20):
        genome = draw(space, np.random.default_rng(seed))
        graph = genome.graph(space)
        assert (graph.params, graph.flops) == wiring(space).cost(genome.genes, space)


def test_its_source_computes_what_it_computes() -> None:
    names: dict[str, type[torch.nn.Module]] = {}
    exec(IMPORTS + definition(FLAT), names)
    ours, theirs, images = build(FLAT).eval(), names["Network"]().eval(), torch.rand(2, *IMAGE)
    theirs.load_state_dict(ours.state_dict())
    assert torch.equal(ours(images), theirs(images))


def test_it_gives_way_to_another_pooling_and_is_refused_where_maps_grow() -> None:
    weights = build(FLAT).state_dict()
    same = create(FLAT, weights)
    assert isinstance(same, Network)
    assert torch.equal(same.state_dict()["head.weight"], weights["head.weight"])
    averaged = create(FLAT, weights, global_pool="avg", output_stride=1)
    assert averaged(torch.rand(2, *IMAGE)).shape == (2, 10)
    features = create(FLAT, weights, num_classes=0)
    assert features(torch.rand(2, *IMAGE)).shape == (2, FLAT.features)
    with pytest.raises(BadInput, match="output_stride: 1; the head reads all of maps of stride 2"):
        create(FLAT, weights, output_stride=1)
