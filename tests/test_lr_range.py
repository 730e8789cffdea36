"""The learning-rate finder: its formulas, its batches, and the study."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

import studies.__main__ as cli
from conftest import TINY as GRAPH
from evaluate.data.images import OnDevice
from evaluate.data.splits import load as load_images
from evaluate.devices.numerics import Numerics
from evaluate.job import DataSpec, recipe
from evaluate.measures import MEASURES, Subject
from evaluate.measures.lr_range import smoothed, suggested
from evaluate.training.train import Setting, fresh_network
from populations import load

HERE = ("--executor", "serial")
CPU = Numerics("cpu", "fp32")
FAST = recipe("fast", precision="fp32")


def found(folder: Path, **changes: Any) -> dict[str, float]:
    """Return what the finder says of an untrained network on 200 digits."""
    images = OnDevice(load_images(DataSpec("digits", train_size=200)), "cpu")
    subject = Subject(GRAPH, nn.Identity(), images, CPU, folder)
    options = {"recipe": asdict(FAST), "seed": 5, "from": 1e-4, "to": 1.0, "batches": 12}
    return MEASURES["lr_range"](subject, options | changes, np.random.default_rng(0)).metrics


def test_the_mean_is_corrected_for_its_beginning() -> None:
    assert smoothed([2.5] * 9) == pytest.approx([2.5] * 9)
    assert smoothed([1, 3]) == pytest.approx([1, (0.09 * 1 + 0.1 * 3) / 0.19])


def test_suggestions_are_where_it_falls_fastest_and_a_tenth_of_the_least() -> None:
    """Of a loss that falls by a cosine between two rates, fastest half way, and then rises."""
    logs = np.linspace(-5, 1, 121)
    loss = np.where(logs < -3, 2, np.where(logs < -1, 1 + np.cos((logs + 3) * np.pi / 2), (logs + 1) ** 2))
    rates = (10**logs).tolist()
    expected = {"suggested_steepest": 10**-2, "suggested_tenth": 10**-2}
    assert suggested(rates, loss.tolist()) == pytest.approx(expected, rel=1e-6)
    assert suggested(rates, [*loss[:100], np.nan]) == pytest.approx(expected, rel=1e-6)  # it ended there
    assert suggested(rates, np.linspace(1, 9, 121).tolist()) == {}


def test_rates_rise_over_the_batches_with_which_a_training_begins(tmp_path: Path) -> None:
    metrics = found(tmp_path)
    rates = [metrics[f"rate[{number}]"] for number in range(1, 13)]
    assert rates == pytest.approx(np.geomspace(1e-4, 1, 12).tolist())
    network = fresh_network(GRAPH, Setting(FAST, 5, CPU)).train()
    images = OnDevice(load_images(DataSpec("digits", train_size=200)), "cpu").of("train")
    x, y = next(images.epoch(5, 0, 32, augment=False))
    first = functional.cross_entropy(network(x), y, label_smoothing=FAST.label_smoothing).item()
    assert metrics["loss[1]"] == pytest.approx(first, rel=1e-6)
    assert metrics["smoothed[1]"] == pytest.approx(first, rel=1e-6)
    assert (metrics["batches"], metrics["diverged"]) == (12, 0)
    assert found(tmp_path) == metrics
    assert found(tmp_path, seed=6)["loss[1]"] != metrics["loss[1]"]


def test_it_ends_where_the_loss_diverges(tmp_path: Path) -> None:
    metrics = found(tmp_path, **{"to": 1e9, "batches": 40})
    ended = int(metrics["batches"])
    assert metrics["diverged"] == 1
    assert ended < 40
    assert f"loss[{ended}]" in metrics
    assert f"loss[{ended + 1}]" not in metrics
    assert torch.isfinite(torch.tensor(metrics["loss[1]"]))


def test_a_memory_limit_is_kept_as_in_training(tmp_path: Path) -> None:
    with pytest.raises(MemoryError, match="--memory-limit: 1 MB; predicted are "):
        found(tmp_path, recipe=asdict(recipe("fast", batch_size=1024, memory_limit=1)))
    split = {"batch_size": 64, "ghost_batch": 8}
    whole, parts = (found(tmp_path, recipe=asdict(recipe("fast", **split, memory_limit=limit))) for limit in (0, 1))
    assert parts["loss[3]"] == pytest.approx(whole["loss[3]"], rel=1e-4)


def test_the_study_needs_no_weights_and_measures_once(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    best = load(run).identity("best")
    for path in run.glob("models/*/*.safetensors"):
        path.unlink()
    other = next(name for name in load(run).models["id"] if load(run).model(name).id != best)
    given = ["lr-range", str(run), best, other, *HERE, "--batches", "20", "--from", "1e-4", "--format", "csv"]
    assert cli.main(given) == 0
    assert capsys.readouterr().out.startswith("id,function_set,depth,conv_layers,val_accuracy,trained_at,suggested_")
    tables = load(run).study("lr-range")
    suggestions, batches = tables["suggestions"], tables["batches"]
    assert len(suggestions) == 2
    assert (suggestions["trained_at"] == 0.03).all()
    assert (batches.groupby("id")["batch"].max() <= 20).all()
    assert batches["rate"].min() == 1e-4
    assert (run / "studies" / "lr-range" / f"{best}.png").exists()
    measured = len(load(run).measures)
    assert cli.main(given) == 0
    assert len(load(run).measures) == measured


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("best", "--from", "1", "--to", "0.1"), "--from: 1.0 to --to 0.1; expected rates that rise"),
        (("best", "--from", "10"), "--from: 10.0 to --to 10.0; expected rates that rise"),
        (("best", "--from", "0"), "--from: 0.0; expected a rate above 0"),
        (("best", "--batches", "9"), "--batches: 9; expected at least 10"),
        (("x",), "model 'x' of "),
        ((), "the following arguments are required: ID"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(
    run: Path, flags: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["lr-range", str(run), *flags, *HERE]) == 2
    error = capsys.readouterr().err
    assert (error.count("\n"), said in error) == (1, True)
    assert not (run / "studies").exists()
    assert load(run).measures.empty
