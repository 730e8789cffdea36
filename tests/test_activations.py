"""What is recorded of activations: it changes nothing, goes on where a training does, and is shown by a study."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import evolve
import studies.__main__ as cli
from cgp.network import build
from conftest import TINY as GRAPH
from evaluate.data.images import OnDevice
from evaluate.data.splits import load as load_images
from evaluate.devices.numerics import Numerics
from evaluate.files import ACTIVATIONS, BEST
from evaluate.job import DataSpec, Job, Train, recipe
from evaluate.training.activations import BINS, NEAR_ZERO, REACH, Activations, layers_of, recorder, statistics
from evaluate.training.checkpoint import ModelFolder, read_tensors
from evaluate.worker import evaluate
from harness import TINY
from populations import load

MakeJob = Callable[..., Job]


def test_statistics_are_those_of_numpy_and_tails_are_kept() -> None:
    torch.manual_seed(0)
    values = torch.cat([3 * torch.randn(4, 5, 6).flatten(), torch.tensor([0.0, NEAR_ZERO, 1e6, -1e6])])
    moments, histogram = statistics(values)
    flat = values.double().numpy()
    expected = [flat.mean(), flat.std(), (np.abs(values.numpy()) <= np.float32(NEAR_ZERO)).mean()]
    np.testing.assert_allclose(moments, expected, rtol=1e-6)
    edges = np.linspace(-REACH, REACH, BINS + 1)
    counted, _ = np.histogram(values.clip(-REACH + 1e-3, REACH - 1e-3).numpy(), edges)
    np.testing.assert_array_equal(histogram, counted)
    assert histogram[[0, -1]].min() >= 1


def test_layers_are_nodes_and_head_of_a_graph_and_what_has_parameters_of_another_model() -> None:
    assert list(layers_of(build(GRAPH))) == ["1 conv_8_3", "2 maxpool", "3 conv_8_3", "head"]
    assert list(layers_of(nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1)))) == ["0", "2"]


def outcome(job: Job) -> tuple[list[dict[str, float]], dict[str, torch.Tensor]]:
    """Train and return the curve without times, and the best weights."""
    result = evaluate(job)
    assert result.status in ("ok", "paused"), result.error
    tensors, _ = read_tensors(Path(job.folder) / BEST)
    return [{name: value for name, value in row.items() if name != "seconds"} for row in result.curve], tensors


@pytest.mark.parametrize("changes", [{}, {"precision": "bf16"}], ids=["fp32", "bf16"])
def test_recording_changes_no_score_and_no_weight(make_job: MakeJob, changes: dict[str, str]) -> None:
    plain = make_job("plain", augment=True, **changes)
    recorded = make_job("recorded", augment=True, record="activations", **changes)
    (curve, weights), (same, others) = outcome(plain), outcome(recorded)
    assert curve == same
    assert all(torch.equal(weights[name], others[name]) for name in weights | others)
    found = Activations.read(Path(recorded.folder) / ACTIVATIONS)
    assert found.mean.shape == found.sd.shape == found.near_zero.shape == (len(curve), 4)
    assert list(found.epoch) == [row["epoch"] for row in curve]
    assert (found.histogram.sum(-1) == found.histogram[0].sum(-1)).all()
    assert not (Path(plain.folder) / ACTIVATIONS).exists()


def test_a_training_that_goes_on_ends_with_the_same_file(make_job: MakeJob) -> None:
    whole, halted = (make_job(name, epochs=3, record="activations") for name in ("whole", "halted"))
    outcome(whole)
    outcome(replace(halted, until=1))
    path, expected = Path(halted.folder) / ACTIVATIONS, (Path(whole.folder) / ACTIVATIONS).read_bytes()
    first = path.read_bytes()
    assert len(Activations.read(path).epoch) == 1
    shutil.copy(Path(whole.folder) / ACTIVATIONS, path)  # as after a kill between this file and the checkpoint
    outcome(halted)
    assert path.read_bytes() == expected != first


def test_where_the_file_is_damaged_later_epochs_are_recorded(make_job: MakeJob) -> None:
    job = make_job(epochs=2, record="activations")
    outcome(replace(job, until=1))
    (Path(job.folder) / ACTIVATIONS).write_bytes(b"spam")
    outcome(job)
    assert list(Activations.read(Path(job.folder) / ACTIVATIONS).epoch) == [2]
    assert "activations are recorded from epoch 2 on" in (Path(job.folder) / "log.txt").read_text()


def test_no_more_images_are_looked_at_than_are_scored_at_once(tmp_path: Path) -> None:
    images = OnDevice(load_images(DataSpec("digits", train_size=200)), "cpu").of("train")
    network, numerics = build(GRAPH), Numerics("cpu", "fp32", scored=3)
    recorder(network, images, None, numerics, ModelFolder(tmp_path, {})).note(1)
    assert Activations.read(tmp_path / ACTIVATIONS).histogram[0, -1].sum() == 3 * GRAPH.classes


def test_old_records_mean_what_they_meant() -> None:
    """What identifies a training says nothing of a field that is as it was before it was there."""
    about = Train(GRAPH, recipe("fast"), DataSpec("digits")).about()["recipe"]
    assert list(about)[-1] == "cuda_graphs"
    assert recipe("fast", record="activations").about()["record"] == "activations"


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished search that recorded."""
    folder = tmp_path_factory.mktemp("recorded") / "r"
    one = ("--generations", "1", "--executor", "serial", "--record", "activations")
    assert evolve.main([*TINY, *one, "--run", str(folder)]) == 0
    return folder


def test_the_study_lands_the_same_when_it_is_given_again(
    recorded: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run, folder = load(recorded), recorded / "studies" / "activations"
    assert cli.main(["activations", str(recorded), "--format", "csv"]) == 0
    assert capsys.readouterr().out.startswith("id,function_set,depth,")
    layers, networks = run.study("activations")["layers"], run.study("activations")["networks"]
    assert list(layers) == ["id", "layer", "name", "epoch", "mean", "sd", "near_zero"]
    assert set(networks["id"]) == set(run.models[run.models["same_as"].isna()]["id"])
    assert (networks["layers"] == networks["depth"] + 1).all()
    assert (layers.groupby(["id", "layer"])["epoch"].max() == 2).all()
    assert {path.stem for path in folder.glob("*.png")} == set(networks["id"])
    assert len(list(folder.glob("*.svg"))) == 1
    before = {path: path.read_bytes() for path in folder.glob("*.csv")}
    monkeypatch.setattr("studies.landing.is_installed", lambda: False)  # drawn once is enough
    assert cli.main(["activations", str(recorded)]) == 0
    assert {path: path.read_bytes() for path in folder.glob("*.csv")} == before


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("{run}",), "its trainings recorded no activations; search again with --record activations: "),
        (("{run}", "x"), "model 'x' of "),
        (("{run}", "--top", "0"), "--top: 0; expected at least 1"),
        (("{run}", "best", "--top", "1"), "--top: 1 chooses models, and best is one"),
        (("nowhere",), "nowhere: no such run folder"),
    ],
)
def test_bad_input_is_one_line(
    run: Path, arguments: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["activations", *[word.format(run=run) for word in arguments]]) == 2
    error = capsys.readouterr().err
    assert (error.count("\n"), error.startswith("studies: error: ")) == (1, True)
    assert said in error
    assert not (run / "studies").exists()


def test_a_damaged_file_is_one_line_that_names_it(
    recorded: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(recorded, tmp_path / "r", symlinks=True)
    path = tmp_path / "r" / "models" / load(recorded).identity("best") / ACTIVATIONS
    path.write_bytes(path.read_bytes()[:100])
    assert cli.main(["activations", str(tmp_path / "r"), "best"]) == 2
    error = capsys.readouterr().err
    assert (error.count("\n"), f"{path}: cannot be read as activations" in error) == (1, True)
