"""The study `limit`: what it measures of paths of weights, fits to gradients, and refuses."""

import os
import shutil
import signal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

import evolve
import studies.__main__ as cli
from cgp.chains import chains
from cgp.graph import Graph, Node
from cgp.layers import Shape
from cgp.network import build
from cgp.residual_mlp import ResidualMLP
from evaluate.files import BEST
from evaluate.measures.variation import paths, powers
from evaluate.training.checkpoint import read_tensors
from evaluate.variation import variation_norm
from harness import ROOT, Started, wait_for
from populations import load
from studies.decay import fitted

IMAGE = Shape(3, 16, 16)
HERE = ("--executor", "serial")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("limit") / "r"
    mlps = ("--family", "residual-mlp", "--mlp-depths", "4,9", "--mlp-width", "3", "--dataset", "sin:n=60")
    assert evolve.main([*mlps, "--epochs", "6", *HERE, "--run", str(folder)]) == 0
    return folder


# Chains


def test_a_chain_is_of_convolutions_of_one_shape_that_read_each_other() -> None:
    blocks = ["conv_8_3", "conv_8_3", "maxpool", "conv_8_3", "conv_8_3", "conv_8_5", "conv_8_3", "conv_8_3"]
    assert chains(Graph.chain(blocks, IMAGE, 5)) == [[2, 3, 4]]  # then another kernel, then two alone
    residual = Graph.chain(["conv_8_3", "res_8_3", "res_8_3"], IMAGE, 5)
    assert chains(residual) == [[2, 3, 4, 5]]
    inception = Graph.chain(["conv_8_3", "inception_8", "inception_8"], IMAGE, 5)
    assert chains(inception) == []


def test_branches_of_a_grid_are_not_one_chain() -> None:
    conv = "conv_3_3"
    graph = Graph((*(Node(conv, (n,)) for n in (0, 1, 1, 2, 3)), Node("sum", (4, 5)), Node(conv, (6,))), IMAGE, 5)
    assert chains(graph) == [
        [1, 2, 4, 6],
    ]
    layers = [module.weight for module in build(graph).modules() if isinstance(module, nn.Conv2d)]
    (path,) = paths(build(graph)).values()
    assert path.shape == (4, layers[0].numel())


def test_paths_are_weights_in_order_of_depth() -> None:
    network = build(Graph.chain(["conv_8_3"] * 5, IMAGE, 5))
    weights = [module.weight for module in network.modules() if isinstance(module, nn.Conv2d)][1:]
    assert list(paths(network)) == ["2-5"]
    np.testing.assert_allclose(paths(network)["2-5"], torch.stack(weights).detach().flatten(1))
    deep = build(ResidualMLP(6, 3, Shape(1, 1, 1), 1, beta=0.5))
    scaled = 6**0.5 * deep.get_parameter("weights").detach().double().flatten(1)
    np.testing.assert_allclose(paths(deep)["1-6"], scaled)
    assert powers(2) == [1, 1.5, 2]
    assert powers(1.2) == [1.2]


# Fits


@pytest.mark.parametrize(("c", "rho", "t0"), [(2.0, 0.7, 1.0), (900.0, 1.5, 40.0)])
def test_a_power_is_found_again_with_its_error(c: float, rho: float, t0: float) -> None:
    t = np.arange(200)
    noise = 1 + 0.01 * np.random.default_rng(0).standard_normal(200)
    found = fitted(list(c / (t + t0) ** rho * noise))
    shifted = found["C/(t+T0)^rho"]
    for name, value in (("C", c), ("rho", rho), ("T0", t0)):
        assert abs(shifted[name] - value) < 5 * shifted[f"{name}_sd"]
    assert shifted["rho_sd"] < 0.1
    assert shifted["r2"] > 0.99
    plain = found["C/(t+1)^rho"]
    assert (plain["rho"] == pytest.approx(rho, rel=0.02)) == (t0 == 1)


@pytest.mark.parametrize("omega", [[1.0] * 4, [np.nan] * 9, [0.0] * 9])
def test_what_cannot_be_fitted_has_no_numbers(omega: list[float]) -> None:
    assert all(np.isnan(value) for law in fitted(omega).values() for value in law.values())
    assert np.isnan(fitted([1.0] * 9)["C/(t+T0)^rho"]["r2"])


# The study


def test_tables_are_of_the_weights_that_were_kept(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["limit", str(run), *HERE, "--p", "3", "--weights", "0,2"]) == 0
    tables = load(run).study("limit")
    assert set(tables) == {"variation", "epochs", "fits", "norms", "weights"}
    for identity, own in tables["variation"].groupby("id"):
        weights = read_tensors(run / "models" / str(identity) / BEST)[0]["weights"].double().numpy()
        path = len(weights) ** 0.25 * weights
        assert dict(zip(own["p"], own["variation"], strict=True)) == pytest.approx(
            {p: variation_norm(path, p) for p in (1.5, 2.25, 3.0)}
        )
        norms = tables["norms"][tables["norms"]["id"] == identity]
        assert list(norms["norm"]) == pytest.approx(list(np.linalg.norm(path, axis=(1, 2))))
        assert (norms["place"].iloc[0], norms["place"].iloc[-1]) == (0, 1)
        followed = tables["weights"][tables["weights"]["id"] == identity]
        assert list(followed["value"]) == pytest.approx(list(path[:, 0, 2]))
    assert list(tables["variation"]["points"]) == [4] * 3 + [9] * 3
    assert len(tables["epochs"]) == 12
    assert list(tables["fits"]["epochs"]) == [6] * 4
    assert (run / "studies" / "limit" / "gradient.png").exists()
    assert "1-9" in capsys.readouterr().out


def test_a_study_killed_and_given_again_ends_with_the_same_tables(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("studies.landing.is_installed", lambda: False)  # tables alone are compared
    for name in ("whole", "killed"):
        shutil.copytree(run, tmp_path / name, symlinks=True)
    assert cli.main(["limit", str(tmp_path / "whole"), *HERE]) == 0
    before = len(list((tmp_path / "killed" / "models").iterdir()))
    process = Started(ROOT / "studies" / "__main__.py", ("limit", "killed"), tmp_path)
    wait_for(tmp_path / "killed", "models/*", before + 1, process)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert cli.main(["limit", str(tmp_path / "killed"), *HERE]) == 0
    one, other = (load(tmp_path / name).study("limit") for name in ("whole", "killed"))
    for name, table in one.items():
        pd.testing.assert_frame_equal(table, other[name], check_exact=True)


def test_chains_of_an_evolved_network_have_a_variation(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    drawn = ("--population", "2", "--generations", "1", "--no-racing", "--function-set", "conv_4_3")
    for folder, depths in (("long", (5, 6)), ("short", (1, 3))):
        depth = [f"--num-min-depth={depths[0]}", f"--num-max-depth={depths[1]}"]
        small = (*drawn, *depth, "--train-size", "100", "--epochs", "1", *HERE)
        assert evolve.main([*small, "--run", str(tmp_path / folder)]) == 0
    assert cli.main(["limit", str(tmp_path / "long"), *HERE]) == 0
    tables = load(tmp_path / "long").study("limit")
    assert set(tables) == {"variation"}
    assert {"2-5", "2-6"} >= set(tables["variation"]["path"])
    capsys.readouterr()
    assert cli.main(["limit", str(tmp_path / "short"), *HERE]) == 2
    assert "no network has 3 convolutions of one shape in a row" in capsys.readouterr().err
    assert cli.main(["limit", str(tmp_path / "long"), *HERE, "--weights", "0,0"]) == 2
    assert "--weights: are of residual MLPs, of which there is none" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["limit", "RUN", "--p", "0.5"], "--p: 0.5; expected 1..64"),
        (["limit", "RUN", "--p", "nan"], "--p: nan; expected"),
        (["limit", "RUN", "--weights", "0"], "--weights: '0'; expected ROW,COLUMN"),
        (["limit", "RUN", "--weights", "0,3"], "--weights: 0,3; blocks are 3 wide, expected 0,0 to 2,2"),
        (["spectra", "RUN"], "a regression; expected networks that tell classes apart"),
        (["corruptions", "RUN"], "a regression; expected networks that tell classes apart"),
    ],
)
def test_bad_input_is_one_line(
    arguments: list[str], said: str, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(run, tmp_path / "r", symlinks=True)
    shutil.rmtree(tmp_path / "r" / "studies", ignore_errors=True)
    assert cli.main([word.replace("RUN", str(tmp_path / "r")) for word in arguments]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert said in error
    assert not (tmp_path / "r" / "studies").exists()
