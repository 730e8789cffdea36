"""The loss on a plane: its directions, its numbers, the way of a training, and the study that draws it."""

import json
import os
import shutil
import signal
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import studies.__main__ as cli
from cgp.errors import BadInput
from cgp.network import build
from conftest import TINY as GRAPH
from evaluate.data.images import OnDevice
from evaluate.data.splits import load as load_images
from evaluate.devices.numerics import Numerics
from evaluate.files import LAST, epoch_file, kept_epochs
from evaluate.job import DataSpec
from evaluate.measures import MEASURES, Subject
from evaluate.measures.landscape import axis, recompute_statistics
from evaluate.measures.planes import Plane, filters, random_plane, walk
from evaluate.measures.trajectory import trajectory
from evaluate.training.checkpoint import read_tensors, write_weights
from harness import ROOT, Started, assert_same_run, wait_for
from populations import load
from populations.plotting.drawn import drawn
from studies.surfaces import Surface, draw, page

HERE = ("--executor", "serial")
RANDOM = {"directions": "random", "seed": 3, "grid": 5, "reach": 2.0, "batch_norm": "running", "images": "validation"}
RNG = np.random.default_rng(0)


class Blocks(nn.Module):
    """Weights of every kind that a filter has: blocks in one tensor, filters of one number, biases."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.Parameter(torch.randn(3, 4, 5))
        self.single = nn.Conv2d(1, 4, 1)
        self.frozen = nn.Parameter(torch.randn(4, 4), requires_grad=False)


def on_digits(network: nn.Module, folder: Path) -> Subject:
    """Return a network to be measured on digits."""
    images = OnDevice(load_images(DataSpec("digits", train_size=200)), "cpu")
    return Subject(GRAPH, network.eval(), images, Numerics("cpu", "fp32"), folder, folder)


def inner(one: Plane, place: int = 0) -> float:
    """Return the inner product of the first direction with itself, or with the second."""
    return sum(float((one.first[name].double() * one[place][name].double()).sum()) for name in one.first)


# Directions


@pytest.mark.parametrize("network", [build(GRAPH), Blocks()], ids=["graph", "blocks"])
def test_random_directions_are_orthogonal_and_as_long_as_each_filter(network: nn.Module) -> None:
    plane, weights = random_plane(network, 1), dict(network.named_parameters())
    assert set(plane.first) == {n for n, p in weights.items() if p.ndim > 1 and p.requires_grad}
    for name in plane.first:
        own = filters(weights[name].detach()).norm(dim=1)
        assert torch.allclose(filters(plane.first[name]).norm(dim=1), own, rtol=1e-5)
        if filters(weights[name]).shape[1] > 1:
            assert torch.allclose(filters(plane.second[name]).norm(dim=1), own, rtol=1e-5)
        else:
            assert not plane.second[name].any()
    assert abs(inner(plane, 1)) < 1e-6 * inner(plane)
    again, other = random_plane(network, 1), random_plane(network, 2)
    assert all(torch.equal(plane.second[name], again.second[name]) for name in plane.second)
    assert not any(torch.equal(plane.first[name], other.first[name]) for name in plane.first)


def test_a_row_of_blocks_is_a_filter() -> None:
    assert filters(torch.zeros(3, 4, 5)).shape == (12, 5)
    assert filters(torch.zeros(8, 2, 3, 3)).shape == (8, 18)
    assert filters(torch.zeros(10, 64)).shape == (10, 64)


# The measure


def test_the_loss_of_a_linear_network_is_known_everywhere(tmp_path: Path) -> None:
    torch.manual_seed(0)
    linear = nn.Linear(64, 10)
    subject = on_digits(nn.Sequential(nn.Flatten(), linear), tmp_path)
    plane = random_plane(subject.network, 3)
    x, y = subject.images.of("validation").batch(slice(None))
    given, steps = x.flatten(1).double(), axis(5, 2.0)
    assert steps == [-2, -1, 0, 1, 2]
    for row in (0, 2):
        found = MEASURES["landscape"](subject, RANDOM | {"row": row}, RNG).metrics
        assert set(found) == {f"{name}[{row}, {column}]" for name in ("loss", "accuracy") for column in range(5)}
        for column, step in enumerate(steps):
            moved = linear.weight.detach() + step * plane.first["1.weight"] + steps[row] * plane.second["1.weight"]
            logits = given @ moved.double().T + linear.bias.detach().double()
            assert found[f"loss[{row}, {column}]"] == pytest.approx(float(functional.cross_entropy(logits, y)), 1e-5)


@pytest.mark.parametrize("batch_norm", ["running", "recomputed"])
def test_the_network_is_in_the_end_what_it_was(batch_norm: str, tmp_path: Path) -> None:
    subject = on_digits(build(GRAPH), tmp_path)
    before = {name: value.clone() for name, value in subject.network.state_dict().items()}
    options = RANDOM | {"row": 1, "batch_norm": batch_norm, "samples": 20}
    assert len(MEASURES["landscape"](subject, options, RNG).metrics) == 10
    after = subject.network.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    assert all(module.momentum == 0.3 for module in subject.network.modules() if isinstance(module, nn.BatchNorm2d))


def test_recomputed_statistics_follow_the_weights(tmp_path: Path) -> None:
    """Batch normalisation takes back how long a filter is, where its statistics are those of now."""
    torch.manual_seed(0)
    subject = on_digits(build(GRAPH), tmp_path)
    images = subject.images.of("train")
    x, _ = images.batch(slice(0, 50))
    plain, longer = list[Tensor](), list[Tensor]()
    for found, factor in ((plain, 1), (longer, 3)):
        for module in subject.network.modules():
            if isinstance(module, nn.Conv2d):
                module.weight.data *= factor
        recompute_statistics(subject.network, images, subject.numerics)
        found.append(subject.network(x).detach())
    assert torch.allclose(plain[0], longer[0], atol=1e-3)


# The way of a training


def keep(folder: Path, weights: list[Tensor]) -> None:
    """Write a linear layer of each of `weights` as an epoch, the last one as the end."""
    for epoch, weight in enumerate(weights):
        layer = nn.Linear(3, 2)
        layer.weight.data, layer.bias.data = weight, weight[:, 0].clone()
        last = epoch == len(weights) - 1
        write_weights(folder / (LAST if last else epoch_file(epoch)), layer, {"epoch": epoch})


def test_the_plane_of_three_checkpoints_holds_them(tmp_path: Path) -> None:
    torch.manual_seed(0)
    weights = [torch.randn(2, 3) for _ in range(3)]
    keep(tmp_path, weights)
    way = trajectory(tmp_path, ["weight", "bias"])
    assert way.epochs == [0, 1, 2]
    assert sum(way.explained) == pytest.approx(1)
    assert way.explained[0] > way.explained[1] > 0
    assert way.places.abs().amax(0).tolist() == pytest.approx([1, 1])
    assert way.places[-1].tolist() == [0, 0]
    assert way.off.abs().max() < 1e-6
    network = nn.Linear(3, 2)
    network.weight.data, network.bias.data = weights[-1].clone(), weights[-1][:, 0].clone()
    places = [(x, y) for x, y in way.places.tolist()]
    for weight, _ in zip(weights, walk(network, way.plane, places), strict=True):
        assert torch.allclose(network.weight, weight, atol=1e-5)
        assert torch.allclose(network.bias, weight[:, 0], atol=1e-5)


def test_more_checkpoints_lie_off_it_and_fewer_or_a_line_span_none(tmp_path: Path) -> None:
    torch.manual_seed(0)
    (tmp_path / "five").mkdir()
    (tmp_path / "line").mkdir()
    keep(tmp_path / "five", [torch.randn(2, 3) for _ in range(5)])
    way = trajectory(tmp_path / "five", ["weight"])
    assert 0 < sum(way.explained) < 1
    assert way.off[:-1].max() > 0.01
    distance = way.places * torch.tensor(way.lengths)
    assert float((distance[:, 0] * distance[:, 1]).sum()) == pytest.approx(0, abs=1e-9)
    keep(tmp_path / "line", [torch.ones(2, 3) * n for n in range(4)])
    with pytest.raises(BadInput, match="lie on a line"):
        trajectory(tmp_path / "line", ["weight"])
    for epoch in (0, 1):
        (tmp_path / "line" / epoch_file(epoch)).unlink()
    with pytest.raises(BadInput, match="keeps the weights of 2 epochs; expected at least 3"):
        trajectory(tmp_path / "line", ["weight"])


# The study


def test_a_plane_lands_as_tables_pictures_a_page_and_arrays(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    best, folder = load(run).identity("best"), run / "studies" / "landscape"
    given = ["landscape", str(run), *HERE, "--grid", "3", "--reach", "0.5"]
    assert cli.main(given) == 0
    assert "9 points to measure, each on " in capsys.readouterr().out
    tables = load(run).study("landscape")
    points, planes = tables["points"], tables["planes"]
    assert (len(points), list(points["id"].unique())) == (9, [best])
    (plane,) = planes.to_dict("records")
    model = load(run).models.set_index("id").loc[best]
    assert plane["centre"] == model["val_loss"]  # of the best weights, in the precision of the search
    assert (plane["batch_norm"], plane["around"], plane["n"]) == ("running", "best epoch", 9)
    stem = f"{best}-random-running"
    assert {path.name for path in folder.iterdir()} == {
        *("points.csv", "planes.csv"), *(f"{stem}{kind}" for kind in (".png", ".svg", ".html", ".npz"))
    }  # fmt: skip
    assert "running statistics" in (folder / f"{stem}.html").read_text()
    with np.load(folder / f"{stem}.npz") as arrays:
        np.testing.assert_array_equal(arrays["loss"].ravel(), points["loss"])
        assert arrays["x"].tolist() == [-0.5, 0, 0.5]
        assert json.loads(str(arrays["about"]))["seed"] == 0
    measured = len(load(run).measures)
    assert cli.main([*given, "--format", "csv"]) == 0
    assert capsys.readouterr().out.startswith("id,function_set,depth,conv_layers,val_accuracy,directions,seed,")
    assert len(load(run).measures) == measured


def test_the_way_of_a_training_is_drawn_where_its_epochs_were_kept(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["landscape", str(run), *HERE, "--directions", "trajectory", "--grid", "3", "--batch-norm", "recomputed"]
    assert cli.main(given) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "keeps the weights of 1 of its epochs, expected at least 3; search again with --keep-epochs: " in error
    assert load(run).measures.empty
    model = load(run).model("best")
    network = build(model.model)
    end, about = read_tensors(model.folder / LAST)
    network.load_state_dict({name: end[name] for name in network.state_dict()})
    torch.manual_seed(0)
    for epoch in (0, 1):
        network.get_parameter("head.weight").data += torch.randn_like(network.get_parameter("head.weight"))
        write_weights(model.folder / epoch_file(epoch), network, about | {"epoch": epoch})
    assert list(kept_epochs(model.folder)) == [0, 1]
    assert cli.main(given) == 0
    tables = load(run).study("landscape")
    assert list(tables["trajectory"]["epoch"]) == [0, 1, 2]
    assert tables["planes"]["explained_1"][0] + tables["planes"]["explained_2"][0] == pytest.approx(1)
    assert tables["planes"]["around"][0] == "last epoch"
    assert tables["points"]["x"].max() == 1.25


def test_a_killed_study_goes_on_to_the_same_plane_with_one_worker_or_two(run: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(run, other, symlinks=True)
    given = ("--grid", "4", "--samples", "50")
    assert cli.main(["landscape", str(other), *given, *HERE]) == 0
    killed = Started(ROOT / "studies" / "__main__.py", ["landscape", "r", *given, "--workers", "2"], run.parent)
    wait_for(run, "run.sqlite-wal", 1, killed)
    os.kill(killed.pid, signal.SIGKILL)
    killed.communicate()
    assert cli.main(["landscape", str(run), *given, *HERE]) == 0
    assert_same_run(run, other)
    pd.testing.assert_frame_equal(load(run).measures, load(other).measures, check_exact=True)
    for mine, theirs in zip(*(sorted((r / "studies" / "landscape").glob("*.*")) for r in (run, other)), strict=True):
        assert mine.name == theirs.name
        assert mine.read_bytes() == theirs.read_bytes()


def test_a_plane_without_a_number_is_drawn_blank() -> None:
    unknown, options = np.full((3, 3), np.nan), RANDOM | {"grid": 3}
    surface = Surface("x", options, {"loss": unknown, "accuracy": np.full((3, 3), 0.1)}, None)
    assert drawn(partial(draw, surface), 2, ".png").startswith(b"\x89PNG")
    assert b"validation loss" in page(surface)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--grid", "1"), "--grid: 1; expected at least 2 points of a side"),
        (("--reach", "0"), "--reach: 0.0; expected a number above 0"),
        (("--reach", "nan"), "--reach: nan; expected a number above 0"),
        (("--seed", "-1"), "--seed: -1; expected at least 0"),
        (("--seed", "1", "--directions", "trajectory"), "--seed: 1 has no effect on --directions trajectory"),
        (("--samples", "0"), "--samples: 0; there are "),
        (("x",), "model 'x' of "),
        (("--batch-norm", "frozen"), "--batch-norm: unknown 'frozen'; one of running, recomputed; see --help"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(
    run: Path, flags: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["landscape", str(run), *flags, *HERE]) == 2
    error = capsys.readouterr().err
    assert (error.count("\n"), said in error) == (1, True)
    assert not (run / "studies").exists()
    assert load(run).measures.empty


def test_weights_that_were_not_kept_are_one_line(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    best = load(run).identity("best")
    other = next(name for name in load(run).models["id"] if load(run).model(name).id != best)
    (load(run).model(other).folder / "best.safetensors").unlink()
    assert cli.main(["landscape", str(run), other, best, *HERE]) == 2
    error = capsys.readouterr().err
    assert f"left: {best}; name those by their ids, or search again with --keep all" in error
    assert error.count("\n") == 1
