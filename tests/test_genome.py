"""Spaces, genomes and mutation: whatever is drawn or bred is valid, whatever the space."""

import json
from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from cgp.blocks import FUNCTION_SETS
from cgp.errors import BadInput
from cgp.genome import Genome, draw, validate, within_limits
from cgp.layers import Shape
from cgp.mutation import forced, neutral
from cgp.space import Space
from cgp.wiring import wiring
from cgp.wiring.sequential import split

RANGES = ((1, 1), (1, 2), (3, 5), (20, 70), (300, 1000))
SETS = (*FUNCTION_SETS, "conv_8_3", "conv_8_3,sum", "conv_8_3,conv_16_1,maxpool,concat")


def make_space(
    function_set: str = "resnet",
    depths: tuple[int, int] = (20, 70),
    size: int = 32,
    channels: int = 3,
    levels_back: int = 10,
    max_params: int | None = None,
    max_flops: int | None = None,
) -> Space:
    return Space(function_set, *depths, Shape(channels, size, size), 10, levels_back, max_params, max_flops)


def make_limited(function_set: str, depths: tuple[int, int], slack: float) -> Space:
    """A space that admits `slack` times the parameters and FLOPs of its cheapest network."""
    space = make_space(function_set, depths)
    params, flops = space.cheapest_cost
    return replace(space, max_params=int(slack * params), max_flops=int(slack * flops))


def drawn(space: Space, seed: int = 0) -> Genome:
    return draw(space, np.random.default_rng(seed))


def depth_of(genome: Genome) -> int:
    """The depth gene."""
    return genome.genes[-1]


def refusal(**changes: Any) -> str:
    """The message with which a space is refused; it is one line."""
    with pytest.raises(BadInput) as caught:
        replace(make_space(), **changes)
    message = str(caught.value)
    assert "\n" not in message
    return message


spaces = st.builds(
    make_space,
    function_set=st.sampled_from(SETS),
    depths=st.sampled_from(RANGES),
    size=st.sampled_from((8, 28, 32, 33, 64)),
    channels=st.sampled_from((1, 3)),
    levels_back=st.integers(2, 30),
)
limited_spaces = st.builds(
    make_limited,
    function_set=st.sampled_from(SETS),
    depths=st.sampled_from(((1, 1), (3, 5), (5, 30))),
    slack=st.sampled_from((1.0, 1.5, 10.0)),
)
seeds = st.integers(0, 2**32 - 1)
rates = st.sampled_from((0.0, 0.05, 1.0))
examples = settings(max_examples=40, deadline=None)


@examples
@given(space=spaces, seed=seeds)
def test_draw_is_valid_and_its_depth_is_the_gene(space: Space, seed: int) -> None:
    genome = drawn(space, seed)
    validate(genome, space)
    assert space.min_depth <= depth_of(genome) <= space.max_depth
    assert genome.graph(space).depth == depth_of(genome)


@examples
@given(space=spaces, seed=seeds)
def test_first_input_is_the_node_before_and_second_an_earlier_one_within_reach(space: Space, seed: int) -> None:
    for n, node in enumerate(drawn(space, seed).graph(space).nodes, 1):
        assert node.inputs[0] == n - 1
        for second in node.inputs[1:]:
            assert max(0, n - space.levels_back) <= second < max(1, n - 1)


@examples
@given(space=spaces, seed=seeds)
def test_every_node_counts_towards_the_output(space: Space, seed: int) -> None:
    nodes = drawn(space, seed).graph(space).nodes
    reached = {len(nodes)}
    for n in range(len(nodes), 0, -1):
        reached |= set(nodes[n - 1].inputs) if n in reached else set()
    assert reached == set(range(len(nodes) + 1))


@pytest.mark.parametrize(("size", "afforded"), [(8, 1), (28, 2), (32, 3), (33, 3), (64, 4)])
def test_downsamplings_stay_within_what_the_image_affords(size: int, afforded: int) -> None:
    space = make_space("conv_8_3,maxpool,avgpool,transition", (1, 30), size)
    strides = [drawn(space, seed).graph(space).flows[-1].stride for seed in range(200)]
    assert space.max_downsamplings == afforded
    assert max(strides) == 2**afforded


def test_the_few_downsamplings_lie_anywhere_among_the_active_nodes() -> None:
    space = make_space("conv_8_3,maxpool", (40, 400), 8)
    places = Counter[int]()
    for seed in range(200):
        nodes = drawn(space, seed).graph(space).nodes
        places.update(4 * n // len(nodes) for n, node in enumerate(nodes) if node.block == "maxpool")
    assert min(places[quarter] for quarter in range(4)) > 20
    assert places.total() == 200


def test_silent_nodes_wake_when_the_depth_grows() -> None:
    space = make_space("mixed", (1, 70))
    *nodes, _ = drawn(space).genes
    shallow, deep = (Genome((*nodes, depth)).graph(space) for depth in (10, 40))
    assert deep.nodes[:10] == shallow.nodes


@examples
@given(space=spaces, seed=seeds)
def test_draw_depends_on_space_and_seed_alone(space: Space, seed: int) -> None:
    assert drawn(space, seed) == drawn(replace(space), seed)


def test_ten_thousand_depths_are_uniform_with_both_ends() -> None:
    rng, space = np.random.default_rng(2017), make_space("resnet", (20, 70))
    counts = Counter(depth_of(draw(space, rng)) for _ in range(10_000))
    assert sorted(counts) == list(range(20, 71))
    assert chisquare(list(counts.values())).pvalue > 1e-4


def test_depths_stay_uniform_under_tight_limits() -> None:
    rng, space = np.random.default_rng(2017), make_limited("vgg", (3, 12), 1.2)
    genomes = [draw(space, rng) for _ in range(1000)]
    counts = Counter(depth_of(genome) for genome in genomes)
    assert all(within_limits(genome.genes, space) for genome in genomes)
    assert sorted(counts) == list(range(3, 13))
    assert chisquare(list(counts.values())).pvalue > 1e-4


# -- mutation


@examples
@given(space=spaces, seed=seeds, rate=rates)
def test_forced_child_is_valid_and_another_graph_where_there_is_one(space: Space, seed: int, rate: float) -> None:
    parent = drawn(space, seed)
    child = forced(parent, space, np.random.default_rng(seed), rate)
    validate(child, space)
    choices = [len(space.choices(n)) for n in (1, min(2, space.max_depth))]
    several = space.min_depth < space.max_depth or max(choices) > 1
    assert (child.graph(space).id != parent.graph(space).id) == several


@examples
@given(space=spaces, seed=seeds, rate=rates)
def test_neutral_child_is_valid_and_the_same_graph(space: Space, seed: int, rate: float) -> None:
    parent = drawn(space, seed)
    child = neutral(parent, space, np.random.default_rng(seed), rate)
    validate(child, space)
    assert child.graph(space).id == parent.graph(space).id


@examples
@given(space=spaces, seed=seeds, rate=rates)
def test_child_depends_on_parent_and_generator_alone(space: Space, seed: int, rate: float) -> None:
    parent, same = drawn(space, seed), drawn(space, seed)
    for mutate in (forced, neutral):
        first = mutate(parent, space, np.random.default_rng(seed), rate)
        mutate(first, space, np.random.default_rng(seed + 1), rate)
        assert mutate(parent, space, np.random.default_rng(seed), rate) == first
        assert parent == same


def test_forced_at_rate_zero_changes_a_single_gene() -> None:
    space = make_space("mixed")
    for seed in range(50):
        parent = drawn(space, seed)
        child = forced(parent, space, np.random.default_rng(seed), 0.0)
        assert sum(a != b for a, b in zip(parent.genes, child.genes, strict=True)) == 1


def test_mutation_reaches_every_depth() -> None:
    space, rng = make_space("resnet", (1, 6)), np.random.default_rng(0)
    genome, depths = drawn(space), set()
    for _ in range(500):
        genome = forced(genome, space, rng, 0.05)
        depths.add(depth_of(genome))
    assert depths == set(range(1, 7))


def test_neutral_mutation_lets_silent_nodes_drift() -> None:
    space = make_space("mixed", (1, 70))
    parent = Genome((*drawn(space).genes[:-1], 10))
    child = neutral(parent, space, np.random.default_rng(0), 1.0)
    changed = [n for n in range(70) if child.genes[n] != parent.genes[n]]
    assert changed[0] >= 10
    assert len(changed) > 50


# -- limits


@settings(max_examples=25, deadline=None)
@given(space=limited_spaces, seed=seeds, rate=st.sampled_from((0.0, 0.1)))
def test_draws_and_children_keep_the_limits(space: Space, seed: int, rate: float) -> None:
    genome, rng = drawn(space, seed), np.random.default_rng(seed)
    for each in (genome, forced(genome, space, rng, rate), neutral(genome, space, rng, rate)):
        graph = each.graph(space)
        validate(each, space)
        assert space.max_params is not None
        assert graph.params <= space.max_params
        assert space.max_flops is not None
        assert graph.flops <= space.max_flops


@examples
@given(space=spaces, seed=seeds)
def test_costs_told_from_the_genes_are_those_of_the_graph(space: Space, seed: int) -> None:
    genome = drawn(space, seed)
    graph = genome.graph(space)
    assert wiring(space).cost(genome.genes, space) == (graph.params, graph.flops)


@pytest.mark.parametrize("share", [0.0, 0.5, 0.999, 1.0])
def test_costs_beyond_a_limit_are_told_to_be_beyond(share: float) -> None:
    space = make_space("cgp-cnn-res", (20, 30))
    for seed in range(20):
        genes = drawn(space, seed).genes
        blocks, seconds, depth = split(genes, space)
        whole = wiring(space).cost(genes, space)
        told = space.costs.of(blocks, range(depth), seconds, (share * whole[0], share * whole[1]))
        assert told == whole if share == 1 else told[0] > share * whole[0] or told[1] > share * whole[1]


@examples
@given(space=limited_spaces, seed=seeds)
def test_what_a_limit_must_admit_is_a_network_of_the_space(space: Space, seed: int) -> None:
    """A limit is refused only where no network could be drawn; poolings are among what makes one cheap."""
    tight = replace(space, max_params=space.cheapest_cost[0], max_flops=space.cheapest_cost[1])
    validate(drawn(tight, seed), tight)


def test_a_limit_is_judged_by_the_cheapest_network_not_by_one_without_pooling() -> None:
    space = make_space(max_flops=100_000_000)  # a chain of its cheapest block without pooling takes 326 million
    graphs = [drawn(space, seed).graph(space) for seed in range(50)]
    assert max(graph.flops for graph in graphs) <= 100_000_000
    assert max(graph.depth for graph in graphs) > 60


def test_what_a_limit_makes_cheaper_keeps_its_wiring_and_its_kinds_of_block() -> None:
    free = make_space()
    usual = replace(free, max_flops=free.usual_flops)
    narrowed = 0
    for seed in range(50):
        before, after = drawn(free, seed).graph(free), drawn(usual, seed).graph(usual)
        assert [node.inputs for node in before.nodes] == [node.inputs for node in after.nodes]
        kinds = [[node.block.split("_")[0] for node in graph.nodes] for graph in (before, after)]
        assert kinds[0] == kinds[1]
        assert (before == after) == (before.flops <= usual.usual_flops)
        narrowed += before != after
    assert 25 <= narrowed < 50


@pytest.mark.parametrize("name", FUNCTION_SETS)
@pytest.mark.parametrize(("depths", "size"), [((20, 70), 8), ((10, 40), 16), ((20, 70), 32), ((300, 1000), 8)])
def test_the_usual_limit_leaves_every_depth_and_fits_every_set(name: str, depths: tuple[int, int], size: int) -> None:
    free = make_space(name, depths, size)
    usual = replace(free, max_flops=free.usual_flops)
    for seed in range(5):
        assert depth_of(drawn(usual, seed)) == depth_of(drawn(free, seed))


def test_blocks_that_gave_way_to_a_limit_are_counted() -> None:
    free = make_space("conv_8_3,conv_64_3", (30, 30))
    tight = replace(free, max_params=free.cheapest_cost[0])
    turned_away = Counter[str]()
    graph = draw(tight, np.random.default_rng(1), turned_away).graph(tight)
    wide = [node for node in drawn(free, 1).graph(free).nodes if node.block == "conv_64_3"]
    assert {node.block for node in graph.nodes} == {"conv_8_3"}
    assert turned_away["size"] == len(wide) > 0


def test_downsamplings_that_gave_way_are_counted() -> None:
    turned_away = Counter[str]()
    draw(make_space("conv_8_3,maxpool", (200, 200), 8), np.random.default_rng(0), turned_away)
    assert 60 < turned_away["downsamplings"] < 140
    assert turned_away["size"] == 0


@pytest.mark.parametrize(("field", "flag"), [("max_params", "--max-params"), ("max_flops", "--max-flops")])
def test_limit_out_of_reach_names_flag_limit_and_cheapest_count(field: str, flag: str) -> None:
    space = make_space()
    cost = dict(zip(("max_params", "max_flops"), space.cheapest_cost, strict=True))[field]
    message = refusal(**{field: cost - 1})
    assert message.startswith(f"{flag}: {cost - 1:,} ")
    assert f"{cost:,}" in message
    at_the_limit = make_space(max_params=cost) if field == "max_params" else make_space(max_flops=cost)
    validate(drawn(at_the_limit), at_the_limit)


# -- bad spaces


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"min_depth": 71}, ("--num-max-depth: 70", "--num-min-depth 71")),
        ({"min_depth": 0}, ("--num-min-depth: 0", "at least 1")),
        ({"levels_back": 1}, ("--levels-back: 1", "at least 2")),
        ({"function_set": "resnett"}, ("'resnett'", "did you mean 'resnet'?")),
        ({"function_set": "conv_8_3,conf_8_3"}, ("'conf_8_3'", "did you mean 'conv_", "kinds are")),
        ({"function_set": "conv_8_3,conv_8_4"}, ("'conv_8_4'", "even")),
        ({"function_set": "conv_8"}, ("'conv_8'", "conv_CHANNELS_KERNEL")),
        ({"function_set": "maxpool,sum"}, ("--function-set: 'maxpool,sum'", "conv_32_3")),
        ({"function_set": ""}, ("--function-set: ''", "conv_32_3")),
        ({"function_set": "conv_8_3,res_8_3_2"}, ("--function-set: 'res_8_3_2'", "step")),
        ({"image": Shape(3, 1, 1)}, ("--image-size", "1 pixels", "'resnet'")),
    ],
)
def test_bad_space_is_refused_in_one_line_that_says_what(changes: dict[str, Any], words: tuple[str, ...]) -> None:
    message = refusal(**changes)
    assert [word for word in words if word not in message] == []


def test_an_image_of_one_pixel_will_do_without_pooling() -> None:
    space = replace(make_space("conv_8_3,sum"), image=Shape(3, 1, 1))
    validate(drawn(space), space)


# -- JSON


@examples
@given(space=spaces, seed=seeds)
def test_genome_survives_json(space: Space, seed: int) -> None:
    genome = drawn(space, seed)
    assert Genome.from_json(json.loads(json.dumps(genome.to_json(space))), space) == genome


SMALL = make_space("conv_8_3,maxpool,sum", (2, 4), 8, levels_back=3)
SOUND: dict[str, Any] = {"depth": 3, "blocks": ["conv_8_3", "maxpool", "sum", "sum"], "second_inputs": [0, 0, 1, 2]}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"blocks": ["conv_8_3", "conv_9_3", "sum", "sum"]}, ("node 2", "block gene 'conv_9_3'", "maxpool")),
        ({"blocks": ["sum", "conv_8_3", "sum", "sum"]}, ("node 1", "block gene")),
        ({"blocks": ["conv_8_3", "maxpool", "sum", "maxpool"]}, ("node 4", "block gene", "downsamples")),
        ({"blocks": ["conv_8_3"]}, ("1 block genes", "expected 4")),
        ({"second_inputs": [0, 0, 1, 3]}, ("node 4", "second-input gene 3", "1..2")),
        ({"second_inputs": [0, 0, 1, 0]}, ("node 4", "second-input gene 0", "1..2")),
        ({"second_inputs": [0, 0, 1.0, 2]}, ("node 3", "second-input gene 1.0")),
        ({"second_inputs": [0, 0, 1]}, ("3 second-input genes", "expected 4")),
        ({"depth": 1}, ("depth gene 1", "2..4")),
        ({"depth": 5}, ("depth gene 5", "2..4")),
        ({"depth": "3"}, ("depth gene '3'", "2..4")),
        ({"depth": True}, ("depth gene True", "2..4")),
        ({"blocks": None}, ("expected depth, blocks and second_inputs",)),
    ],
)
def test_bad_genome_file_names_node_and_gene(changes: dict[str, Any], words: tuple[str, ...]) -> None:
    with pytest.raises(BadInput) as caught:
        Genome.from_json(SOUND | changes, SMALL)
    assert [word for word in words if word not in str(caught.value)] == []


def test_the_genome_file_that_those_spoil_is_sound() -> None:
    assert Genome.from_json(SOUND, SMALL).to_json(SMALL) == SOUND


def test_genome_beyond_a_limit_is_refused_with_its_count() -> None:
    space = make_space("conv_8_3,conv_64_3", (1, 1), max_params=1000)
    with pytest.raises(BadInput, match=r"2,506 parameters.*max_params 1000"):
        Genome.from_json({"depth": 1, "blocks": ["conv_64_3"], "second_inputs": [0]}, space)
