"""Images may lie elsewhere than when a run began, where they are the same."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import evolve
import populations.__main__ as cli
from cgp.graph import Graph
from cgp.layers import Shape
from evaluate.job import DataSpec, Job
from evaluate.worker import evaluate
from harness import TINY, facts, make_images, program
from populations import load
from test_data import idx, write_mnist

SMALL = (
    *(*TINY, "--generations", "1", "--population", "1", "--offspring", "1", "--train-size", "20"),
    *("--workers", "1", "--run", "r"),
)


def refused(*arguments: str | Path, capsys: pytest.CaptureFixture[str]) -> str:
    """Return the one line of a search or a replay that was not begun."""
    words = [str(argument) for argument in arguments]
    assert (cli.main(words) if words[0] == "replay" else evolve.main(words)) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    return err


def contents(run: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}


def write_numerals(folder: Path, other: bool) -> None:
    """Write a small MNIST; `other` is for other images, which have other labels."""
    write_mnist(folder, "MNIST")
    if other:
        labels = folder / "MNIST" / "raw" / "train-labels-idx1-ubyte"
        labels.write_bytes(idx((np.arange(60)[::-1] % 10).astype(np.uint8)))


def write_shades(folder: Path, other: bool) -> None:
    """Write two folders of images; `other` is for other images, of which one is gone."""
    make_images(folder)
    if other:
        (folder / "dark" / "0.png").unlink()


@pytest.mark.parametrize(
    ("flag", "prefix", "write", "asked", "missing"),
    [
        ("data_dir", "", write_numerals, "--dataset mnist --data-dir images", "its files are not in --data-dir"),
        ("dataset", "folder:", write_shades, "--dataset folder:images", "no such folder"),
    ],
    ids=["data-dir", "folder"],
)
def test_a_run_goes_on_and_replays_where_its_images_are_now(
    flag: str, prefix: str, write: Callable[[Path, bool], None], asked: str, missing: str,
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    run = tmp_path / "r"
    write(tmp_path / "images", False)
    write(tmp_path / "other", True)
    done = program(*SMALL, *asked.split(), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (tmp_path / "images").rename(tmp_path / "moved")
    given = f"--{flag.replace('_', '-')}"

    before = contents(run)
    for words in (("--resume", "r", "--generations", "2"), ("replay", "r", "--test")):
        assert missing in refused(*words, capsys=capsys)
        line = refused(*words, given, f"{prefix}other", capsys=capsys)
        assert "the dataset has changed, its fingerprint is " in line
        assert "say where they are now (--data-dir, --dataset folder:PATH)" in line
        assert "differs from the run's" in refused(*words, "--dataset", "digits", capsys=capsys)
    if flag == "dataset":
        assert "has no effect on folder:" in refused("replay", "r", "--data-dir", "moved", capsys=capsys)
    assert contents(run) == before

    assert cli.main(["replay", "r", given, f"{prefix}moved"]) == 0
    assert "identical to the bit" in capsys.readouterr().out
    first = facts(load(run)).drop(columns="dataset")
    done = program("--resume", "r", given, f"{prefix}moved", "--generations", "2", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    after = facts(load(run)).drop(columns="dataset")
    assert len(after) == 2
    assert after[:1].equals(first)
    assert json.loads((run / "config.json").read_text())[flag] == f"{prefix}{tmp_path / 'moved'}"
    assert cli.main(["replay", "r"]) == 0  # the run knows now


def test_a_training_goes_on_from_its_checkpoint_where_a_folder_of_images_was_moved(
    make_job: Callable[..., Job], tmp_path: Path
) -> None:
    make_images(tmp_path / "images")
    graph = Graph.chain(["conv_4_3"], Shape(3, 10, 9), 2)
    spec = DataSpec(f"folder:{tmp_path / 'images'}", train_size=60)
    made = make_job(graph=graph, epochs=3)
    job = dataclasses.replace(made, task=dataclasses.replace(made.train, data=spec))
    assert evaluate(dataclasses.replace(job, until=2)).status == "paused"
    begun = (Path(job.folder) / "curve.csv").read_text()
    (tmp_path / "images").rename(tmp_path / "moved")
    there = dataclasses.replace(spec, name=f"folder:{tmp_path / 'moved'}")
    moved = dataclasses.replace(job, task=dataclasses.replace(job.train, data=there))
    result = evaluate(moved)
    assert (result.status, len(result.curve)) == ("ok", 3)
    assert (Path(job.folder) / "curve.csv").read_text().startswith(begun)  # with the seconds of then
    assert not (Path(job.folder) / "log.txt").exists()
