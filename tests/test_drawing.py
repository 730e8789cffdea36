"""Drawings: where everything stands, what renderers make of it, and the command."""

import re
import sys
from dataclasses import dataclass, replace
from itertools import combinations, pairwise
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import populations.__main__ as cli
from cgp import Graph, Node, Shape, Space, draw
from cgp.blocks import FUNCTION_SETS, KINDS, block
from cgp.drawing.arrange import layout_of, layout_of_genome
from cgp.drawing.dot import dot
from cgp.drawing.layout import HEAD, IMAGE, Box, Layout, Panel
from cgp.drawing.png import png
from cgp.drawing.svg import svg
from cgp.families import CIFAR10, densenet_bc, family
from cgp.genome import Genome
from cgp.graph import walk
from cgp.layers import How
from cgp.mutation import neutral
from cgp.wiring import wiring
from evaluate.job import Key, recipe
from harness import old_runs, populations
from populations import load
from populations.run_folder.folder import create_run
from populations.run_folder.store import Store
from populations.setup.config import parse
from test_store import PLAN, candidate, ok, opened

SVG = "{http://www.w3.org/2000/svg}"
SETS = (*FUNCTION_SETS, "conv_8_3,sum", "conv_8_3,maxpool,concat")
ALWAYS = settings(max_examples=40, deadline=None)

spaces = st.builds(
    lambda name, depths, size, levels: Space(name, min(depths), max(depths), Shape(3, size, size), 10, levels),
    st.sampled_from(SETS),
    st.tuples(st.integers(1, 80), st.integers(1, 80)),
    st.sampled_from((8, 28, 32, 224)),
    st.sampled_from((2, 10, 80)),
)
seeds = st.integers(0, 999)


def drawn(space: Space, seed: int = 0) -> Genome:
    return draw(space, np.random.default_rng(seed))


def deep(function_set: str, depth: int = 70) -> Graph:
    space = Space(function_set, depth, depth, CIFAR10, 10)
    return drawn(space).graph(space)


def woven(seed: int, count: int) -> Graph:
    """A graph that is no chain: nodes read any that come before them."""
    rng = np.random.default_rng(seed)
    names = ["conv_8_3", "sum", "conv_4_1"]
    nodes = list[Node]()
    for n in range(1, count + 1):
        name = "maxpool" if n in (3, count // 2) else names[rng.integers(len(names))]
        first = n - 1 if rng.random() < 0.9 else int(rng.integers(n))
        nodes.append(Node(name, (first, int(rng.integers(n)))[: block(name).arity]))
    read, kept = {count}, list[int]()
    for n in range(count, 0, -1):
        if n in read:
            kept.append(n)
            read |= set(nodes[n - 1].inputs)
    place = {0: 0} | {n: at for at, n in enumerate(sorted(kept), 1)}
    active = [nodes[n - 1] for n in sorted(kept)]
    return Graph(
        tuple(Node(node.block, tuple(place[source] for source in node.inputs)) for node in active), CIFAR10, 10
    )


def check_places(layout: Layout) -> None:
    """Nothing lies outside the page, no two boxes overlap, stages follow each other, each box is in its panel."""
    things: list[Box | Panel] = [*layout.boxes, *layout.panels]
    for thing in things:
        assert thing.x >= 0
        assert thing.y >= 0
        assert thing.x + thing.width <= layout.width
        assert thing.y + thing.height <= layout.height
    for one, other in combinations(things, 2):
        if type(one) is type(other):
            apart = one.x + one.width < other.x or other.x + other.width < one.x
            assert apart or one.y + one.height < other.y or other.y + other.height < one.y
    for box in layout.boxes:
        (panel,) = (
            panel for panel in layout.panels
            if panel.x < box.x < panel.x + panel.width and panel.y < box.y < panel.y + panel.height
        )  # fmt: skip
        assert (panel.stage, panel.silent) == (box.stage, box.silent)
        assert panel.label.startswith(" × ".join(map(str, box.shape[1:])))  # noqa: RUF001
    for before, after in pairwise(layout.boxes):
        assert after.stage in (before.stage, before.stage + 1)
        assert (before.x, before.y) < (after.x, after.y)
        assert before.silent < after.silent or before.shape[1:] >= after.shape[1:]


def check_edges(layout: Layout, nodes: tuple[Node, ...]) -> None:
    """Every input is an edge between the right boxes, which touches no other box and lies on no other edge."""
    boxes = {box.node: box for box in layout.boxes}
    assert len(boxes) == len(layout.boxes)
    wanted = [(source, n) for n, node in enumerate(nodes, 1) for source in node.inputs]
    output = max(box.node for box in layout.boxes if not box.silent)
    assert sorted((edge.source, edge.target) for edge in layout.edges) == sorted([*wanted, (output, HEAD)])
    lines = list[tuple[int, float, float, float, float]]()
    for edge in layout.edges:
        source, target = boxes[edge.source], boxes[edge.target]
        assert edge.silent == target.silent
        for box, (x, y) in ((source, edge.path[0]), (target, edge.path[-1])):
            assert box.x <= x <= box.x + box.width
            assert box.y <= y <= box.y + box.height
        for (x0, y0), (x1, y1) in pairwise(edge.path):
            assert x0 == x1 or y0 == y1
            left, right, top, bottom = min(x0, x1), max(x0, x1), min(y0, y1), max(y0, y1)
            lines.append((edge.source, left, right, top, bottom))
            assert left >= 0 and top >= 0 and right <= layout.width  # noqa: PT018 - it is asked a thousand times
            for box in layout.boxes:
                beside = right <= box.x or left >= box.x + box.width
                assert beside or bottom <= box.y or top >= box.y + box.height
    for one, other in combinations(lines, 2):
        if one[0] != other[0]:  # what leaves one box begins together
            across = min(one[2], other[2]) - max(one[1], other[1])
            down = min(one[4], other[4]) - max(one[3], other[3])
            assert not (across >= 0 and down >= 0 and max(across, down) > 0 and _along(one) == _along(other))


def _along(line: tuple[int, float, float, float, float]) -> bool:
    return line[1] == line[2]


# Layouts


@ALWAYS
@given(spaces, seeds)
def test_a_drawn_graph_is_laid_out(space: Space, seed: int) -> None:
    graph = drawn(space, seed).graph(space)
    layout = layout_of(graph, "a title")
    assert [box.node for box in layout.boxes] == [*range(graph.depth + 1), HEAD]
    for box in layout.boxes[:-1]:
        assert box.flow == " × ".join(map(str, graph.flows[box.node].shape))  # noqa: RUF001
        assert box.name == (graph.nodes[box.node - 1].block if box.node else "image")
    assert layout.boxes[-1].flow == "10 classes"
    assert not any(edge.silent for edge in layout.edges)
    assert not any(box.silent for box in layout.boxes)
    check_places(layout)
    check_edges(layout, graph.nodes)


@ALWAYS
@given(spaces, seeds)
def test_a_genome_is_laid_out_with_its_silent_nodes_behind_the_active_ones(space: Space, seed: int) -> None:
    genome = drawn(space, seed)
    nodes, active = wiring(space).all_nodes(genome.genes, space)
    layout = layout_of_genome(genome, space, "a title")
    assert {box.node for box in layout.boxes if not box.silent} == {IMAGE, HEAD, *active}
    assert {box.node for box in layout.boxes} == {IMAGE, HEAD, *range(1, space.max_depth + 1)}
    flows = walk(nodes, space.image)[0]
    assert all(box.shape == flows[box.node].shape for box in layout.boxes if box.node != HEAD)
    check_places(layout)
    check_edges(layout, nodes)


@ALWAYS
@given(seeds, st.integers(8, 150))
def test_a_graph_that_is_no_chain_is_laid_out(seed: int, count: int) -> None:
    graph = woven(seed, count)
    layout = layout_of(graph, "woven")
    check_places(layout)
    check_edges(layout, graph.nodes)


def test_all_nodes_begin_with_those_of_the_graph() -> None:
    space = Space("resnet", 3, 40, CIFAR10, 10)
    for seed in range(20):
        genome = drawn(space, seed)
        graph = genome.graph(space)
        nodes, active = wiring(space).all_nodes(genome.genes, space)
        assert (len(nodes), active) == (40, frozenset(range(1, graph.depth + 1)))
        assert nodes[: graph.depth] == graph.nodes


@pytest.mark.parametrize("name", FUNCTION_SETS)
def test_seventy_nodes_are_read_on_a_page(name: str) -> None:
    layout = layout_of(deep(name), name)
    assert layout.width < layout.height
    assert layout.width < 1000  # on A4 the smallest text is 6 points then


def test_skips_are_those_that_pass_others_by() -> None:
    graph = Graph(
        (Node("conv_8_3", (0,)), Node("sum", (1, 0)), Node("sum", (2, 2)), Node("maxpool", (3,))), CIFAR10, 10
    )
    edges = [(edge.source, edge.target, edge.kind) for edge in layout_of(graph, "").edges]
    assert edges == [
        *((0, 1, "chain"), (1, 2, "chain"), (0, 2, "skip"), (2, 3, "chain"), (2, 3, "skip")),
        *((3, 4, "chain"), (4, HEAD, "chain")),
    ]


def test_a_stage_is_headed_by_its_size_in_every_column() -> None:
    panels = layout_of(densenet_bc(100, 12), "").panels
    labels = [re.sub(r"\W+", " ", panel.label).strip() for panel in panels]
    assert list(dict.fromkeys(label.removesuffix(" continued") for label in labels)) == ["32 32", "16 16", "8 8"]
    assert labels[0] == "32 32"


def test_facts_and_words_tell_what_the_picture_does() -> None:
    layout = layout_of(Graph((Node("conv_8_3", (0,)), Node("maxpool", (1,)), Node("sum", (2, 0))), CIFAR10, 10), "t")
    assert layout.facts == "depth 3 · 1 convolution · 322 parameters · 442.5 kFLOPs"
    assert layout.facts in layout.about
    assert "16 × 16: 2 blocks. Skips: 3 reads the image." in layout.about  # noqa: RUF001


@pytest.mark.parametrize("name", ["vgg", "resnet", "densenet"])
def test_families_are_laid_out(name: str) -> None:
    for graph in family(name).values():
        assert isinstance(graph, Graph)
        layout = layout_of(graph, name)
        check_places(layout)
        check_edges(layout, graph.nodes)


def test_every_kind_of_block_is_in_the_legend() -> None:
    names = {kind: next((n for n in every() if n.split("_")[0] == kind), kind) for kind in KINDS}
    nodes = [Node(name, (n, 0)[: block(name).arity]) for n, name in enumerate(names.values())]
    keys = {key.kind for key in layout_of(Graph(tuple(nodes), CIFAR10, 10), "").legend}
    assert keys == {*KINDS, "chain", "skip", "flow"}


def every() -> list[str]:
    return [name for chosen in FUNCTION_SETS.values() for name in chosen.blocks]


# Renderers

ODD = '<b>&amp; "$x^2$" \\ ]]> \n\0\udcff 漢字 ' + "long " * 40


def odd() -> Layout:
    space = Space("cgp-cnn-conv", 5, 12, CIFAR10, 10)
    genome = next(genome for seed in range(99) if (genome := drawn(space, seed)).genes[-1] < 9)
    return layout_of_genome(genome, space, ODD)


def test_svg_is_well_formed_and_holds_every_text() -> None:
    layout = odd()
    text = svg(layout)
    root = ElementTree.fromstring(text.encode())
    assert root.get("role") == "img"
    assert [child.tag for child in root][:2] == [f"{SVG}title", f"{SVG}desc"]
    assert {child.tag.removeprefix(SVG) for child in root} == {"title", "desc", "rect", "text", "path"}
    texts = [child.text for child in root.iter(f"{SVG}text")]
    for box in layout.boxes:
        assert {box.name, box.flow} <= set(texts)
    assert {layout.title, layout.facts, *(panel.label for panel in layout.panels)} <= set(texts)
    assert layout.title.startswith('<b>&amp; "$x^2$" \\ ]]> ')
    assert root[0].text == layout.title
    assert "<b>" not in text


def test_svg_can_stand_in_a_page_beside_others() -> None:
    assert not re.search(r"<style|<script|\bid=|href|url\(", svg(odd()))


def test_dot_has_every_box_and_edge_and_quotes_all() -> None:
    layout = odd()
    text = dot(layout)
    unquoted = re.sub(r'"(?:[^"\\]|\\.)*"', "S", text)
    assert unquoted.count("S [label=S") == len(layout.boxes)
    assert unquoted.count("S -> S [") == len(layout.edges)
    assert re.fullmatch(r"[\w\s{}\[\]=;,>-]*", unquoted)
    assert unquoted.count("{") == unquoted.count("}") == 1 + len({box.stage for box in layout.boxes})


def test_png_is_the_layout_twice_as_large() -> None:
    layout = odd()
    picture = png(layout)
    assert picture.startswith(b"\x89PNG")
    width, height = (int.from_bytes(picture[at : at + 4], "big") for at in (16, 20))
    assert abs(width - 2 * layout.width) < 2
    assert abs(height - 2 * layout.height) < 2


# The command


@dataclass(frozen=True)
class Ids:
    """The models of a run: a drawn one, one made by hand, one with the graph of the first, one that repeats it."""

    drawn: str
    by_hand: str
    copy: str
    again: str


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Ids]:
    """A run, finished as far as a drawing asks."""
    folder = tmp_path_factory.mktemp("drawing") / "r"
    flags = ["--function-set", "vgg", "--num-min-depth", "2", "--num-max-depth", "5", "--max-flops", "0"]
    store = Store(folder, PLAN, create_run(folder, parse(flags).resolved(recipe("fast"))))
    first = next(asked for seed in range(99) if (asked := candidate(0, like=seed)).model.depth < 4)
    store.close(opened(store, first), ok(0.75))
    store.close(opened(store, replace(candidate(1, like=50), genome=None)), ok())
    assert first.genome is not None
    drifted = neutral(first.genome, PLAN.space, np.random.default_rng(1), 1.0)
    assert drifted != first.genome
    store.open(replace(first, number=2, genome=drifted))
    opened(store, replace(first, number=0, stage="confirm", parent=Key("search", 0), genome=None))
    store.end()
    ids = Ids(*load(folder).models["id"])
    (folder / "best").symlink_to(f"models/{ids.drawn}")
    return folder, ids


def refused(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    assert cli.main(["draw", *map(str, arguments)]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    return said


def boxes_in(path: Path) -> list[str]:
    """The names of the nodes in an SVG, as far as they look like blocks of the set vgg."""
    texts = (str(child.text) for child in ElementTree.parse(path).getroot().iter(f"{SVG}text"))
    return [text for text in texts if re.fullmatch(r"conv_\d+_\d+|(max|avg)pool", text)]


@pytest.mark.parametrize(("name", "begins"), [("n.svg", b"<svg "), ("n.PNG", b"\x89PNG"), ("n.dot", b"digraph {")])
def test_the_command_draws_the_best_model(run: tuple[Path, Ids], tmp_path: Path, name: str, begins: bytes) -> None:
    done = populations("draw", run[0], "--out", name, cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{name}\n", "")
    assert (tmp_path / name).read_bytes().startswith(begins)


def test_the_command_draws_a_genome_of_an_old_run(tmp_path: Path) -> None:
    old_runs(tmp_path)
    done = populations("draw", "plain", "2052ba", "--genome", "--out", "a.svg", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "plain · 2052ba03b5f5" in (tmp_path / "a.svg").read_text()


def test_silent_nodes_are_those_of_the_model_that_is_named(run: tuple[Path, Ids], tmp_path: Path) -> None:
    folder, ids = run
    found = dict[str, list[str]]()
    for identity in (ids.drawn, ids.copy, ids.again):
        out = tmp_path / f"{identity}.svg"
        assert cli.main(["draw", str(folder), identity, "--genome", "--out", str(out)]) == 0
        assert identity in out.read_text()
        found[identity] = boxes_in(out)
    assert found[ids.drawn] == found[ids.again]
    assert found[ids.drawn] != found[ids.copy]
    genome = load(folder).genome(ids.copy)
    assert genome is not None
    assert sorted(genome["blocks"]) == sorted(found[ids.copy][:5])


def test_a_file_is_overwritten_only_where_that_is_asked_for(
    run: tuple[Path, Ids], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "net.svg"
    out.write_text("mine")
    assert "exists; give another name, or --force" in refused(capsys, run[0], "--out", out)
    assert out.read_text() == "mine"
    assert cli.main(["draw", str(run[0]), "--out", str(out), "--force"]) == 0
    assert out.read_text().startswith("<svg")
    assert [path.name for path in tmp_path.iterdir()] == ["net.svg"]


def test_bad_input_is_one_line(run: tuple[Path, Ids], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, ids = run
    out = tmp_path / "net.svg"
    assert "no known kind (did you mean '.svg'?)" in refused(capsys, folder, "--out", tmp_path / "net.sgv")
    assert "expected one of .svg, .png, .dot" in refused(capsys, folder, "--out", tmp_path / "net")
    assert "there is no folder" in refused(capsys, folder, "--out", tmp_path / "none" / "net.svg")
    (tmp_path / "folder.svg").mkdir()
    assert "is a folder" in refused(capsys, folder, "--out", tmp_path / "folder.svg", "--force")
    assert "found none" in refused(capsys, folder, "zz", "--out", out)
    assert "names none" in refused(capsys, folder, "", "--out", out)
    assert f"model {ids.by_hand} was made by hand" in refused(capsys, folder, ids.by_hand, "--genome", "--out", out)
    assert "no such run folder" in refused(capsys, tmp_path / "nowhere", "--out", out)
    assert "--out" in refused(capsys, folder)
    assert not out.exists()


def test_a_genome_that_the_space_of_the_run_does_not_hold_is_refused(
    run: tuple[Path, Ids], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    genome = {"depth": 1, "blocks": ["conv_7_7"], "second_inputs": [0]}
    monkeypatch.setattr("populations.reading.frame.Run.genome", lambda self, identity: genome)
    said = refused(capsys, run[0], "--genome", "--out", tmp_path / "net.svg")
    assert "is not of the run's space" in said
    assert "conv_7_7" in said


def test_what_is_no_graph_is_not_drawn(
    run: tuple[Path, Ids], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("populations.reading.frame.model_from_json", lambda value: How)
    assert "is no graph" in refused(capsys, run[0], "--out", tmp_path / "net.svg")


def test_without_matplotlib_a_line_says_what_to_install(
    run: tuple[Path, Ids], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    said = refused(capsys, run[0], "--out", tmp_path / "net.png")
    assert "pip install 'cgp-evolve[report]'" in said
    assert list(tmp_path.iterdir()) == []
