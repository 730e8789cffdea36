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
from cgp.residual_mlp import ACTIVATIONS, BEGINNINGS, BLOCKS, ResidualMLP

EXAMPLES: dict[str, Model] = {
    "graph": Graph((Node("conv_8_3", (0,)), Node("maxpool", (1,)), Node("sum", (2, 1))), Shape(3, 16, 12), 5),
    "residual-mlp": ResidualMLP(4, 6, Shape(3, 16, 12), 5, "inc_skip", "relu", alpha=0.75, beta=0.25),
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
    with pytest.raises(
        BadInput, match=r"model of kind 'tree'; this program knows graph, residual-mlp; use a later one"
    ):
        model_from_json({"kind": "tree"})


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_a_residual_mlp_computes_what_the_source_computes(block: str, activation: str) -> None:
    model = ResidualMLP(3, 4, Shape(1, 2, 2), 2, block, activation, alpha=0.75, beta=0.25)
    network = build(model).double()
    state = dict(network.state_dict())
    x = torch.randn(5, 1, 2, 2, dtype=torch.float64)
    s = getattr(torch.nn.functional, activation)
    h, before = x.flatten(1) @ state["read_in"].T, torch.zeros(4, 4, dtype=torch.float64)
    for weight in state["weights"]:
        added = {
            "none": 3**-0.75 * s(h @ weight.T) - h,
            "skip": 3**-0.75 * s(h @ weight.T),
            "inc_skip": s(h @ before.T) @ (weight - before),
            "linear_skip": s(h) @ weight.T,
        }[block]
        h, before = h + added, weight
    torch.testing.assert_close(network(x), h @ state["read_out"].T)


@pytest.mark.parametrize("begins", BEGINNINGS)
def test_weights_of_a_residual_mlp_begin_within_half_of_a_power_of_its_depth(begins: str) -> None:
    model = ResidualMLP(50, 8, Shape(1, 1, 1), 1, beta=0.5, gamma=0.5, begins=begins)
    weights = build(model).get_parameter("weights")
    assert model.reach == pytest.approx(50**-2.5 / 2)
    assert weights.abs().max().item() == pytest.approx(model.reach, rel=0.01)
    assert (len(weights.unique()) > 1) == (begins == "ntrunc")


def test_a_residual_mlp_of_two_thousand_blocks_has_a_finite_gradient_for_each() -> None:
    network = build(ResidualMLP(2000, 4, Shape(1, 1, 1), 1))
    network(torch.ones(2, 1, 1, 1)).square().sum().backward()
    gradient = network.get_parameter("weights").grad
    assert gradient is not None
    assert gradient.isfinite().all()
    assert (gradient.abs().amax((1, 2)) > 0).all()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"block": "skipp"}, r"block 'skipp' \(did you mean 'skip'\?\); expected one of none, skip"),
        ({"depth": 0}, "depth 0; expected at least 1"),
        ({"alpha": 2}, "alpha 2, beta 0.25, gamma 1.0; expected 0..1"),
        ({"width": "wide"}, "not a residual MLP: TypeError"),
        ({"spam": 1}, "not a residual MLP: TypeError"),
    ],
)
def test_a_residual_mlp_out_of_range_is_one_line(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        model_from_json(EXAMPLES["residual-mlp"].to_json() | changes)


def test_what_is_no_model_has_no_network() -> None:
    nothing: Any = object()
    with pytest.raises(TypeError, match="no network for a model of type object"):
        build(nothing)
