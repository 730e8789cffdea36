"""`replay --recipe`: a model trained once more, on training and validation images, as a job of the run's pool."""

import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from cgp.errors import BadInput
from evaluate.data.images import Images
from evaluate.data.splits import load as load_data
from evaluate.job import Job, Train, recipe
from evaluate.training import trained
from evaluate.training.train import train
from evaluate.worker import evaluate
from harness import ROOT, Started, assert_same_run, facts, populations, program, wait_for
from populations import Run, load
from populations.commands.polish import polish
from populations.reading.replay import recorded_job

POLISH = ("best", "--recipe", "retrain", "--epochs", "2")


@pytest.fixture(scope="module")
def polished(searched: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A run whose best model is polished, and what the command said."""
    run = tmp_path_factory.mktemp("polished") / "r"
    shutil.copytree(searched, run, symlinks=True)
    return run, said(run, *POLISH)


def replay(run: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    return populations("replay", run.name, *flags, cwd=run.parent)


def said(run: Path, *flags: str) -> str:
    done = replay(run, *flags)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_what_it_found_is_said_and_a_table(polished: tuple[Path, str]) -> None:
    run, out = polished
    (row,) = load(run).polished.to_dict("records")
    assert list(row) == ["id", "recipe", "epochs", "test_accuracy", "test_loss", "polished"]
    assert (row["id"], row["recipe"], row["epochs"]) == (load(run).identity("best"), "retrain", 2)
    assert "training from scratch on train+validation: recipe retrain, 2 epochs\n" in out
    assert f"TEST accuracy {row['test_accuracy']:.4f}, loss {row['test_loss']:.4f} " in out
    assert f"weights: r/models/{row['polished']}\n" in out
    assert (run / "models" / row["polished"] / "best.safetensors").exists()


def test_the_search_stays_as_it_was(searched: Path, polished: tuple[Path, str]) -> None:
    before, after = load(searched), load(polished[0])
    first = facts(after)[after.models["stage"] == "search"]
    pd.testing.assert_frame_equal(first[facts(before).columns], facts(before), check_exact=True)
    row = after.models[after.models["stage"] == "polish"].iloc[0]
    assert (row["status"], row["epochs"], pd.isna(row["val_accuracy"])) == ("ok", 2, True)
    assert row["test_accuracy"] == after.polished["test_accuracy"][0]
    assert after.identity("best") == before.identity("best")
    assert after.config == before.config


def test_it_is_replayed_and_trained_again_to_the_bit(polished: tuple[Path, str]) -> None:
    run, _ = polished
    identity = load(run).polished["polished"][0]
    for flags in ((), ("--retrain",)):
        out = said(run, identity, *flags)
        assert "recorded  test_accuracy 0." in out
        assert "identical to the bit" in out
        assert ("weights   equal" in out) == bool(flags)


def test_what_is_there_is_not_trained_again(polished: tuple[Path, str]) -> None:
    run, once = polished
    path = next(run.glob(f"models/{load(run).polished['polished'][0]}/last.safetensors"))
    before = path.stat().st_mtime_ns
    assert said(run, *POLISH).splitlines()[-2:] == once.splitlines()[-2:]
    assert path.stat().st_mtime_ns == before
    assert len(load(run).polished) == 1


def test_other_epochs_are_another_polish(run: Path) -> None:
    for epochs in ("1", "2", "1"):
        said(run, "best", "--recipe", "retrain", "--epochs", epochs)
    found = load(run).polished
    assert list(found["epochs"]) == [1, 2]
    assert found["polished"].nunique() == 2


@pytest.mark.parametrize("epoch", [1, 7])
def test_one_that_was_killed_goes_on_to_the_same_records(run: Path, tmp_path: Path, epoch: int) -> None:
    other = tmp_path / "other"
    other.mkdir()
    shutil.copytree(run, other / "r", symlinks=True)
    flags = ("best", "--recipe", "retrain", "--epochs", "12")
    said(other / "r", *flags)
    known = set(run.glob("models/*/curve.csv"))
    killed = Started(ROOT / "populations" / "__main__.py", ["replay", "r", *flags], run.parent)
    wait_for(run, "models/*/curve.csv", len(known) + 1, killed)
    (curve,) = set(run.glob("models/*/curve.csv")) - known
    while curve.read_text().count("\n") <= epoch:
        assert killed.poll() is None
    os.kill(killed.pid, signal.SIGKILL)
    killed.communicate()
    said(run, *flags)
    assert_same_run(run, other / "r")


def test_it_learns_from_train_and_validation_and_from_no_test_image(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learned = list[list[int]]()

    def watched(network: nn.Module, images: Images, validation: Images | None, *others: Any) -> Any:
        assert validation is None
        learned.append(images.labels[images.rows].tolist())
        return train(network, images, validation, *others)

    monkeypatch.setattr(trained, "train", watched)
    asked = recorded_job(load(run), load(run).model("best")).train
    task = Train(asked.model, recipe("retrain", epochs=1, precision="fp32"), asked.data, polish=True)
    result = evaluate(Job(0, "polished", task, 1, str(tmp_path), stage="polish"))
    assert set(result.metrics) == {"test_accuracy", "test_loss"}
    data = load_data(asked.data)
    assert learned == [data.labels[np.concatenate([data.splits["train"], data.splits["validation"]])].tolist()]


def test_a_compiled_one_keeps_the_plain_network(tmp_path: Path) -> None:
    one, run = (
        ("--num-max-depth", "1", "--population", "1", "--generations", "1", "--train-size", "120"),
        tmp_path / "r",
    )
    made = program("--function-set", "conv_4_3", "--num-min-depth", "1", *one, "--run", "r", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    said(run, "--recipe", "retrain", "--epochs", "1", "--compile")
    done = load(run)
    model = done.model(done.polished["polished"][0])
    assert model.result
    assert model.result.numerics["compiled"] is True
    assert load_file(model.folder / "best.safetensors").keys() == load_file(run / "best" / "best.safetensors").keys()


def test_a_compiled_one_needs_a_compiler(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    done = replay(run, "--recipe", "retrain", "--compile")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "--compile: found no C++ compiler 'no-such-compiler'" in done.stderr
    assert load(run).polished.empty


def test_one_that_diverges_says_so_and_is_tried_again_when_asked_again(run: Path) -> None:
    wild = recipe("retrain", epochs=1, lr=1e30)
    for number in (0, 1):
        opened = load(run)
        with pytest.raises(BadInput, match=r"by retrain ended diverged: Diverged: .*loss is not finite"):
            polish(opened, opened.model("best"), wild, False, ["--executor", "serial"])
        found = load(run)
        tried = found.models[found.models["stage"] == "polish"]
        assert (list(tried["job"])[-1], set(tried["status"])) == (number, {"diverged"})
        assert found.polished.empty


def test_the_deadline_of_the_runs_trainings_is_not_for_it(run: Path) -> None:
    done = program("--resume", "r", "--timeout", "0.05", cwd=run.parent)
    assert done.returncode == 0, done.stderr
    said(run, *POLISH)


def test_its_weights_are_those_of_the_last_epoch(polished: tuple[Path, str]) -> None:
    folder = polished[0] / "models" / load(polished[0]).polished["polished"][0]
    best, last = (load_file(folder / f"{name}.safetensors") for name in ("best", "last"))
    assert all(torch.equal(tensor, last[name]) for name, tensor in best.items())


def test_it_goes_where_it_is_asked_to_and_the_run_keeps_its_own_place(run: Path) -> None:
    said(run, *POLISH, "--executor", "serial")
    assert load(run).config["executor"] == "local"
    assert list(load(run).sessions["slots"])[-1] == 1
    done = replay(run, "best", "--devices", "cpu")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "--devices: cpu goes with --recipe NAME; a replay computes in its own process" in done.stderr


def test_a_number_that_another_command_has_taken_meanwhile_is_not_taken_for_ones_own(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two commands that look for a free number before either has written its job."""
    looked = load(run)
    said(run, *POLISH)
    monkeypatch.setattr(Run, "next_number", lambda self, stage: 0)
    other = recipe("retrain", epochs=1)
    with pytest.raises(BadInput, match="job 0 of polish was given to another command meanwhile; repeat yours"):
        polish(looked, looked.model("best"), other, False, ["--executor", "serial"])
    assert list(load(run).polished["epochs"]) == [2]
