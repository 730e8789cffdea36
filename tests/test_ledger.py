"""Where the time of a run's slots went: the parts add up, over resumes and kills."""

import contextlib
import io
import json
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

import populations.__main__ as cli
from cgp import Shape, Space
from evaluate.job import DataSpec, Result, recipe
from evaluate.pool.usage import Usage
from harness import TINY, kill_hard, program, start, wait_for
from populations import load
from populations.reading.ledger import ledger
from populations.run_folder.folder import create_run
from populations.run_folder.store import Plan, Store
from test_store import candidate, ok, opened

PARTS = ["start-up", "training", "pruned", "failures", "engine", "waiting"]
SAVED = ["saved by cache", "saved by racing"]


def parts(folder: Path) -> dict[str, float]:
    """The ledger as the command line tells it, checked to add up."""
    with contextlib.redirect_stdout(io.StringIO()) as out:
        assert cli.main(["show", str(folder), "--ledger", "--format", "json"]) == 0
    rows = pd.DataFrame(json.loads(out.getvalue())).set_index("part")
    assert list(rows.index) == [*PARTS, "total", *SAVED]
    assert rows["slot_seconds"][PARTS].sum() == pytest.approx(rows["slot_seconds"]["total"], abs=1e-6)
    assert rows["percent"][PARTS].sum() == pytest.approx(100)
    assert (rows["slot_seconds"] > -1e-6).all()
    assert list(rows["slot_hours"] * 3600) == pytest.approx(list(rows["slot_seconds"]), abs=1e-5)
    return {str(part): float(seconds) for part, seconds in rows["slot_seconds"].items()}


def trained(folder: Path) -> float:
    """Seconds of training that the table of models tells."""
    return float(load(folder).models["seconds"].sum())


def test_a_search_and_its_resume_add_up(tmp_path: Path) -> None:
    began = time.monotonic()
    done = program(*TINY, "--generations", "2", "--workers", "2", "--run", "r", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    first, seconds = parts(tmp_path / "r"), time.monotonic() - began
    assert first["start-up"] > 0
    assert first["training"] == pytest.approx(trained(tmp_path / "r"))
    assert first["failures"] == first["pruned"] == 0
    assert first["start-up"] + first["training"] < first["total"] < 2 * seconds
    assert program("--resume", "r", "--generations", "3", "--workers", "1", cwd=tmp_path).returncode == 0
    both = parts(tmp_path / "r")
    assert list(load(tmp_path / "r").sessions["slots"]) == [2, 1]
    assert both["training"] == pytest.approx(trained(tmp_path / "r"))
    assert both["start-up"] > first["start-up"]
    assert both["total"] > first["total"]


def test_a_driver_killed_hard_is_accounted_up_to_its_last_word(tmp_path: Path) -> None:
    long = (*TINY, "--epochs", "40", "--generations", "1", "--workers", "1")
    process = start(*long, "--run", "r", cwd=tmp_path)
    wait_for(tmp_path / "r", "best", 1, process)  # so a result is there
    kill_hard(process)
    killed = parts(tmp_path / "r")
    assert killed["training"] > 0
    assert killed["total"] > killed["start-up"] + killed["training"]
    assert program("--resume", "r", "--workers", "1", cwd=tmp_path).returncode == 0
    resumed = parts(tmp_path / "r")
    assert len(load(tmp_path / "r").sessions) == 2
    assert killed["training"] < resumed["training"] <= trained(tmp_path / "r") + 1e-6


def test_the_time_of_what_failed_is_shown(tmp_path: Path) -> None:
    slow = (*TINY, "--epochs", "1000", "--timeout", "0.01", "--generations", "1", "--workers", "1")
    assert program(*slow, "--run", "r", cwd=tmp_path).returncode == 0
    spent = parts(tmp_path / "r")
    assert spent["training"] == 0
    assert spent["failures"] >= 3 * 0.01


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    space = Space("vgg", 2, 5, Shape(1, 8, 8), 10)
    plan = Plan(space, recipe("fast"), DataSpec("digits"), 0, True, "all")
    made = Store(tmp_path / "r", plan, create_run(tmp_path / "r", {"function_set": "vgg", "epochs": 6}))
    yield made
    made.end()


def test_every_part_is_what_it_says(store: Store) -> None:
    store.note_usage(Usage(2, 0, 1.0, {}))
    job, slow = opened(store, candidate(0)), opened(store, candidate(1))
    store.note_usage(Usage(2, 2, 6.0, {"ok": 2.5, "timeout": 3.0, "running": 0.25}))
    store.close(job, ok())  # two seconds of training
    store.close(slow, Result("timeout", error="slow"))
    spent = parts(store.folder)
    expected = {"start-up": 2, "training": 2, "failures": 3, "engine": 0.75, "waiting": 4.25, "total": 12}
    assert {part: spent[part] for part in expected} == pytest.approx(expected)


def test_a_copied_result_counts_as_saved(store: Store) -> None:
    store.note_usage(Usage(1, 0, 1.0, {}))
    store.close(opened(store, candidate(0)), ok())
    assert store.open(candidate(1, like=0)) is None
    assert store.open(candidate(2, like=0)) is None
    assert parts(store.folder)["saved by cache"] == pytest.approx(2 * 2.0)


def test_epochs_that_a_pruned_training_left_out_count_as_saved(store: Store) -> None:
    store.note_usage(Usage(1, 0, 1.0, {}))
    job = opened(store, candidate(0))
    store.note_usage(Usage(1, 1, 5.0, {"pruned": 2.5}))
    store.close(job, ok())  # one epoch of six, two seconds
    with sqlite3.connect(store.folder / "run.sqlite") as db:
        db.execute("update results set status='pruned'")
    spent = parts(store.folder)
    assert (spent["training"], spent["pruned"], spent["engine"]) == pytest.approx((0, 2, 0.5))
    assert spent["saved by racing"] == pytest.approx(5 * 2.0)


def test_a_run_that_has_not_begun_has_an_empty_ledger(store: Store) -> None:
    table = ledger(load(store.folder)).set_index("part")
    assert table["slot_seconds"]["total"] == 0
    assert table["percent"].isna().all()
