"""The source of a network: another reading of the same layers, which takes the same weights to the same numbers."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from cgp.blocks import FUNCTION_SETS, KINDS
from cgp.graph import Graph, Node
from cgp.layers import Shape
from cgp.source import IMPORTS, definition
from test_network import EVERY_KIND, built, drawn, images_of

WHOLE = Graph(
    (Node("conv_8_3", (0,)), Node("maxpool", (1,)), Node("res_16_3_2", (2,)), Node("sum", (3, 1))),
    Shape(3, 16, 12),
    5,
)
SOURCE = '''\
class Network(nn.Module):
    """4 nodes, then the mean over all pixels and a linear layer; graph {identity}.

    Node n is `nodes[n - 1]`, and xn is what it gives; a comment says how many channels, rows and columns that has for
    images of 3 x 16 x 12. Larger images work, too.
    """

    def __init__(self) -> None:
        super().__init__()
        self.nodes = nn.ModuleList(
            [
                conv_8_3(3),  # 1: conv_8_3
                maxpool(),  # 2: maxpool
                res_16_3_2(8),  # 3: res_16_3_2
                nn.Identity(),  # 4: sum
            ]
        )
        self.head = nn.Linear(16, 5)

    def forward(self, x0: Tensor) -> Tensor:
        """Return logits (batch, 5) of normalised images (batch, channels, height, width)."""
        x1 = self.nodes[0](x0)  # conv_8_3: 8 x 16 x 12
        x2 = self.nodes[1](x1)  # maxpool: 8 x 8 x 6
        x3 = self.nodes[2](x2)  # res_16_3_2: 16 x 4 x 3
        x4 = add(x3, nn.functional.max_pool2d(x1, 4))  # sum: 16 x 4 x 3
        return self.head(x4.mean((2, 3)))
'''


def from_source(graph: Graph) -> nn.Module:
    """The network that the source of `graph` makes, with nothing of ours in reach."""
    names: dict[str, Any] = {"__name__": "model"}
    exec(f"{IMPORTS}\n{definition(graph)}", names)
    network = names["Network"]()
    assert isinstance(network, nn.Module)
    return network


def assert_same(graph: Graph) -> None:
    """The source takes the weights of the network, and computes the same, in training and in evaluation."""
    network, written = built(graph), from_source(graph)
    written.load_state_dict(network.state_dict())
    images = images_of(graph)
    with torch.no_grad():
        for _ in range(2):
            torch.testing.assert_close(written(images), network(images), rtol=0, atol=1e-6)
        for name, value in network.state_dict().items():  # the batch statistics
            torch.testing.assert_close(written.state_dict()[name], value, rtol=0, atol=1e-6)
        torch.testing.assert_close(written.eval()(images), network.eval()(images), rtol=0, atol=1e-6)


@settings(max_examples=25, deadline=None)
@given(
    name=st.sampled_from(sorted(FUNCTION_SETS)),
    depths=st.sampled_from(((1, 1), (3, 8), (12, 20))),
    size=st.sampled_from((8, 15, 16)),
    channels=st.sampled_from((1, 3)),
    seed=st.integers(0, 2**32 - 1),
)
def test_any_drawn_network_is_the_same_from_its_source(
    name: str, depths: tuple[int, int], size: int, channels: int, seed: int
) -> None:
    assert_same(drawn(name, depths, size, channels, seed))


@pytest.mark.parametrize("name", FUNCTION_SETS)
def test_every_function_set_has_its_source(name: str) -> None:
    assert_same(drawn(name, (20, 30), 16, seed=3))


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_block_has_its_source(kind: str) -> None:
    for name in EVERY_KIND[kind]:
        inputs = (1, 0) if kind in ("sum", "concat") else (1,)
        assert_same(Graph((Node("conv_8_3", (0,)), Node(name, inputs)), Shape(3, 9, 9), 10))


def test_the_source_is_readable() -> None:
    text = definition(WHOLE)
    assert text.partition("class Network")[1:] == SOURCE.format(identity=WHOLE.id[:12]).partition("class Network")[1:]
    assert [line.split("(")[0] for line in text.splitlines() if line.startswith("def ")] == [
        *("def add", "def conv_8_3", "def maxpool", "def res_16_3_2")
    ]
    assert "class Branches" in text
    assert "concat" not in text  # what is not needed is not there


def test_a_block_is_written_once_for_all_inputs() -> None:
    graph = Graph.chain(["conv_16_3", "conv_16_3", "compress", "dense_4_3", "compress"], Shape(3, 8, 8), 10)
    text = definition(graph)
    assert text.count("def conv_16_3(ins: int) -> Node:") == 1
    assert text.count("def compress(ins: int, outs: int) -> Node:") == 1
    assert "conv_16_3(3),  # 1" in text
    assert "conv_16_3(16),  # 2" in text
    assert "compress(20, 16),  # 5" in text


def test_what_is_another_block_for_one_channel_has_another_name() -> None:
    graph = Graph.chain(["sepconv_8_3", "sepconv_8_3"], Shape(1, 8, 8), 10)
    assert "sepconv_8_3_(8),  # 2" in definition(graph)
    assert_same(graph)


def test_larger_images_work_in_the_source_too() -> None:
    network, written = built(WHOLE).eval(), from_source(WHOLE).eval()
    written.load_state_dict(network.state_dict())
    images = torch.randn(2, 3, 33, 40)
    torch.testing.assert_close(written(images), network(images), rtol=0, atol=1e-6)
