"""Grid wiring: every depth that a grid holds is drawn and kept, whatever grid, set of blocks and limits."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from cgp.drawing.arrange import layout_of_genome
from cgp.errors import BadInput
from cgp.genome import Genome, draw, validate
from cgp.layers import Shape
from cgp.mutation import forced, neutral, one_gene
from cgp.space import Space
from cgp.wiring import wiring
from cgp.wiring.grid import Genes
from harness import ROOT, assert_same_run, populations, program
from populations.setup.config import parse
from populations.surrogate import features

SETS = ("resnet", "vgg", "mixed", "cgp-cnn-conv", "cgp-cnn-res", "conv_8_3,sum", "conv_8_3,maxpool,concat")


def make_space(
    depths: tuple[int, int], function_set: str = "resnet", grid: tuple[int, int] = (5, 30), levels_back: int = 10
) -> Space:
    rows, columns = grid
    space = Space(function_set, *depths, Shape(3, 32, 32), 10, levels_back, wiring="grid", rows=rows, columns=columns)
    return space


@st.composite
def spaces(drawn: st.DrawFn) -> Space:
    """A space in a grid, with any depths that the grid holds."""
    grid = drawn(st.tuples(st.integers(1, 6), st.integers(1, 20)))
    levels_back, name = drawn(st.integers(1, 12)), drawn(st.sampled_from(SETS))
    widest = make_space((grid[1], grid[1]), name, grid, levels_back)
    held = widest.grid.fewest(), widest.grid.most(any(widest.joins))
    depths = sorted(drawn(st.tuples(st.integers(*held), st.integers(*held))))
    space = replace(widest, min_depth=depths[0], max_depth=depths[1])
    if not drawn(st.booleans()):
        return space
    params, flops = space.cheapest_cost
    slack = drawn(st.sampled_from((1.0, 1.5, 10.0)))
    return replace(space, max_params=int(slack * params), max_flops=int(slack * flops))


seeds = st.integers(0, 2**32 - 1)
examples = settings(max_examples=60, deadline=None)


@examples
@given(space=spaces(), seed=seeds)
def test_draws_are_of_the_depth_that_was_asked_for(space: Space, seed: int) -> None:
    """Whatever depth a grid holds; so it is exact, not only within the range."""
    exact = replace(space, min_depth=space.max_depth)
    genome = draw(exact, np.random.default_rng(seed))
    validate(genome, exact)
    assert genome.graph(exact).depth == exact.max_depth


@examples
@given(space=spaces(), seed=seeds, rate=st.sampled_from((0.0, 0.05, 1.0)))
def test_children_keep_the_limits_and_only_forced_ones_mean_another_network(
    space: Space, seed: int, rate: float
) -> None:
    rng = np.random.default_rng(seed)
    genome = draw(space, rng)
    child, drifted = forced(genome, space, rng, rate), neutral(genome, space, rng, rate)
    for each in (child, drifted):
        validate(each, space)
        graph = each.graph(space)
        assert (graph.params, graph.flops) == wiring(space).cost(each.genes, space)
    assert drifted.graph(space).id == genome.graph(space).id
    if len(space.plain(2)) > 1 and not space.limited:  # then a block can always become another one
        assert child.graph(space).id != genome.graph(space).id


def test_a_change_that_leads_to_a_node_like_the_one_before_is_taken_back() -> None:
    """In one column of equal nodes, only another block means another network: the output may move as it likes."""
    space = Space("conv_16_3,conv_32_3", 1, 1, Shape(3, 32, 32), 10, 1, wiring="grid", rows=4, columns=1)
    genome = Genome((*[0] * 4, *[0] * 8, 4))
    for seed in range(50):
        child = one_gene(genome, space, np.random.default_rng(seed))
        assert child.graph(space) != genome.graph(space)
        assert sum(a != b for a, b in zip(child.genes, genome.genes, strict=True)) == 1


@examples
@given(space=spaces(), seed=seeds)
def test_a_cell_reads_columns_within_levels_back_and_every_active_one_leads_to_the_output(
    space: Space, seed: int
) -> None:
    genome = draw(space, np.random.default_rng(seed))
    genes = Genes.of(genome.genes, space)
    column = [-1, *(n // space.rows for n in range(space.rows * space.columns))]  # of the image, and of each cell
    for cell, inputs in enumerate(zip(genes.firsts, genes.seconds, strict=True), 1):
        assert all(1 <= column[cell] - column[source] <= space.levels_back for source in inputs)
    assert 1 <= space.columns - column[genes.output] <= space.levels_back
    reached, waiting = set[int](), [genes.output]
    while waiting:
        cell = waiting.pop()
        if cell and cell not in reached:
            reached.add(cell)
            waiting += genes.reads(cell, space)
    assert sorted(reached) == genes.active(space)


@examples
@given(space=spaces(), seed=seeds)
def test_genome_survives_json(space: Space, seed: int) -> None:
    genome = draw(space, np.random.default_rng(seed))
    assert Genome.from_json(json.loads(json.dumps(genome.to_json(space))), space) == genome


@examples
@given(space=spaces(), seed=seeds)
def test_every_value_that_keeps_the_limits_is_an_alternative(space: Space, seed: int) -> None:
    """What is told of all values at once is what each would show by itself."""
    free, rng = replace(space, max_params=None, max_flops=None), np.random.default_rng(seed)
    genome, cells = draw(free, rng), space.rows * space.columns
    for index in rng.integers(3 * cells + 1, size=3).tolist():
        kind, place = divmod(index, cells)
        of_block = free.later_choices if place >= free.rows else free.first_choices
        values = free.grid.inputs(place + 1 if kind < 3 else cells + 1) if kind else of_block
        valid = list[int]()
        for value in values:
            changed = Genome((*genome.genes[:index], value, *genome.genes[index + 1 :]))
            try:
                validate(changed, free)
            except BadInput:
                continue
            valid += [value] if value != genome.genes[index] else []
        assert wiring(free).alternatives(genome.genes, index, free) == valid


@pytest.mark.parametrize(("depths", "grid"), [((20, 70), (5, 90)), ((10, 50), (5, 30))])
def test_depths_are_uniform_with_both_ends(depths: tuple[int, int], grid: tuple[int, int]) -> None:
    space, rng = make_space(depths, "cgp-cnn-conv", grid), np.random.default_rng(2017)
    counts = Counter(len(wiring(space).nodes(draw(space, rng).genes, space)) for _ in range(1500))
    assert sorted(counts) == list(range(depths[0], depths[1] + 1))
    assert chisquare(list(counts.values())).pvalue > 1e-4


def test_draws_have_branches_and_no_join_of_one_map_with_itself() -> None:
    space, rng = make_space((10, 40)), np.random.default_rng(0)
    graphs = [draw(space, rng).graph(space) for _ in range(200)]
    joins = [node.inputs for graph in graphs for node in graph.nodes if len(node.inputs) == 2]
    assert all(first != second for first, second in joins)
    apart = [any(node.inputs[0] < n - 1 for n, node in enumerate(graph.nodes, 1)) for graph in graphs]
    assert 150 < sum(apart) < 200


def test_where_in_the_grid_nodes_are_makes_no_other_network() -> None:
    space = make_space((3, 3), "conv_8_3,conv_8_5,sum", (2, 2), 2)
    blocks = [space.names.index(name) for name in ("conv_8_3", "conv_8_5", "sum", "conv_8_3")]
    one = Genome((*blocks, 0, 0, 1, 0, 0, 0, 2, 0, 3))
    swapped = Genome((blocks[1], blocks[0], *blocks[2:], 0, 0, 1, 0, 0, 0, 2, 0, 3))
    assert one.graph(space).id == swapped.graph(space).id
    validate(swapped, space)


def test_a_genome_is_drawn_with_its_silent_nodes() -> None:
    space = make_space((5, 12), "conv_8_3,maxpool,sum", (3, 12), 4)
    genome = draw(space, np.random.default_rng(3))
    layout = layout_of_genome(genome, space, "net")
    active = genome.graph(space).nodes
    assert [box.name for box in sorted(layout.boxes, key=lambda box: box.node) if box.number and not box.silent] == [
        node.block for node in active
    ]
    assert sum(box.silent for box in layout.boxes) > 5
    assert features(genome.graph(space)).shape == features(make_chain(space)).shape


def make_chain(space: Space) -> Any:
    """A graph of another wiring."""
    chain = replace(space, wiring="sequential")
    return draw(chain, np.random.default_rng(0)).graph(chain)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"min_depth": 40, "max_depth": 70}, ("--num-max-depth: 70", "59 active nodes", "5 x 30", "--columns 36")),
        ({"max_depth": 31, "function_set": "vgg"}, ("--num-max-depth: 31", "the 30", "two inputs", "--columns 31")),
        ({"max_depth": 31, "rows": 1}, ("--num-max-depth: 31", "two rows")),
        ({"min_depth": 2}, ("--num-min-depth: 2", "takes 3 nodes", "--levels-back")),
        ({"levels_back": 0}, ("--levels-back 0",)),
    ],
)
def test_depths_that_a_grid_cannot_hold_are_refused_with_the_reason(
    changes: dict[str, Any], words: tuple[str, ...]
) -> None:
    with pytest.raises(BadInput) as caught:
        replace(make_space((10, 30)), **changes)
    assert [word for word in (*words,) if word not in str(caught.value)] == []
    assert "\n" not in str(caught.value)


SMALL = make_space((1, 3), "conv_8_3,maxpool,sum", (2, 2), 2)
SOUND: dict[str, Any] = {
    "blocks": ["conv_8_3", "conv_8_3", "sum", "maxpool"], "inputs": [[0, 0], [0, 0], [1, 2], [0, 1]], "output": 3,
}  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"blocks": ["sum", "conv_8_3", "sum", "sum"]}, ("cell 1, block gene",)),
        ({"blocks": ["conv_9_3", "conv_8_3", "sum", "sum"]}, ("cell 1, block gene 'conv_9_3'",)),
        ({"inputs": [[0, 0], [0, 0], [1, 3], [0, 1]]}, ("cell 3, input gene 3", "0..2")),
        ({"inputs": [[0, 0], [0, 0], [1, 2]]}, ("3 pairs of inputs", "expected 4")),
        ({"inputs": [0, 0, 1, 2]}, ("expected blocks, inputs",)),
        ({"output": 0}, ("output gene 0", "1..4")),
        ({"output": True}, ("output gene True",)),
    ],
)
def test_bad_genome_is_refused_by_cell_and_gene(changes: dict[str, Any], words: tuple[str, ...]) -> None:
    validate(Genome.from_json(SOUND, SMALL), SMALL)
    with pytest.raises(BadInput) as caught:
        Genome.from_json(SOUND | changes, SMALL)
    assert [word for word in words if word not in str(caught.value)] == []


def test_the_experiment_of_2017_is_a_search_of_ours() -> None:
    config = parse(["--config", str(ROOT / "examples" / "gecco2017.toml")])
    space = config.space_for(Shape(3, 32, 32), 10)
    assert (space.rows, space.columns, space.levels_back, space.head) == (5, 30, 10, "flatten")
    assert (config.evolution.strategy, config.evolution.sizes) == ("one-plus-lambda", (1, 2))
    assert (config.recipe().epochs, config.recipe().lr, config.evolution.racing) == (50, 0.01, False)
    for name in ("cgp-cnn-conv", "cgp-cnn-res"):
        genome = draw(replace(space, function_set=name), np.random.default_rng(0))
        assert 10 <= genome.graph(space).depth <= 50


GRID = (
    *("--wiring", "grid", "--rows", "2", "--columns", "4", "--num-min-depth", "2", "--num-max-depth", "7"),
    *("--function-set", "conv_8_3,conv_4_3,maxpool,sum", "--strategy", "one-plus-lambda", "--no-racing"),
    *("--population", "1", "--offspring", "2", "--train-size", "120", "--epochs", "1", "--workers", "1"),
)


def test_a_search_in_a_grid_resumes_and_replays(tmp_path: Path) -> None:
    for name, generations in (("whole", "4"), ("longer", "2")):
        done = program(*GRID, "--generations", generations, "--run", name, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    done = program("--resume", "longer", "--generations", "4", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert_same_run(tmp_path / "whole", tmp_path / "longer")
    done = populations("replay", "longer", "best", "--retrain", cwd=tmp_path)
    assert "identical to the bit" in done.stdout


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--wiring", "gird"), "--wiring: unknown 'gird' (did you mean 'grid'?); one of sequential, grid"),
        (("--rows", "3"), "--rows: 3 goes with --wiring grid, not sequential"),
        (("--wiring", "grid", "--rows", "900", "--columns", "90"), "--rows: 900 x 90 nodes; expected at most 20,000"),
        (
            ("--wiring", "grid", "--columns", "30", "--num-min-depth", "40", "--num-max-depth", "70"),
            "--num-max-depth: 70 is more than the 59 active nodes that a grid of 5 x 30 holds",
        ),
    ],
)
def test_flags_of_a_grid_that_cannot_be_are_refused(flags: tuple[str, ...], words: str, tmp_path: Path) -> None:
    done = program(*flags, cwd=tmp_path)
    assert done.returncode == 2
    assert words in done.stderr
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
