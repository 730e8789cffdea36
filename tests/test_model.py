"""Models: what a task holds and `build` builds; every kind keeps the same promises."""

import json
from typing import Any

import pytest
import torch

from cgp.errors import BadInput
from cgp.graph import Graph, Node
from cgp.layers import Shape
from cgp.model import KINDS, Model, model_from_json
from cgp.network import build

EXAMPLES: dict[str, Model] = {
    "graph": Graph((Node("conv_8_3", (0,)), Node("maxpool", (1,)), Node("sum", (2, 1))), Shape(3, 16, 12), 5)
}


def test_every_kind_has_an_example() -> None:
    assert set(EXAMPLES) == set(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_is_the_same_after_a_way_through_json(kind: str) -> None:
    model = EXAMPLES[kind]
    again = model_from_json(json.loads(json.dumps(model.to_json())))
    assert again == model
    assert again.id == model.id


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_is_built_with_the_parameters_and_classes_that_it_counts(kind: str) -> None:
    model = EXAMPLES[kind]
    network = build(model).eval()
    assert sum(parameter.numel() for parameter in network.parameters()) == model.params
    assert network(torch.randn(2, *model.image)).shape == (2, model.classes)
    assert min(model.depth, model.flops, model.receptive_field) >= 1


def test_a_model_without_a_kind_is_a_graph_as_runs_before_models_had_kinds_wrote_it() -> None:
    assert "kind" not in EXAMPLES["graph"].to_json()


def test_an_unknown_kind_is_one_line() -> None:
    with pytest.raises(BadInput, match=r"model of kind 'tree'; this program knows graph; use a later one"):
        model_from_json({"kind": "tree"})


def test_what_is_no_model_has_no_network() -> None:
    nothing: Any = object()
    with pytest.raises(TypeError, match="no network for a model of type object"):
        build(nothing)
