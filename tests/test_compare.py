"""`populations compare`: groups side by side; what has no score is counted."""

import json
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import populations.__main__ as cli
from populations import load


def compared(capsys: pytest.CaptureFixture[str], *words: "str | Path") -> list[dict[str, Any]]:
    capsys.readouterr()
    assert cli.main(["compare", *map(str, words), "--format", "json"]) == 0
    return list(json.loads(capsys.readouterr().out))


@pytest.fixture
def other(run: Path, tmp_path: Path) -> Path:
    """A copy of a run in which a network was pruned, one failed, and the others are better by .125."""
    shutil.copytree(run, tmp_path / "other", symlinks=True)
    with sqlite3.connect(tmp_path / "other" / "run.sqlite") as db:
        own = [job for (job,) in db.execute("select job from results where same_as is null order by job")]
        for job, status in zip(own, ("pruned", "oom"), strict=False):
            db.execute("update results set status = ? where job = ?", (status, job))
        db.execute("update metrics set value = value + .125 where name = 'val_accuracy'")
    db.close()
    return tmp_path / "other"


def test_what_is_compared_is_that_of_the_table(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    models = load(run).models
    own = models[models["same_as"].isna()]
    rows = compared(capsys, run, "--by", "depth")
    assert [row["depth"] for row in rows] == sorted(models["depth"].unique())
    for row in rows:
        scores = own.loc[own["depth"] == row["depth"], "val_accuracy"]
        assert (row["n"], row["best"]) == (len(scores), scores.max())
        assert row["mean"] == pytest.approx(scores.mean())
        assert row["copies"] == (models["depth"] == row["depth"]).sum() - len(scores)
        if len(scores) > 1:
            assert row["sd"] == pytest.approx(scores.std())
            assert scores.min() <= row["low"] <= row["mean"] <= row["high"] <= scores.max()
        else:
            assert row["low"] is None


def test_runs_side_by_side_count_what_has_no_score(
    run: Path, other: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = compared(capsys, run, other)
    assert (first["run"], second["run"]) == ("r", "other")
    assert (first["pruned"], first["failed"], second["pruned"], second["failed"]) == (0, 0, 1, 1)
    assert second["n"] == first["n"] - 2
    assert first["difference"] is None
    assert second["difference"] == pytest.approx(second["mean"] - first["mean"])
    assert second["from"] < second["difference"] < second["to"]
    assert compared(capsys, run, other) == [first, second]  # the interval is no matter of chance
    (both,) = compared(capsys, run, other, "--by", "strategy", "--metric", "val_loss")
    assert both["n"] == first["n"] + second["n"]
    assert both["best"] < both["mean"]


def test_runs_of_one_name_are_told_apart(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(run, tmp_path / "again" / "r", symlinks=True)
    rows = compared(capsys, run, tmp_path / "again" / "r")
    assert [row["run"] for row in rows] == [str(run), str(tmp_path / "again" / "r")]
    assert rows[1]["difference"] == 0
    assert np.sign(rows[1]["from"]) == -np.sign(rows[1]["to"])


def test_the_terminal_explains_the_numbers(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["compare", str(run), "--by", "function_set"]) == 0
    out = capsys.readouterr().out
    assert {"n", "mean", "sd", "best", "low", "high", "pruned", "failed"} <= set(out.splitlines()[0].split())
    assert "95% bootstrap interval of the mean" in out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--by", "dpth"], "--by: no column or flag 'dpth' (did you mean 'depth'?); one of "),
        (["--metric", "accuracy"], "--metric: no number 'accuracy' (did you mean 'val_accuracy'?); one of job,"),
        (["--metric", "status"], "--metric: no number 'status'"),
        (["--stage", "final"], "has no models of stage final to compare; it has search"),
        (["RUN"], "is there twice; name each run once"),
        (["nowhere"], "nowhere: no such run folder"),
    ],
)
def test_bad_input_is_one_line(
    words: list[str], said: str, searched: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["compare", str(searched), *(str(searched) if word == "RUN" else word for word in words)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line
