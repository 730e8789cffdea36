"""Networks have the interface of timm's models: one contract, which two of those and ours must pass."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import timm
import torch
from torch import nn
from torch.nn import functional

from cgp.blocks import KINDS, block
from cgp.errors import BadInput
from cgp.features import FeatureNetwork, create
from cgp.graph import Graph, Node
from cgp.layers import Shape
from cgp.network import Network, build
from test_network import EVERY_KIND, drawn, images_of

Make = Callable[..., Any]

GRAY = Graph.chain(["conv_8_3", "maxpool", "res_16_3", "maxpool", "conv_8_3"], Shape(1, 16, 16), 10)
FIRST_READ_TWICE = Graph(  # its image is joined again with what was made of it
    (Node("conv_8_3", (0,)), Node("maxpool", (1,)), Node("concat", (2, 0)), Node("res_16_3_2", (3,))),
    Shape(3, 32, 32),
    10,
)
GRAPHS = {
    "gray": GRAY,
    "first read twice": FIRST_READ_TWICE,
    "mixed": drawn("mixed", (8, 10), 32, seed=9),
}


def of_timm(name: str) -> Make:
    return lambda **options: timm.create_model(name, pretrained=False, **options)


def of_graph(graph: Graph) -> Make:
    return lambda **options: create(graph, **options)


MAKERS = {
    "timm's resnet18": of_timm("resnet18"),
    "timm's densenet121": of_timm("densenet121"),
    **{name: of_graph(graph) for name, graph in GRAPHS.items()},
}


@pytest.fixture(params=MAKERS)
def make(request: pytest.FixtureRequest) -> Make:
    made = MAKERS[request.param]
    torch.manual_seed(0)
    return lambda **options: made(**options).eval()


def images(model: Any, side: int = 64, channels: int | None = None) -> torch.Tensor:
    count = model.default_cfg["input_size"][0] if channels is None else channels
    return torch.randn(2, count, side, side, generator=torch.Generator().manual_seed(1))


# -- the contract


def test_features_then_head_are_the_whole(make: Make) -> None:
    model = make()
    x = images(model)
    features = model.forward_features(x)
    assert features.shape[:2] == (2, model.num_features)
    assert features.ndim == 4
    assert torch.equal(model.forward_head(features), model(x))
    assert model(x).shape == (2, model.num_classes)
    pooled = model.forward_head(features, pre_logits=True)
    assert pooled.shape == (2, model.num_features)
    torch.testing.assert_close(pooled, features.mean((2, 3)))
    assert torch.equal(model.get_classifier()(pooled), model(x))


def test_the_classifier_is_reset(make: Make) -> None:
    model = make(num_classes=7)
    x = images(model)
    assert model(x).shape == (2, 7)
    before = model.forward_features(x)
    model.reset_classifier(5, "max")
    assert (model.num_classes, model.get_classifier().out_features) == (5, 5)
    assert model(x).shape == (2, 5)
    assert torch.equal(model.forward_features(x), before)
    torch.testing.assert_close(model.forward_head(before, pre_logits=True), before.amax((2, 3)))
    model.reset_classifier(0)
    assert isinstance(model.get_classifier(), nn.Identity)
    torch.testing.assert_close(model(x), before.amax((2, 3)))
    model.reset_classifier(3, "avg")
    assert model(x).shape == (2, 3)


def test_without_classes_it_gives_features_pooled_or_not(make: Make) -> None:
    model = make(num_classes=0)
    x = images(model)
    assert (model.num_classes, model(x).shape) == (0, (2, model.num_features))
    whole = make(num_classes=0, global_pool="")
    assert torch.equal(whole(x), whole.forward_features(x))
    whole.reset_classifier(4, "avg")
    assert whole(x).shape == (2, 4)


def test_an_unknown_pooling_is_refused(make: Make) -> None:
    with pytest.raises((BadInput, AssertionError), match="nope"):
        make(global_pool="nope")


@pytest.mark.parametrize("channels", [1, 3, 5])
def test_images_may_have_other_channels(make: Make, channels: int) -> None:
    model = make(in_chans=channels, num_classes=4)
    assert model(images(model, channels=channels)).shape == (2, 4)


@pytest.mark.parametrize("side", [32, 65, 96])
def test_images_may_have_other_sizes(make: Make, side: int) -> None:
    model = make(num_classes=4)
    assert model(images(model, side)).shape == (2, 4)


def test_features_only_gives_a_map_of_each_resolution(make: Make) -> None:
    model = make(features_only=True)
    x = images(model)
    maps = model(x)
    assert [x.shape[2] // each.shape[2] for each in maps] == model.feature_info.reduction()
    assert [each.shape[1] for each in maps] == model.feature_info.channels()
    assert model.feature_info.reduction() == sorted(set(model.feature_info.reduction()))
    every = list(range(len(maps)))
    for chosen in (every[-1:], every[1:], [0, -1]):
        part = make(features_only=True, out_indices=chosen)
        own = [every[index] for index in chosen]
        assert part.feature_info.channels() == [model.feature_info.channels()[index] for index in own]
        assert part.feature_info.reduction() == [model.feature_info.reduction()[index] for index in own]
        missing = part.load_state_dict(model.state_dict(), strict=False).missing_keys
        assert missing == []
        assert all(torch.equal(a, maps[index]) for a, index in zip(part(x), own, strict=True))


def test_a_resolution_that_there_is_not_is_refused(make: Make) -> None:
    with pytest.raises((BadInput, IndexError)):
        make(features_only=True, out_indices=(9,))


@pytest.mark.parametrize("stride", [8, 16, 32])
def test_the_last_map_is_as_fine_as_asked_for(make: Make, stride: int) -> None:
    try:
        model = make(output_stride=stride)
    except TypeError:  # timm's densenets know no such argument
        assert type(make()).__module__ == "timm.models.densenet"
        return
    x = images(model)
    plain = make()
    most = x.shape[2] // plain.forward_features(x).shape[2]
    assert x.shape[2] // model.forward_features(x).shape[2] == min(most, stride)
    assert model(x).shape == plain(x).shape
    assert model.state_dict().keys() == plain.state_dict().keys()
    pyramid = make(features_only=True, output_stride=stride)
    assert pyramid.feature_info.reduction() == [x.shape[2] // each.shape[2] for each in pyramid(x)]


def test_its_configuration_says_what_it_reads(make: Make) -> None:
    model = make()
    assert {"num_classes", "input_size", "pool_size", "classifier"} <= model.default_cfg.keys()
    assert model.default_cfg["num_classes"] == model.num_classes
    assert getattr(model, model.default_cfg["classifier"]) is model.get_classifier()
    channels, height, width = model.default_cfg["input_size"]
    with torch.no_grad():
        features = model.forward_features(torch.zeros(1, channels, height, width))
    assert tuple(features.shape[2:]) == model.default_cfg["pool_size"]


# -- ours alone


def learned(graph: Graph) -> Network:
    """A network whose maps keep their size, in float64 and evaluation mode."""
    torch.manual_seed(0)
    network = build(graph)
    assert isinstance(network, Network)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
    return network.double().eval()


STRIDED = [
    *GRAPHS.values(),
    *(drawn(name, (6, 9), 32, seed=3) for name in ("resnet", "densenet", "inception", "cgp-cnn-conv")),
    Graph.chain(["conv_8_3", "res_8_3_2", "conv_8_3_4", "conv_8_5", "res_4_3"], Shape(3, 64, 64), 10),
    *(
        Graph(
            (Node("conv_8_3_2", (0,)), Node("maxpool", (1,)), Node(name, (2, 0) if block(name).arity == 2 else (2,))),
            Shape(3, 32, 32),
            10,
        )
        for names in EVERY_KIND.values()
        for name in names
    ),
]  # fmt: skip


@pytest.mark.parametrize("graph", STRIDED, ids=lambda graph: graph.nodes[-1].block)
def test_a_finer_map_has_the_coarser_one_in_it(graph: Graph) -> None:
    assert {name.split("_")[0] for each in STRIDED for name in [each.nodes[-1].block]} >= set(KINDS)
    network, x = learned(graph), torch.randn(1, graph.image.channels, 32, 32, dtype=torch.float64)
    coarse = network.forward_features(x).detach()
    for limit in (2, 4, 8, 16):
        finer = create(graph, network.state_dict(), output_stride=limit).double().eval()
        assert isinstance(finer, Network)
        part = finer.forward_features(x).detach()
        step = part.shape[2] // coarse.shape[2]
        assert step == max(1, graph.flows[-1].stride // limit)
        largest = coarse.abs().max()
        torch.testing.assert_close(part[..., ::step, ::step] / largest, coarse / largest)


def test_the_same_weights_give_the_same_logits() -> None:
    graph = GRAPHS["mixed"]
    network = build(graph).eval()
    assert torch.equal(create(graph, network.state_dict()).eval()(images_of(graph)), network(images_of(graph)))


def test_a_head_of_as_many_classes_keeps_its_weights_whatever_the_pooling() -> None:
    graph = GRAPHS["mixed"]
    network = build(graph)
    for classes, kept in ((None, True), (10, True), (7, False)):
        other = create(graph, network.state_dict(), num_classes=classes, global_pool="max")
        assert isinstance(other, Network)
        assert torch.equal(other.get_classifier().weight[:7], network.head.weight[:7]) is kept  # type: ignore[union-attr,index]


@pytest.mark.parametrize("channels", [1, 2, 4, 7])
def test_other_channels_begin_as_timm_lets_them_begin(channels: int) -> None:
    """A convolution that alone reads the image gives what it would give with weights that timm adapts."""
    from timm.models import adapt_input_conv

    graph = Graph.chain(["conv_8_3"], Shape(3, 8, 8), 10)
    network = build(graph).eval()
    weight = network.state_dict()["nodes.0.body.0.weight"]
    x = torch.randn(2, channels, 8, 8)
    adapted = create(graph, network.state_dict(), in_chans=channels)
    by_timm = functional.conv2d(x, adapt_input_conv(channels, weight), padding=1)
    ours = functional.conv2d(adapted.adapter(x), weight, padding=1)  # type: ignore[misc]
    torch.testing.assert_close(ours, by_timm)


def test_a_gray_network_reads_colour_and_a_colour_network_grey() -> None:
    gray = build(GRAY).eval()
    x = torch.randn(2, 1, 16, 16)
    coloured = create(GRAY, gray.state_dict(), in_chans=3).eval()
    torch.testing.assert_close(coloured(x.expand(2, 3, 16, 16)), gray(x))
    colour = build(FIRST_READ_TWICE).eval()
    x = torch.randn(2, 1, 32, 32)
    grayed = create(FIRST_READ_TWICE, colour.state_dict(), in_chans=1).eval()
    torch.testing.assert_close(grayed(x), colour(x.expand(2, 3, 32, 32)))


def test_a_pyramid_leaves_out_what_it_does_not_need() -> None:
    pyramid = create(GRAY, features_only=True, out_indices=[0])
    assert isinstance(pyramid, FeatureNetwork)
    assert len(pyramid.nodes) == 1
    assert pyramid.feature_info.module_name() == ["nodes.0"]
    assert dict(pyramid.named_modules())["nodes.0"] is pyramid.nodes[0]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"num_classes": -1}, "num_classes: -1 with global_pool 'avg'; expected at least 0"),
        ({"num_classes": 3, "global_pool": ""}, "num_classes: 3 with global_pool ''; .* 0 without pooling"),
        ({"global_pool": "average"}, r"global_pool: unknown 'average' \(did you mean 'avg'\?\)"),
        ({"out_indices": [0]}, r"out_indices: \[0\] goes with features_only=True"),
        ({"features_only": True, "out_indices": [3]}, r"out_indices: \[3\]; this network has 0 \(reduction 1\), 1 "),
        ({"features_only": True, "out_indices": []}, r"out_indices: \[\]; this network has"),
        ({"in_chans": 0}, "in_chans: 0; expected at least 1"),
        ({"output_stride": 0}, "output_stride: 0; expected at least 1"),
        ({"output_stride": 3}, r"output_stride: 3; node 2 \(maxpool\) goes to 2, past it; expected 1 or 2 or 4"),
    ],
)
def test_what_a_graph_cannot_do_is_said(options: dict[str, Any], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        create(GRAY, **options)


def test_a_sequence_of_indices_may_be_any() -> None:
    chosen: Sequence[int] = (-1, 1, 1)
    pyramid = create(GRAY, features_only=True, out_indices=chosen)
    assert isinstance(pyramid, FeatureNetwork)
    assert pyramid.feature_info.out_indices == (1, 2)
