"""Studies: what they ask of a run, what lands, and what they refuse."""

import os
import shutil
import signal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import studies.__main__ as cli
from cgp.network import build
from conftest import TINY as GRAPH
from evaluate.data.images import OnDevice
from evaluate.data.splits import load as load_images
from evaluate.devices.numerics import Numerics
from evaluate.job import DataSpec
from evaluate.measures import MEASURES, Subject
from evaluate.measures.channels import Covariance, covariances
from evaluate.measures.forgetting import overlap
from evaluate.measures.spectra import effective_rank, spaced
from harness import ROOT, Started, assert_same_run, studies, wait_for
from populations import load
from populations.figures.chosen import named
from populations.reading.studied import study
from populations.report.data import gathered
from studies.depth import SOURCE_MEANS, SOURCE_SPEARMAN, means_of
from studies.relating import means, spearman

HERE = ("--executor", "serial")
CPU = Numerics("cpu", "fp32")


@pytest.fixture(scope="module")
def subject(tmp_path_factory: pytest.TempPathFactory) -> Subject:
    """An untrained network on digits."""
    torch.manual_seed(0)
    images = OnDevice(load_images(DataSpec("digits", train_size=200)), "cpu")
    return Subject(GRAPH, build(GRAPH).eval(), images, CPU, tmp_path_factory.mktemp("subject"))


def refused(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Assert that a study is refused in one line that begins so, and that it says nothing else."""
    assert cli.main(arguments) == 2
    error = capsys.readouterr().err
    assert (error.count("\n"), error.startswith("studies: error: ")) == (1, True)
    assert said in error


# Numbers with their spread


def test_a_rank_correlation_has_an_interval_and_n() -> None:
    x = pd.Series(range(20), dtype="float64")
    falling = spearman(x, -x)
    assert falling["spearman"] == pytest.approx(-1)
    assert falling["n"] == 20
    y = x.to_numpy().copy()
    np.random.default_rng(0).shuffle(y)
    loose = spearman(x, pd.Series(y))
    assert loose["low"] < loose["spearman"] < loose["high"]
    assert np.isnan(spearman(x, x * 0)["spearman"])
    assert np.isnan(spearman(x[:3], x[:3])["low"])


def test_means_have_n_and_spread() -> None:
    table = means(pd.DataFrame({"set": ["a", "a", "b"], "x": [1.0, 3.0, 5.0]}), ["set"], ["x"])
    assert list(table["n"]) == [2, 1]
    assert list(table["x"]) == [2, 5]
    assert table["x_sd"][0] == pytest.approx(2**0.5)
    assert np.isnan(table["x_sd"][1])


# Spectra


def test_a_covariance_in_batches_is_that_of_numpy_however_far_the_mean() -> None:
    vectors = torch.randn(300, 5, dtype=torch.float64) + 1e6
    found = Covariance.empty(5, torch.device("cpu"))
    for batch in vectors.split(64):
        found.add(batch)
    np.testing.assert_allclose(found.matrix, np.cov(vectors.numpy().T), rtol=1e-6)


def test_effective_rank_counts_equal_directions() -> None:
    assert effective_rank(torch.tensor([2.0, 2, 2, 0])) == pytest.approx(3)
    assert effective_rank(torch.tensor([7.0, 0])) == pytest.approx(1)
    assert effective_rank(torch.zeros(3)) == 0


def test_hooks_see_what_convolutions_compute_and_change_nothing(subject: Subject) -> None:
    images = subject.images.of("test")
    x, _ = images.batch(slice(0, 100))
    with torch.no_grad():
        before = subject.network(x)
        found = covariances(subject.network, images, CPU, range(100))
        after = subject.network(x)
        first = next(module for module in subject.network.modules() if isinstance(module, torch.nn.Conv2d))
        expected = np.cov(first(x).mean((2, 3), dtype=torch.float64).numpy().T)
    assert torch.equal(before, after)
    assert not any(module._forward_hooks for module in subject.network.modules())
    assert len(found) == 2
    np.testing.assert_allclose(found[0].matrix, expected, rtol=1e-9, atol=1e-12)


def test_two_samples_leave_one_large_value_and_rounding(subject: Subject) -> None:
    """What the source saw: a covariance of two samples has rank 1, whatever the network."""
    rng = np.random.default_rng(0)
    two, many = (MEASURES["spectra"](subject, {"samples": count}, rng).metrics for count in (2, 359))
    for layer in (1, 2):
        assert two[f"effective_rank[{layer}]"] == pytest.approx(1, abs=1e-6)
        assert two[f"above[{layer}]"] == 1
        assert two[f"median[{layer}]"] < 1e-12 * two[f"largest[{layer}]"]
        assert many[f"effective_rank[{layer}]"] > 1.05
        assert many[f"channels[{layer}]"] == 8


def test_samples_are_spread_over_all() -> None:
    assert spaced(10, 4) == [0, 3, 6, 9]
    assert spaced(3, 10) == [0, 1, 2]


def test_a_study_lands_as_tables_and_pictures(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["spectra", str(run), *HERE, "--top", "3"]) == 0
    said = capsys.readouterr().out
    found = load(run).study("spectra")
    assert set(found) == {"layers", "samples", "tenths"}
    layers = found["layers"]
    assert layers["id"].nunique() == 3
    assert (layers.groupby("id")["relative_depth"].max() == 1).all()
    assert (layers["effective_rank"] <= layers["channels"] + 1e-9).all()
    assert set(layers["samples"]) == {359}
    assert found["samples"]["samples"].min() == 2
    assert {path.suffix for path in (run / "studies" / "spectra").iterdir()} == {".csv", ".png", ".svg"}
    assert f"tables and pictures: {run / 'studies' / 'spectra'}" in said
    shown = gathered(named([run]))["studies"]
    assert [(one["run"], one["study"], one["picture"]) for one in shown] == [
        ("r", "spectra", "samples"),
        ("r", "spectra", "spectra"),
    ]
    assert all("</svg>" in one["svg"] for one in shown)
    measured = len(load(run).measures)
    assert cli.main(["spectra", str(run), *HERE, "--top", "3", "--format", "csv"]) == 0
    assert capsys.readouterr().out.startswith("function_set,tenth,n,")
    assert len(load(run).measures) == measured


def test_a_killed_study_goes_on_to_the_same_numbers(run: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    shutil.copytree(run, other / "r", symlinks=True)
    assert studies("spectra", "r", cwd=other).returncode == 0
    killed = Started(ROOT / "studies" / "__main__.py", ["spectra", "r", "--workers", "1"], run.parent)
    wait_for(run, "run.sqlite-wal", 1, killed)
    os.kill(killed.pid, signal.SIGKILL)
    killed.communicate()
    assert studies("spectra", "r", cwd=run.parent).returncode == 0
    assert_same_run(run, other / "r")
    pd.testing.assert_frame_equal(load(run).measures, load(other / "r").measures, check_exact=True)
    pd.testing.assert_frame_equal(
        load(run).study("spectra")["layers"], load(other / "r").study("spectra")["layers"], check_exact=True
    )


# Forgetting


def test_leading_directions_overlap_wholly_not_at_all_or_by_half() -> None:
    wide, other = torch.diag(torch.tensor([4.0, 4, 0, 0])).double(), torch.diag(torch.tensor([0, 0, 1.0, 1])).double()
    half = torch.diag(torch.tensor([1.0, 0, 2, 0])).double()
    for after, expected in ((wide, 1), (other, 0), (half, 0.5)):
        leading, shared = overlap(wide, after)
        assert leading == 2
        assert shared == pytest.approx(expected)


def test_networks_forget_what_they_learned_first(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ["forgetting", str(run), *HERE, "--top", "2", "--seeds", "2", "--epochs", "25"]
    assert cli.main(given) == 0
    assert "accuracy on the first classes, among themselves" in capsys.readouterr().out
    found = load(run).study("forgetting")
    trainings, layers = found["trainings"], found["layers"]
    assert len(trainings) == 4
    assert trainings.groupby("id")["first_before"].nunique().max() == 2  # seeds differ
    assert trainings["lost"].mean() > 0.1
    assert (trainings["lost"] == trainings["first_before"] - trainings["first_after"]).all()
    assert (trainings["first_after_own"] >= trainings["first_after"]).all()
    assert layers["overlap"].between(0, 1 + 1e-9).all()
    assert (layers["chance"] == layers["leading"] / layers["channels"]).all()
    known = len(load(run).measures)
    assert cli.main(given) == 0
    assert len(load(run).measures) == known


# Depth


def test_the_same_networks_are_trained_at_every_size(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small = ["--num-min-depth", "1", "--num-max-depth", "3", "--epochs", "1", "--precision", "fp32", *HERE]
    sets = ["--function-sets", "vgg,resnet", "--train-sizes", "60,30", "--networks", "4", "--val-size", "40"]
    given = ["depth", *sets, *small, "--run", str(tmp_path / "d")]
    assert cli.main(given) == 0
    tables = study(tmp_path / "d", "depth")
    networks = tables["networks"]
    assert list(tables["means"]["train_size"]) == [30, 60, 30, 60]
    for name in ("vgg", "resnet"):
        small_run, large = (load(tmp_path / "d" / f"{name}-{size}") for size in (30, 60))
        assert small_run.models[["id", "seed", "params"]].equals(large.models[["id", "seed", "params"]])
        assert len(networks[networks["function_set"] == name]) == 2 * small_run.models["same_as"].isna().sum()
        assert (tmp_path / "d" / "studies" / "depth" / f"{name}.png").exists()
    assert tables["means"]["source"].isna().all()  # which used other sizes
    before = {path: path.read_bytes() for path in (tmp_path / "d").glob("*/snapshots/*")}
    capsys.readouterr()
    assert cli.main([*given, "--format", "csv"]) == 0  # all is known
    assert capsys.readouterr().out.startswith("function_set,train_size,n,")
    assert {path: path.read_bytes() for path in before} == before


def test_the_source_is_quoted_to_the_digit() -> None:
    rows = [(name, size, 0.5) for name, size in SOURCE_MEANS]
    table = means_of(pd.DataFrame(rows, columns=["function_set", "train_size", "val_accuracy"]))
    assert list(table[table["function_set"] == "resnet"]["source"]) == [0.338, 0.424, 0.569, 0.644, 0.740]
    assert list(table[table["function_set"] == "densenet"]["source"]) == [0.300, 0.367, 0.517, 0.582, 0.675]
    assert SOURCE_SPEARMAN == {("resnet", 500): -0.52, ("resnet", 25000): -0.14}


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--networks", "0"), "--networks: 0; expected 1..100000"),
        (("--train-sizes", "many"), "--train-sizes: 'many'; expected numbers of images with commas"),
        (("--train-sizes", "100,2000"), "--train-size: 2000; digits has 1079 training images"),
        (("--function-sets", "vgg,resnt"), "resnt"),
        (("--epochs", "0"), "--epochs: 0; expected at least 1"),
    ],
)
def test_a_population_that_cannot_be_is_one_line(
    flags: tuple[str, ...], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    refused(["depth", "--run", str(tmp_path / "d"), *flags], said, capsys)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("spectra", "nowhere"), "nowhere: no such run folder"),
        (("spectra", "{run}", "--samples", "3"), "--samples: 3 are fewer than the 8 channels of a convolution of "),
        (("spectra", "{run}", "--samples", "360"), "--samples: 360; there are 359 test images"),
        (("spectra", "{run}", "--threshold", "2"), "--threshold: 2.0; expected a share"),
        (("spectra", "{run}", "--top", "0"), "--top: 0; expected at least 1"),
        (("spectra", "{run}", "--top", "1", "--models", "best"), "--top: 1 chooses models, and best is one"),
        (("spectra", "{run}", "--models", "x"), "model 'x' of "),
        (("forgetting", "{run}", "--split", "5"), "--split: '5'; expected two numbers of classes, such as 5+5"),
        (("forgetting", "{run}", "--split", "6+5"), "--split: 6+5 are 11 classes; the images have 10"),
        (("forgetting", "{run}", "--seeds", "0"), "--seeds: 0; expected 1..100000"),
        (("forgetting", "{run}", "--epochs", "0"), "--epochs: 0; expected at least 1"),
        (("spectre", "{run}"), "STUDY: unknown 'spectre' (did you mean 'spectra'?); one of spectra, corruptions, "),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(
    run: Path, arguments: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    refused([argument.format(run=run) for argument in arguments], said, capsys)
    assert not (run / "studies").exists()
    assert load(run).measures.empty


def test_weights_that_were_not_kept_are_one_line(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    best = load(run).identity("best")
    for path in run.glob("models/*/best.safetensors"):
        if path.parent.name != best:
            path.unlink()
    refused(["spectra", str(run), *HERE], f"models were not kept (--keep all); left: {best}; name those by", capsys)
    assert cli.main(["spectra", str(run), *HERE, "--models", "best"]) == 0


def test_a_model_that_cannot_be_measured_is_said_and_left_out(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    best, other = load(run).models.sort_values("val_accuracy")["id"].iloc[[-1, 0]]
    (run / "models" / other / "best.safetensors").write_bytes(b"spam")
    assert cli.main(["spectra", str(run), *HERE, "--models", best, other]) == 0
    assert "could not be measured, and are in no table: 1 of the models" in capsys.readouterr().out
    assert set(load(run).study("spectra")["layers"]["id"]) == {best}


def test_a_study_that_was_not_asked_is_one_line(run: Path) -> None:
    with pytest.raises(Exception, match=r"has no study 'spectra'; found none \(ask: python -m studies spectra"):
        load(run).study("spectra")
