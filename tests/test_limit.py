"""Residual MLPs as runs: trained, resumed, retried and replayed as graphs are, on classes and on values."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import evolve
import populations.__main__ as cli
from cgp.layers import Shape
from cgp.network import build
from cgp.residual_mlp import ResidualMLP
from evaluate.data.images import OnDevice
from evaluate.data.splits import load as load_images
from evaluate.devices.numerics import Numerics
from evaluate.job import RECIPES, DataSpec, recipe
from evaluate.training.checkpoint import ModelFolder
from evaluate.training.criterion import CrossEntropy, Power
from evaluate.training.limit import path_of
from evaluate.training.train import Setting, fresh_network, train
from evaluate.variation import variation_norm
from harness import assert_same_run, killed_and_resumed
from populations import Run, load

FAMILY = ("--family", "residual-mlp", "--mlp-depths", "5,12", "--mlp-width", "4")
SIN = (*FAMILY, "--dataset", "sin:n=100")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Two residual MLPs that learned a sine."""
    folder = tmp_path_factory.mktemp("limit") / "r"
    assert evolve.main([*SIN, "--epochs", "6", "--executor", "serial", "--run", str(folder)]) == 0
    return load(folder)


# Data


def test_a_sine_is_that_of_the_source() -> None:
    data = load_images(DataSpec("sin:n=200,c=0.5"))
    reach = np.sqrt(np.exp(-4 * 0.5) / (8 * 200))
    x = data.images[:, 0, 0, 0].astype(np.float64)
    assert abs(x).max() <= reach * (1 + 1e-6)
    assert len(np.unique(x)) == 200
    np.testing.assert_allclose(data.labels[:, 0], np.sin(np.pi * x / reach), atol=1e-5)
    assert sorted(np.concatenate(list(data.splits.values()))) == list(range(200))
    constant = load_images(DataSpec("constant:c=-2"))
    assert set(constant.labels[:, 0]) == {-2}
    inputs, values = OnDevice(data, "cpu").of("train").batch(slice(0, 3))
    assert (inputs.shape, values.shape) == ((3, 1, 1, 1), (3, 1))
    np.testing.assert_array_equal(
        inputs[:, 0, 0, 0], data.images[data.splits["train"][:3], 0, 0, 0]
    )  # not normalised


def test_slopes_are_gradients_and_uniform_classes_have_nine_tenths() -> None:
    outputs = torch.randn(7, 4, dtype=torch.float64, requires_grad=True)
    for criterion, y in ((CrossEntropy(0.1), torch.randint(0, 4, (7,))), (Power(3), torch.randn(7, 4))):
        (gradient,) = torch.autograd.grad(criterion.loss(outputs, y, "sum"), outputs)
        torch.testing.assert_close(criterion.slopes(outputs.detach(), y), gradient)
    omega = CrossEntropy().slopes(torch.zeros(5, 10), torch.arange(5)).square().sum(1).mean()
    assert omega.item() == pytest.approx(0.9)


# Training


def test_an_epoch_is_one_step_down_the_gradient_at_a_rate_that_follows_from_the_weights(tmp_path: Path) -> None:
    model = ResidualMLP(6, 3, Shape(1, 1, 1), 1, activation="relu")
    images = OnDevice(load_images(DataSpec("constant:n=60,c=3")), "cpu").of("train")
    setting = Setting(recipe("limit", epochs=2, lr=0.5), 1, Numerics("cpu", "fp32"))
    network = fresh_network(model, setting)
    curve = train(network, images, None, setting, ModelFolder(tmp_path, {}))
    again = fresh_network(model, setting)
    x, y = images.batch(slice(None))
    for row, before in zip(curve, [None, curve[0]], strict=True):
        rate = 0.5 * 10 / before["variation_2"] ** 2 if before else 0.5
        assert row["lr"] == pytest.approx(rate)
        loss = (again(x) - y).square().mean()
        assert row["train_loss"] == pytest.approx(loss.item(), rel=1e-5)
        assert row["omega"] == pytest.approx(4 * loss.item(), rel=1e-5)
        (gradient,) = torch.autograd.grad(loss, again.get_parameter("weights"))
        with torch.no_grad():
            again.get_parameter("weights").sub_(rate * gradient)
        assert row["variation_1.5"] == pytest.approx(variation_norm(path_of(again), 1.5), rel=1e-4)  # type: ignore[arg-type]
    state = build(model).state_dict()
    assert set(network.state_dict()) == set(state) == {"weights", "read_in", "read_out"}
    assert torch.equal(network.state_dict()["read_in"], again.state_dict()["read_in"])  # they stay as they are


def test_a_killed_run_goes_on_to_the_same_bit(run: Run, tmp_path: Path) -> None:
    arguments = (*SIN, "--epochs", "6")
    assert_same_run(killed_and_resumed(arguments, tmp_path, "models/*/last.safetensors", 1), run.folder)


def test_a_run_is_told_and_replayed_by_its_loss(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    models = run.models
    assert list(models["depth"]) == [5, 12]
    assert list(models["params"]) == [5 * 16, 12 * 16]
    assert models["val_loss"].notna().all()
    assert models["val_accuracy"].isna().all()
    assert run.config["recipe"] == "limit"
    assert run.model("best").scored.metrics["val_loss"] == models["val_loss"].min()
    assert cli.main(["replay", str(run.folder), "best", "--retrain", "--test"]) == 0
    said = capsys.readouterr().out
    assert "identical to the bit" in said
    assert "weights   equal" in said
    assert "TEST loss" in said
    assert cli.main(["show", str(run.folder)]) == 0
    assert "val_loss" in capsys.readouterr().out


def test_the_recipe_takes_all_images_at_once() -> None:
    assert RECIPES["limit"].batch(1234) == 1234
    assert RECIPES["fast"].batch(1234) == 32
    assert RECIPES["fast"].batch(20) == 20


# What is refused

_MLP = ("--family", "residual-mlp")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["--dataset", "sin"],
            "--dataset sin: a regression, which --family residual-mlp alone learns; choose images",
        ),
        ([*_MLP, "--dataset", "sin:k=3"], "no option 'k'; expected n=VALUE, c=VALUE, p=VALUE"),
        ([*_MLP, "--dataset", "sin:n=few"], "n=few; expected a number"),
        ([*_MLP, "--dataset", "constant:p=0.5"], "p=0.5; expected 1..100"),
        ([*_MLP, "--dataset", "digits:n=3"], "--dataset: unknown 'digits:n=3'"),
        ([*_MLP, "--dataset", "sin", "--objectives", "val_accuracy"], "val_accuracy is of classes, and sin a regr"),
        ([*_MLP, "--mlp-depths", "10,many"], "--mlp-depths: '10,many'; expected different numbers, 1..20,000"),
        ([*_MLP, "--mlp-alpha", "2"], "alpha 2.0, beta -1.0, gamma 1.0; expected 0..1"),
        ([*_MLP, "--mlp-block", "skp"], "block 'skp' (did you mean 'skip'?)"),
        ([*_MLP, "--mlp-width", "0"], "--mlp-width: 0; expected 1..10000"),
        ([*_MLP, "--dropout", "0.5"], "--dropout: has no effect on --family residual-mlp, whose head is not trained"),
        ([*_MLP, "--checkpoint-activations"], "--checkpoint-activations: has no effect on --family residual-mlp"),
        ([*_MLP, "--norm-epsilon", "0.1"], "--norm-epsilon: has no effect on --family residual-mlp"),
        ([*_MLP, "--init", "dirac"], "--init: dirac has no effect on --family residual-mlp; expected --mlp-begins"),
        ([*_MLP, "--record", "activations"], "--record: activations are of layers, and --family residual-mlp holds"),
        ([*_MLP, "--dataset", "sin", "--preprocess", "gcn"], "--preprocess: gcn is of images, and sin a regression"),
        ([*_MLP, "--ghost-batch", "1"], "--ghost-batch: 1 images; expected groups of equal size of at least 2\n"),
        (["--mlp-width", "4"], "--mlp-width: 4 goes with --family residual-mlp; leave it out"),
        (["--schedule", "variation"], "--schedule variation: goes with --family residual-mlp"),
    ],
)
def test_one_line(arguments: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert evolve.main([*arguments, "--run", str(tmp_path / "r")]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert said in error
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize(
    "command", ["explain RUN best", "draw RUN best --out x.svg", "export RUN best --format source --out x.py"]
)
def test_commands_of_graphs_say_what_it_is(command: str, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(command.replace("RUN", str(run.folder)).split()) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "ResidualMLP" in error


def test_figures_of_accuracies_refuse_a_regression(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["report", str(run.folder), "--out", "x.html"]) == 2
    assert "a regression, without the accuracies that figures are of" in capsys.readouterr().err


def test_tables_show_the_loss_of_a_regression(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    best = run.models["val_loss"].min()
    assert cli.main(["list", str(run.folder.parent), "--format", "json"]) == 0
    (listed,) = json.loads(capsys.readouterr().out)
    assert (listed["best_val_loss"], "best_val_accuracy" in listed) == (best, False)
    assert cli.main(["compare", str(run.folder), "--format", "json"]) == 0
    (compared,) = json.loads(capsys.readouterr().out)
    assert (compared["n"], compared["best"]) == (2, best)


def test_no_report_is_recommended_of_a_regression(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert evolve.main(["--resume", str(run.folder)]) == 0
    said = capsys.readouterr().out
    assert "best: " in said
    assert f"replay {run.folder} best --test" in said
    assert "report" not in said


@pytest.mark.parametrize("name", ["corruptions", "robust"])
def test_measures_of_classes_refuse_a_regression(name: str, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    before = len(load(run.folder).measures)
    assert cli.main(["measure", str(run.folder), "best", "--measure", name]) == 2
    said = capsys.readouterr().err
    assert f"--measure: {name} is of classes, and {run.folder} a regression; one of clean, latency, " in said
    assert said.count("\n") == 1
    assert len(load(run.folder).measures) == before
