"""Objectives of one's own: latency, and functions of the user's, measured of each network once it is trained."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import evolve
import populations.__main__ as cli
from evaluate.foreign import Foreign
from evaluate.job import Job, Train
from evaluate.worker import evaluate
from harness import TINY, program
from populations import load

CODE = """
import torch

def noise(network, images):
    "Share of the images that are classified wrongly under noise."
    with torch.no_grad():
        wrong = [(network(x + torch.randn_like(x)).argmax(1) != y).float() for x, y in images]
    return torch.cat(wrong).mean()

def fussy(network, images):
    if sum(weights.numel() for weights in network.parameters()) > 1000:
        raise ValueError("too large")
    return 1

def nothing(network, images):
    return float("nan")

def words(network, images):
    return "many"
"""
HERE = ("--executor", "serial")
NOISE, LATENCY = "python:cost.py:noise", "latency_ms"


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A search for accuracy, speed and calm under noise, by one worker."""
    cwd = tmp_path_factory.mktemp("judged")
    (cwd / "cost.py").write_text(CODE)
    goals = f"val_accuracy,{NOISE}:min,{LATENCY}"
    done = program(*TINY, "--generations", "2", "--objectives", goals, "--workers", "1", "--run", "r", cwd=cwd)
    assert done.returncode == 0, done.stderr
    return cwd / "r"


def test_what_was_measured_is_a_column_with_n_and_spread(judged: Path) -> None:
    models = load(judged).models
    assert len(models) == 6
    assert (models["status"] == "ok").all()
    assert models[NOISE].between(0, 1).all()
    for name in (LATENCY, "latency_ms_64"):
        assert (models[[name, f"{name}_iqr"]] > 0).all(axis=None)
        assert (models[f"{name}_n"] >= 20).all()
    assert (models["train_accuracy"] > 0).all()
    snapshot = (judged / "snapshots" / "gen_0001.csv").read_text()
    assert {NOISE, LATENCY} <= set(snapshot.splitlines()[0].split(","))


def test_code_gives_the_same_numbers_in_another_process(judged: Path, tmp_path: Path) -> None:
    goals = f"val_accuracy,python:{judged.parent / 'cost.py'}:noise:min"
    run = str(tmp_path / "r")
    assert evolve.main([*TINY, "--objectives", goals, "--generations", "1", *HERE, "--run", run]) == 0
    ours, theirs = (load(run).models[["id", "val_accuracy", NOISE]] for run in (judged, tmp_path / "r"))
    assert ours[:3].equals(theirs)  # what is bred from them depends on latency, too


def test_a_replay_repeats_the_score_and_says_what_it_does_not_repeat(
    judged: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (judged.parent / "cost.py").rename(judged.parent / "away.py")
    for command in ("replay", "measure"):  # what is asked of a run afterwards loads no code of the user's
        assert cli.main([command, str(judged), *(HERE if command == "measure" else ())]) == 0
    (judged.parent / "away.py").rename(judged.parent / "cost.py")
    said = capsys.readouterr().out
    assert "identical to the bit" in said
    assert f"once      {NOISE} " in said
    assert "not repeated" in said


def test_a_resume_heeds_the_file_whether_it_moved_or_changed(
    judged: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(judged, tmp_path / "r", symlinks=True)
    moved = tmp_path / "cost.py"
    moved.write_text(CODE)
    goals = f"val_accuracy,python:{moved}:noise:min,{LATENCY}"
    resume = ["--resume", str(tmp_path / "r"), "--objectives", goals, *HERE, "--generations"]
    assert evolve.main([*resume, "3"]) == 0
    assert len(load(tmp_path / "r").models) == 9
    moved.write_text(CODE + "# changed\n")
    before = (tmp_path / "r" / "config.json").read_bytes()
    capsys.readouterr()
    assert evolve.main([*resume, "4"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"the file of {NOISE} has changed, its digest is" in line
    assert (tmp_path / "r" / "config.json").read_bytes() == before
    assert set(json.loads(before)["code_digests"]) == {NOISE}


def test_code_that_raises_fails_its_network_with_a_reason(tmp_path: Path) -> None:
    (tmp_path / "cost.py").write_text(CODE)
    goals = f"val_accuracy,python:{tmp_path / 'cost.py'}:fussy"
    assert evolve.main([*TINY, "--objectives", goals, *HERE, "--run", str(tmp_path / "r")]) == 0
    run = load(tmp_path / "r")
    large = run.models["params"] > 1000
    assert 0 < large.sum() < len(large)
    assert set(run.models.loc[large, "status"]) == {"failed"}
    assert set(run.models.loc[~large, "status"]) == {"ok"}
    result = run.model(run.models.loc[large, "id"].iloc[0]).result
    assert result
    assert result.error == "ForeignCodeFailed: python:cost.py:fussy raised ValueError: too large"


def test_a_file_that_changes_during_a_search_stops_it(make_job: Callable[..., Job], tmp_path: Path) -> None:
    path = tmp_path / "cost.py"
    path.write_text(CODE)
    code = Foreign(str(path), "noise").sealed()
    path.write_text(CODE + "# changed\n")
    job = make_job()
    assert isinstance(job.task, Train)
    result = evaluate(replace(job, task=replace(job.task, goals=(code,))))
    assert result.status == "interrupted"
    assert str(result.error).startswith(f"{path}: has changed since the search began")


@pytest.mark.parametrize(
    ("goal", "said"),
    [
        ("python:none.py:noise", "none.py: cannot be read (No such file or directory)"),
        ("python:cost.py:nosie", "has no function 'nosie' (did you mean 'noise'?); it has noise, fussy"),
        ("python:broken.py:noise", "broken.py: is no Python ("),
        ("python:cost.py", "'python:cost.py'; expected python:FILE.py:function, and :min behind it"),
        ("python:cost.py:nothing", "python:cost.py:nothing returned nan; expected a finite number"),
        ("python:cost.py:words", "python:cost.py:words returned a str; expected a finite number"),
        (f"{NOISE},{NOISE}:min", f"{NOISE} is there twice"),
        ("latency", "did you mean 'latency_ms'?"),
    ],
)
def test_what_is_wrong_with_an_objective_is_one_line(
    goal: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("cost.py").write_text(CODE)
    Path("broken.py").write_text("def noise(:")
    assert evolve.main(["--objectives", goal, "--run", "r", "--executor", "serial"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("evolve.py: error: --objectives: ")
    assert said in line
    assert not Path("r").exists()
