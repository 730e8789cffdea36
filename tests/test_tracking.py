"""Runs in TensorBoard and MLflow: all of a run, once, while it searches or afterwards."""

import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import populations.__main__ as cli
from harness import ROOT, TINY, populations, start, wait_for
from populations import load
from populations.tracking.follow import followed


def events(folder: Path) -> EventAccumulator:
    return EventAccumulator(str(folder)).Reload()


def curves(run: Path) -> dict[str, pd.DataFrame]:
    found = load(run).curves
    return {str(identity): rows for identity, rows in found.groupby("id")}


def assert_whole(out: Path, run: Path) -> None:
    """Each network has its whole curve, once, its settings and its scores; so has each generation."""
    found = load(run)
    models = found.models.set_index("id")
    assert {path.name for path in out.iterdir()} == {*models.index, "population"}
    for identity, rows in curves(run).items():
        board = events(out / identity)
        for name in ("val_accuracy", "train_loss"):
            points = board.Scalars(f"curve/{name}")
            assert [point.step for point in points] == list(rows["epoch"])
            assert [point.value for point in points] == pytest.approx(list(rows[name]), rel=1e-6)
        (score,) = board.Scalars("score/val_accuracy")
        assert score.value == pytest.approx(models["val_accuracy"][identity])
        settings = board.summary_metadata["_hparams_/session_start_info"].plugin_data.content
        assert all(word in settings for word in (b"depth", b"optimizer", b"onecycle", b"val_size"))
    best = events(out / "population").Scalars("population/best_so_far")
    assert [point.value for point in best] == pytest.approx(list(found.generations["best_so_far"]))


def test_a_search_is_followed_to_its_end_from_another_process(tmp_path: Path) -> None:
    process = start(*TINY, "--run", "r", cwd=tmp_path)
    wait_for(tmp_path / "r", "models/*/curve.csv", 1, process)
    done = populations("tensorboard", "r", "--follow", cwd=tmp_path)
    assert process.communicate()
    assert process.returncode == 0
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("r: 9 networks, 3 generations\nsee it: tensorboard --logdir ")
    assert_whole(tmp_path / "r" / "tensorboard", tmp_path / "r")
    assert cli.main(["tensorboard", str(tmp_path / "r")]) == 0  # again: nothing is there twice
    assert_whole(tmp_path / "r" / "tensorboard", tmp_path / "r")


def test_a_training_that_is_under_way_is_news(tmp_path: Path) -> None:
    arguments = (*TINY, "--epochs", "200", "--workers", "1", "--run", "r")
    process = start(*arguments, cwd=tmp_path)
    wait_for(tmp_path / "r", "models/*/curve.csv", 1, process)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    (news,) = followed(tmp_path / "r", follow=True)  # nobody drives it any more
    (begun,) = (network for network in news.networks if network.curve)
    assert begun.place is None
    assert begun.row["status"] == "open"
    assert [row["epoch"] for row in begun.curve] == list(range(1, len(begun.curve) + 1))


def test_mlflow_has_a_run_of_each_network_once(run: Path, tmp_path: Path) -> None:
    command = ("mlflow", "r", "--uri", f"sqlite:///{tmp_path}/runs.db", "--experiment", "mine")
    twice = f"from populations.__main__ import main\nassert (main({command}), main({command})) == (0, 0)"
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", twice], cwd=tmp_path, env=environment, check=True)
    found = load(run)
    with sqlite3.connect(tmp_path / "runs.db") as db:
        (names,) = zip(*db.execute("select name from experiments where name <> 'Default'"), strict=True)
        runs = pd.read_sql("select run_uuid, name, status, lifecycle_stage from runs", db)
        points = pd.read_sql("select run_uuid, key, value, step from metrics", db)
        params = pd.read_sql("select run_uuid, key, value from params", db)
        tags = pd.read_sql("select run_uuid, key, value from tags", db)
    db.close()
    assert names == ("mine",)
    assert sorted(runs["name"]) == sorted([*found.models["id"], "r"])
    assert set(runs["status"]) == {"FINISHED"}
    by_name = runs.set_index("name")["run_uuid"]
    parents = tags[tags["key"] == "mlflow.parentRunId"]
    assert set(parents["value"]) == {by_name["r"]}
    assert len(parents) == len(found.models)
    depths = found.models.set_index("id")["depth"]
    for identity, rows in curves(run).items():
        own = points[(points["run_uuid"] == by_name[identity]) & (points["key"] == "val_accuracy")]
        assert list(own.sort_values("step")["value"]) == list(rows["val_accuracy"])
        settings = params[params["run_uuid"] == by_name[identity]].set_index("key")["value"]
        assert settings["depth"] == str(depths[identity])
        assert settings["optimizer"] == found.config["optimizer"]
    best = points[(points["run_uuid"] == by_name["r"]) & (points["key"] == "population/best_so_far")]
    assert list(best.sort_values("step")["value"]) == list(found.generations["best_so_far"])


@pytest.mark.parametrize("words", [["tensorboard"], ["mlflow", "--uri", "sqlite:///x.db"]])
def test_without_the_extra_one_line_says_what_to_install(
    words: list[str], searched: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli, "find_spec", lambda _: None)
    assert cli.main([words[0], str(searched), *words[1:]]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith(f"{words[0]} is not installed here; install it: pip install 'cgp-evolve[{words[0]}]'")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nowhere"], "nowhere: no such run folder"),
        (["RUN", "--out", "no/where"], "--out: no/where: there is no folder no; make it first"),
    ],
)
def test_bad_input_is_one_line(
    words: list[str], said: str, searched: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["tensorboard", *(str(searched) if word == "RUN" else word for word in words)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"populations: error: {said}")


def test_a_server_of_no_known_kind_is_one_line(searched: Path, tmp_path: Path) -> None:
    done = populations("mlflow", searched, "--uri", "nonsense://x", cwd=tmp_path)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("populations: error: --uri nonsense://x: ")
    assert list(tmp_path.iterdir()) == []
