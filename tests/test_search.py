"""Searches as their user runs them: real processes, real kills, real files."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from evaluate.files import kept_epochs
from harness import (
    DRAWN,
    ROOT,
    TINY,
    assert_same_run,
    everyone,
    kill_hard,
    killed_and_resumed,
    make_images,
    populations,
    program,
    start,
    wait_for,
    workers_of,
)
from populations import load


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished search with one worker."""
    cwd = tmp_path_factory.mktemp("reference")
    done = program(*TINY, "--workers", "1", "--run", "r", cwd=cwd)
    assert done.returncode == 0, done.stderr
    return cwd / "r"


def test_finished_run_has_every_model(reference: Path) -> None:
    models = load(reference).models
    assert len(models) == 9
    assert (models["status"] == "ok").all()
    own = models[models["same_as"].isna()]
    for identity in own["id"]:
        names = {path.name for path in (reference / "models" / identity).iterdir()}
        assert names == {"genome.json", "best.safetensors", "last.safetensors", "curve.csv"}
    best = models.sort_values(["val_accuracy", "params", "job"], ascending=[False, True, True]).iloc[0]
    assert (reference / "best").resolve().name == best["id"]


def test_two_workers_make_the_same_run(reference: Path, tmp_path: Path) -> None:
    done = program(*TINY, "--workers", "2", "--run", "r", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert_same_run(reference, tmp_path / "r")


@pytest.mark.parametrize(
    ("files", "count"),
    [
        ("models/*/genome.json", 1),
        ("models/*/last.safetensors", 2),
        ("snapshots/gen_0000.csv", 1),
        ("models/*/last.safetensors", 7),
    ],
)
def test_kill_9_of_the_driver_loses_nothing(reference: Path, tmp_path: Path, files: str, count: int) -> None:
    assert_same_run(reference, killed_and_resumed(TINY, tmp_path, files, count))


def test_an_interrupted_training_goes_on_from_its_last_epoch(tmp_path: Path) -> None:
    long = (*TINY, "--epochs", "40", "--generations", "1", "--population", "1", "--workers", "1")
    process = start(*long, "--run", "r", cwd=tmp_path)
    wait_for(tmp_path / "r", "models/*/curve.csv", 1, process)
    kill_hard(process)
    curve = next((tmp_path / "r").glob("models/*/curve.csv"))
    before = pd.read_csv(curve)
    assert 1 <= len(before) < 40
    assert program("--resume", "r", cwd=tmp_path).returncode == 0
    after = pd.read_csv(curve)
    assert len(after) == 40
    pd.testing.assert_frame_equal(after.iloc[: len(before)], before)  # seconds too: those were not trained again
    assert program(*long, "--run", "s", cwd=tmp_path).returncode == 0
    assert_same_run(tmp_path / "r", tmp_path / "s")


def test_kill_9_of_a_worker_costs_nothing(reference: Path, tmp_path: Path) -> None:
    process = start(*TINY, "--workers", "2", "--run", "r", cwd=tmp_path)
    wait_for(tmp_path / "r", "models/*/genome.json", 2, process)
    os.kill(workers_of(process)[0], signal.SIGKILL)
    output, _ = process.communicate(timeout=240)
    assert process.returncode == 0, output
    assert_same_run(reference, tmp_path / "r")


def test_workers_end_when_the_driver_is_killed(tmp_path: Path) -> None:
    process = start(*TINY, "--epochs", "500", "--run", "r", cwd=tmp_path)
    wait_for(tmp_path / "r", "models/*/curve.csv", 1, process)
    pids = workers_of(process)
    assert pids
    kill_hard(process)
    deadline = time.monotonic() + 60
    while any(Path(f"/proc/{pid}").exists() for pid in pids):
        assert time.monotonic() < deadline, "a worker outlived its driver"
        time.sleep(0.1)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_all_its_processes_checkpoints_and_resumes(
    reference: Path, tmp_path: Path, number: signal.Signals
) -> None:
    """As a system sends it to a control group: workers, in groups of their own, get it, too."""
    process = start(*TINY, "--workers", "1", "--run", "r", cwd=tmp_path)
    wait_for(tmp_path / "r", "models/*/curve.csv", 2, process)
    for pid in everyone(process):
        os.kill(pid, number)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "evolve.py --resume r\n" in output
    assert not any("lost" in busy for busy in load(tmp_path / "r").sessions["busy"])
    assert len(load(tmp_path / "r").models) < 9
    assert program("--resume", "r", cwd=tmp_path).returncode == 0
    assert_same_run(reference, tmp_path / "r")


def test_ctrl_c_twice_stops_at_once(tmp_path: Path) -> None:
    process = start(*TINY, "--epochs", "100000", "--train-size", "1000", "--run", "r", cwd=tmp_path)
    wait_for(tmp_path / "r", "models/*/curve.csv", 1, process)
    os.killpg(process.pid, signal.SIGSTOP)  # both signals are there before either is looked at
    os.killpg(process.pid, signal.SIGINT)
    os.killpg(process.pid, signal.SIGCONT)
    time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in output


def test_more_generations_extend_a_finished_run(tmp_path: Path) -> None:
    assert program(*TINY, "--generations", "2", "--run", "r", cwd=tmp_path).returncode == 0
    done = program("--resume", "r", "--generations", "3", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(load(tmp_path / "r").models) == 9
    assert load(tmp_path / "r").config["generations"] == 3  # so that a resume of the longer run needs no flag


def test_timeouts_do_not_end_a_search_and_can_be_retried(tmp_path: Path) -> None:
    slow = (*TINY, "--epochs", "20", "--timeout", "0.01")
    done = program(*slow, "--generations", "2", "--population", "2", "--offspring", "2", "--run", "r", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    models = load(tmp_path / "r").models
    assert set(models["status"]) == {"timeout"}
    assert models["val_accuracy"].isna().all()
    assert "no network finished ok" in done.stdout
    again = program("--resume", "r", "--retry-failed", "--timeout", "200", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert set(load(tmp_path / "r").models["status"]) == {"ok"}
    assert len(load(tmp_path / "r").models) == 4


def test_ctrl_c_ends_a_retry_gracefully(tmp_path: Path) -> None:
    long = (*TINY, "--epochs", "500", "--generations", "2", "--population", "2", "--offspring", "2")
    done = program(*long, "--timeout", "0.01", "--run", "r", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for path in tmp_path.glob("r/models/*/curve.csv"):  # of an epoch that was in time
        path.unlink()
    process = start("--resume", "r", "--retry-failed", "--timeout", "200", "--workers", "1", cwd=tmp_path)
    wait_for(tmp_path / "r", "models/*/curve.csv", 1, process)
    os.killpg(process.pid, signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert output.endswith("evolve.py --resume r\n")
    assert set(load(tmp_path / "r").models["status"].dropna()) == {"timeout"}
    assert len(list(tmp_path.glob("r/models/*/curve.csv"))) == 1


def test_diverged_networks_are_recorded(tmp_path: Path) -> None:
    one = ("--lr", "1e30", "--optimizer", "sgd", "--generations", "1", "--population", "1")
    done = program(*TINY, *one, "--run", "r", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert list(load(tmp_path / "r").models["status"]) == ["diverged"]


def test_keep_best_drops_other_weights_but_no_record(tmp_path: Path) -> None:
    done = program(*TINY, "--keep", "best", "--keep-epochs", "--run", "r", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    run = load(tmp_path / "r")
    assert len(run.models) == 9
    assert list(kept_epochs(tmp_path / "r" / "best")) == [0, 1, 2]
    kept = {path.parent.name for path in (tmp_path / "r").glob("models/*/*.safetensors")}
    assert kept == {(tmp_path / "r" / "best").resolve().name}
    other = next(name for name in run.models["id"] if name not in kept)
    shown = populations("replay", "r", other, cwd=tmp_path)
    assert shown.returncode == 2
    assert "--retrain" in shown.stderr


def test_second_driver_is_told_who_holds_the_run(tmp_path: Path) -> None:
    process = start(*TINY, "--epochs", "5000", "--run", "r", cwd=tmp_path)
    wait_for(tmp_path / "r", "models/*/curve.csv", 1, process)
    second = program("--resume", "r", cwd=tmp_path)
    kill_hard(process)
    assert second.returncode == 2
    assert f"process {process.pid}" in second.stderr
    assert second.stderr.count("\n") == 1


def test_full_disk_is_one_line_and_resumable(reference: Path, tmp_path: Path) -> None:
    """A 300 kB file system of its own fills up; the run, copied to a larger one, is resumed."""
    small = tmp_path / "small"
    small.mkdir()
    script = (
        f"mount -t tmpfs -o size=300k tmpfs {small} && cd {small} && "
        f"{sys.executable} {ROOT / 'evolve.py'} {' '.join(TINY)} --run r; code=$?; "
        f"cp -a {small}/r {tmp_path}/r; exit $code"
    )
    done = subprocess.run(["unshare", "-rm", "sh", "-c", script], capture_output=True, text=True, timeout=240)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "free some space" in done.stderr
    assert "Traceback" not in done.stderr
    again = program("--resume", "r", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert_same_run(reference, tmp_path / "r")


def test_resume_on_other_images_is_refused(tmp_path: Path) -> None:
    make_images(tmp_path / "images")
    images = ("--dataset", "folder:images", "--train-size", "60", "--generations", "1", "--population", "1")
    assert program(*TINY, *images, "--run", "r", cwd=tmp_path).returncode == 0
    (tmp_path / "images" / "dark" / "0.png").unlink()
    done = program("--resume", "r", "--generations", "2", cwd=tmp_path)
    assert done.returncode == 2
    assert "the dataset has changed" in done.stderr


def test_equal_graphs_are_trained_once_unless_asked(tmp_path: Path) -> None:
    one = ("--function-set", "conv_4_3", "--num-max-depth", "1", "--generations", "1", "--population", "3")
    assert program(*TINY, *one, "--run", "once", cwd=tmp_path).returncode == 0
    assert program(*TINY, *one, "--re-evaluate", "--run", "each", cwd=tmp_path).returncode == 0
    once, each = load(tmp_path / "once").models, load(tmp_path / "each").models
    assert list(once["same_as"].fillna("")) == ["", once["id"][0], once["id"][0]]
    assert once["val_accuracy"].nunique() == 1
    assert each["same_as"].isna().all()
    assert each["val_loss"].nunique() == 3


@pytest.mark.parametrize("name", ["one-plus-lambda", "random"])
def test_other_strategies_finish_and_repeat(tmp_path: Path, name: str) -> None:
    breeding = () if name == "random" else ("--offspring", "2")
    few = (*DRAWN, "--strategy", name, "--generations", "2", "--population", "2", *breeding)
    for run, workers in (("a", "1"), ("b", "2")):
        done = program(*few, "--workers", workers, "--run", run, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    assert_same_run(tmp_path / "a", tmp_path / "b")


def test_config_file_is_overridden_by_flags_and_recorded(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text(
        '[space]\nfunction_set = "conv_4_3"\nnum-min-depth = 1\nnum_max_depth = 2\n'
        "[evaluation]\nepochs = 1\ntrain-size = 100\n[evolution]\npopulation = 1\ngenerations = 1\n"
    )
    done = program("--config", "c.toml", "--num_max_depth", "3", "--run", "r", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    config = json.loads((tmp_path / "r" / "config.json").read_text())
    assert (config["num_max_depth"], config["epochs"], config["lr"]) == (3, 1, 0.03)
    environment = json.loads((tmp_path / "r" / "environment.json").read_text())
    assert environment["sessions"][0]["packages"]["torch"]


def test_dry_run_shows_a_population_and_writes_nothing(tmp_path: Path) -> None:
    done = program(*TINY, "--dry-run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "receptive_field" in done.stdout
    assert "9 networks, about" in done.stdout
    assert list(tmp_path.iterdir()) == []
