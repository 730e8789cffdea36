"""Feature amounts: the variants of VGG that the source trained, to the digit, as a run of their own."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

import evolve
import studies.__main__ as cli
from cgp.errors import BadInput
from cgp.families import CIFAR10, family
from cgp.feature_amounts import Amounts, network, weights
from cgp.graph import Graph
from cgp.layers import Shape
from cgp.network import build
from cgp.source import definition
from populations import Run, load
from populations.commands.confirm import confirm

FIRST = (823, 961, 852, 708, 552, 405, 279, 181, 110, 63, 34, 17, 9, 4, 2)


@pytest.mark.parametrize(("depth", "count"), [(16, 193), (19, 139), (13, 194), (10, 153)])
def test_there_are_as_many_variants_as_in_the_source(depth: int, count: int) -> None:
    for exact in (False, True):
        amounts = Amounts(depth, exact=exact)
        variants = amounts.variants()
        assert len(variants) == count
        assert all(min(variant.features) >= 2 for variant in variants)
        assert all(len(variant.features) == depth - 1 for variant in variants)
        if exact:
            assert {sum(variant.features) for variant in variants} == {amounts.whole}


def test_variants_and_parameters_are_those_of_the_source() -> None:
    assert Amounts().variants()[0] == (0, 4.0, 8, FIRST)
    networks = family("vgg-features").values()
    *variants, vgg = [weights(graph) for graph in networks if isinstance(graph, Graph)]
    assert len(variants) + 1 == len(networks)
    assert variants[0] == 27_206_551
    assert (min(variants), max(variants)) == (13_771_031, 31_953_977)
    assert vgg == 15_239_872
    assert weights(network(Amounts(19).vgg, CIFAR10, 10)) == 20_548_288


def test_weights_are_counted_without_batch_normalisation_and_biases() -> None:
    graph = network(FIRST, CIFAR10, 10)
    assert graph.params == weights(graph) + 2 * sum(FIRST) + 10


def test_a_total_of_ones_own_is_shared_likewise() -> None:
    amounts = Amounts(10, total=328, exact=True, most=7)
    variants = amounts.variants()
    assert [sum(variant.features) for variant in variants] == [328] * 7
    assert len(set(variants)) == 7
    assert set(variants) <= set(Amounts(10, total=328, exact=True).variants())
    assert amounts.vgg == (8, 8, 16, 16, 31, 63, 62, 62, 62)
    assert len(Amounts(10, total=328, most=1000).variants()) == len(Amounts(10, total=328).variants())


@pytest.mark.parametrize(("side", "poolings"), [(32, 5), (28, 4), (8, 3), (1, 0), (63, 5)])
def test_small_images_are_pooled_as_often_as_they_have_room(side: int, poolings: int) -> None:
    graph = network(Amounts(10).vgg, Shape(1, side, side), 10)
    assert [node.block for node in graph.nodes].count("maxpool") == poolings
    assert graph.flows[-1].shape == (512, 1, 1)


def test_networks_carry_the_epsilon_of_their_batch_normalisation() -> None:
    graph = network((4, 4, 6, 6, 8, 8, 8, 8, 8), Shape(1, 8, 8), 10)
    assert graph.norm_epsilon == 1e-4
    again = Graph.from_json(graph.to_json())
    assert again == graph
    plain = Graph(graph.nodes, graph.image, graph.classes)
    assert plain.id != graph.id
    assert "norm_epsilon" not in plain.to_json()
    norms = [module for module in build(again).modules() if isinstance(module, torch.nn.BatchNorm2d)]
    assert {module.eps for module in norms} == {1e-4}
    assert definition(graph).count("eps=0.0001") == len({(node.block) for node in graph.nodes}) - 1
    assert "eps=" not in definition(plain)


SMALL: dict[str, Any] = {
    "family": "vgg-features", "vgg_depth": 10, "features_total": 164, "variants": 3, "train_size": 40, "epochs": 1,
    "precision": "fp32", "executor": "serial",
}  # fmt: skip


@pytest.fixture(scope="module")
def variants(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run of three variants and VGG itself, all narrow."""
    folder = tmp_path_factory.mktemp("amounts") / "r"
    return evolve.run(run=str(folder), exact_total=True, norm_epsilon=1e-3, **SMALL)


def test_the_variants_and_vgg_itself_are_one_run(variants: Run) -> None:
    assert list(variants.models["status"]) == ["ok"] * 4
    assert set(variants.models["function_set"]) == {"vgg-features"}
    wanted = [variant.features for variant in Amounts(10, 164, True, 3).variants()] + [Amounts(10, 164).vgg]
    for identity, features in zip(variants.models["id"], wanted, strict=True):
        graph = variants.model(identity).model
        assert isinstance(graph, Graph)
        assert graph.norm_epsilon == 1e-3
        assert tuple(int(node.block.split("_")[1]) for node in graph.nodes if node.block != "maxpool") == features
    assert evolve.run(resume=str(variants.folder)).models["id"].equals(variants.models["id"])


# The study


def test_the_study_says_which_layers_want_the_features(
    variants: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert confirm(variants, 1, 1, ["--executor", "serial"])
    assert cli.main(["features", str(variants.folder)]) == 0
    said = capsys.readouterr().out
    assert "4 of 4 networks, n = 1 to 2 trainings each" in said
    assert re.search(r"vgg-10 \(\w+\), accuracy [\d.]+, is number [1-4]\n", said)
    found = load(variants.folder).study("features")
    networks, ranks = found["networks"], found["ranks"]
    assert list(networks["network"])[-1] == "vgg-10"
    assert networks["mean"].isna().sum() == 1
    assert set(networks["total"]) == {164}
    assert all(sum(map(int, text.split())) == 164 for text in networks["features"])
    assert sorted(networks["n"]) == [1, 1, 1, 2]
    assert networks["accuracy_sd"].notna().sum() == 1
    assert list(ranks["with"]) == ["mean", "width", "skew", "early", "last", "weights"]
    assert set(ranks["n"]) == {3}
    folder = variants.folder / "studies" / "features"
    page = (folder / "networks.html").read_text()
    assert "scatter3d" in page
    assert not re.search(r"<script[^>]+src=", page)  # it needs no net
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert {Path(name).suffix for name in before} == {".csv", ".png", ".svg", ".html"}
    monkeypatch.setattr("studies.landing.is_installed", lambda: False)  # drawn once is enough
    assert cli.main(["features", str(variants.folder)]) == 0
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_run_of_other_networks_is_one_line(
    variants: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Path(
        shutil.copytree(variants.folder, tmp_path / "r", ignore=shutil.ignore_patterns("studies"), symlinks=True)
    )
    (run / "config.json").write_text(json.dumps(variants.config | {"family": None}))
    assert cli.main(["features", str(run)]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"studies: error: {run}: is of a search; expected a run of: ")
    assert said.count("\n") == 1
    assert not (run / "studies").exists()


# Bad input


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({"family": "vgg-features", "vgg_depth": 17}, "--vgg-depth: 17; expected 10, 13, 16, 19"),
        ({"family": "vgg-features", "features_total": 29}, "--features-total: 29; expected 30..10000"),
        ({"family": "vgg-features", "features_total": 40}, "--features-total: 40 leave no variant with 2 features"),
        ({"family": "vgg-features", "variants": 0}, "--variants: 0; expected at least 1"),
        ({"family": "vgg", "vgg_depth": 16}, "--vgg-depth: 16 goes with --family vgg-features, which was not given"),
        ({"exact_total": True}, "--exact-total: True goes with --family vgg-features"),
        ({"norm_epsilon": 2.0}, "--norm-epsilon: 2.0; expected above 0 and below 1"),
        ({"weights": "w", "norm_epsilon": 0.1}, "--norm-epsilon: 0.1 has no effect on --weights"),
    ],
)
def test_what_is_no_such_family_is_one_line(flags: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput) as error:
        evolve.run(run=str(tmp_path / "r"), **flags)
    assert said in str(error.value)
    assert "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == []
