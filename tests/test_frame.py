"""A run as tables: columns and types, what is missing, who descends from whom; and the commands that print them."""

import csv
import fcntl
import io
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest

import populations.__main__ as cli
from cgp.errors import BadInput
from cgp.graph import Graph
from evaluate.job import SEARCH, Key, Result
from evaluate.pool.usage import Usage
from harness import ROOT
from populations import load
from populations.reading.frame import MODEL_COLUMNS, Run
from populations.record import Generation
from populations.run_folder.folder import create_run
from populations.run_folder.store import Store
from test_store import PLAN, begun, candidate, ok, opened

TYPES = {
    "reason": "string",
    "predicted": "float64",
    **{"id": "str", "stage": "str", "job": "int64", "generation": "int64", "parent": "string", "status": "str"},
    **{"function_set": "str", "depth": "int64", "conv_layers": "int64", "params": "int64", "flops": "int64"},
    **{"receptive_field": "int64", "val_accuracy": "float64", "val_loss": "float64", "epochs": "Int64"},
    **{"seconds": "float64", "peak_memory_mb": "float64", "seed": "int64", "same_as": "string"},
    **{"scratch_share": "float64", "train_accuracy": "float64", "run": "str", "dataset": "str"},
}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A run whose job 0 is ok, 1 timed out, 2 (child of 0) is a copy of it, 3 (child of 2) is open."""
    config = {"function_set": "vgg", "dataset": "digits", "strategy": "random", "epochs": 6, "generations": 2}
    made = Store(tmp_path / "r", PLAN, create_run(tmp_path / "r", config))
    made.note_usage(Usage(1, 0, 1.0, {}))
    first, second = opened(made, candidate(0)), opened(made, candidate(1))
    made.close(first, ok(0.75))
    made.close(second, Result("timeout", error="slow"))
    made.open(candidate(2, like=0, generation=1, parent=0))
    opened(made, candidate(3, generation=1, parent=2))
    made.snapshot(Generation(0, (0,), {"generation": 0, "best": 0.75}))
    yield made
    made.end()


@pytest.fixture
def run(store: Store) -> Run:
    return load(store.folder)


def shown(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    """Return what a command prints."""
    assert cli.main([str(argument) for argument in arguments]) == 0
    return capsys.readouterr().out


# Tables


def assert_typed(models: pd.DataFrame) -> None:
    """The table has the documented columns, each of its type."""
    assert tuple(models) == MODEL_COLUMNS
    found = {name: str(kind) for name, kind in models.dtypes.items()}
    text = {"object", "str"}  # what pandas calls plain text differs between versions
    assert {name: "str" if kind in text else kind for name, kind in found.items()} == TYPES


def test_columns_have_one_type_whatever_is_missing(run: Run, tmp_path: Path) -> None:
    assert_typed(run.models)
    assert_typed(run.population(0))
    other = begun(tmp_path / "begun")
    opened(other, candidate(0))
    assert_typed(load(other.folder).models)
    other.end()


def test_what_is_missing_is_empty_and_never_zero(run: Run) -> None:
    models = run.models.set_index("status")
    for status in ("timeout", "open"):
        row = models.loc[status]
        assert row[["val_accuracy", "val_loss", "epochs", "seconds", "peak_memory_mb", "same_as"]].isna().all()
        assert row[["depth", "params", "flops", "seed"]].notna().all()


def test_a_row_tells_what_its_graph_costs(run: Run) -> None:
    graph = candidate(3).model
    row = run.models.iloc[3]
    names = ("depth", "conv_layers", "params", "flops", "receptive_field")
    assert [row[name] for name in names] == [getattr(graph, name) for name in names]
    assert row["function_set"] == "vgg"


def test_parents_are_named_by_id_and_draws_have_none(run: Run) -> None:
    ids = list(run.models["id"])
    assert run.lineage["parent"].fillna("").tolist() == ["", "", ids[0], ids[2]]
    assert list(run.ancestors(ids[3])["id"]) == [ids[0], ids[2], ids[3]]
    assert list(run.ancestors(ids[1])["id"]) == [ids[1]]


def test_a_copy_has_the_score_but_neither_curve_nor_seconds_of_its_own(run: Run) -> None:
    first, copy = run.models.iloc[0], run.models.iloc[2]
    assert (copy["same_as"], copy["val_accuracy"], copy["seconds"]) == (first["id"], 0.75, 0.0)
    assert list(run.curves["id"]) == [first["id"]]


def test_a_copy_is_looked_up_as_the_model_it_copies(run: Run, store: Store) -> None:
    first, copy = run.models["id"][0], run.models["id"][2]
    model = run.model(copy)
    assert (model.id, model.key, model.model) == (first, (SEARCH, 0), candidate(0).model)
    assert model.folder == store.folder / "models" / first
    assert model.result == ok(0.75)


def test_a_run_without_models_has_numbers_of_the_same_types(tmp_path: Path) -> None:
    begun(tmp_path / "r").end()
    found = load(tmp_path / "r").models.dtypes
    wanted = {name: kind for name, kind in TYPES.items() if "int" in kind or "float" in kind}
    assert {name: str(found[name]) for name in wanted} == wanted


def test_an_open_model_has_no_result(run: Run) -> None:
    assert run.model(run.models["id"][3]).result is None


def test_only_the_last_attempt_is_shown(store: Store) -> None:
    store.close(opened(store, candidate(5)), Result("lost", error="gone"))
    (asked,) = [asked for asked in store.failed() if asked.number == 5]
    job = store.open(asked)
    assert job
    store.close(job, ok(0.9))
    run = load(store.folder)
    assert list(run.models["status"]) == ["ok", "timeout", "ok", "open", "ok"]
    assert list(run.curves["val_accuracy"]) == [0.75, 0.9]


def test_models_that_are_asked_for_tell_their_graphs_curves_and_errors(run: Run) -> None:
    ids = list(run.models["id"])
    assert run.arrivals == ids[:3]
    assert list(run.graphs(ids[1:3])) == ids[1:3]
    assert run.graphs(ids[:1])[ids[0]] == run.graphs(ids[2:3])[ids[2]] == candidate(0).model.to_json()
    pd.testing.assert_frame_equal(run.curves_of(ids[:1]), run.curves)
    assert list(run.curves_of(ids[2:3])["val_accuracy"]) == list(run.curves["val_accuracy"])  # of what it copies
    assert run.errors(ids) == {ids[0]: "", ids[1]: "slow", ids[2]: ""}
    assert run.curves_of([]).empty


def test_a_test_score_is_shown_for_copies_too_and_empty_elsewhere(store: Store) -> None:
    assert "test_accuracy" not in load(store.folder).models
    store.journal.add_metrics(Key(SEARCH, 0), {"test_accuracy": 0.875, "test_loss": 0.3})
    again = load(store.folder).models
    assert tuple(again) == (*MODEL_COLUMNS, "test_accuracy")
    assert again["test_accuracy"].fillna(-1).tolist() == [0.875, -1, 0.875, -1]


def test_sessions_tell_their_slots_and_what_they_did(store: Store) -> None:
    store.note_usage(Usage(1, 1, 9.0, {"ok": 2.5}))
    row = load(store.folder).sessions.iloc[0]
    assert (row["slots"], row["startup"], row["wall"], row["busy"]) == (1, 1.0, 9.0, {"ok": 2.5})


def test_a_model_is_found_by_the_beginning_of_its_id_alone(run: Run, store: Store) -> None:
    identity = run.models["id"][1]
    assert run.identity(identity[:11]) == run.identity(identity) == identity
    for name, found in (("g", "found none"), (identity + "0", "found none")):
        with pytest.raises(BadInput, match=f"model '{name}' of .*: {found}.*expected"):
            run.identity(name)


def test_best_is_the_model_that_the_link_names(run: Run, store: Store) -> None:
    with pytest.raises(BadInput, match="no best model yet"):
        run.identity("best")
    (store.folder / "best").symlink_to(Path("models") / run.models["id"][0])
    assert run.identity("best") == run.models["id"][0]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("run.sqlite", "spam " * 100, "not a readable journal"),
        ("run.sqlite", "", "run.sqlite: empty; expected the journal"),
        ("config.json", '{"function_set": ', "config.json: cannot be read"),
        ("config.json", '["vgg"]', "config.json: holds a list; expected an object"),
        ("run.sqlite", None, "not a run folder, it has no run.sqlite"),
    ],
)
def test_a_damaged_run_names_its_file(
    store: Store, capsys: pytest.CaptureFixture[str], name: str, content: str | None, said: str
) -> None:
    store.end()
    path = store.folder / name
    path.unlink()
    if content is not None:
        path.write_text(content)
    assert cli.main(["show", str(store.folder)]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith("populations: error: ")
    assert said in err


def learned(accuracies: list[tuple[float, float]]) -> Result:
    """A result of epochs with these training and validation accuracies."""
    curve = [
        {"epoch": n, "train_accuracy": train, "val_accuracy": val, "val_loss": 1.0, "seconds": 1.0}
        for n, (train, val) in enumerate(accuracies, 1)
    ]
    best = max(accuracies, key=lambda pair: pair[1])[1]
    return Result("ok", {"val_accuracy": best, "val_loss": 1.0}, curve, 1.0)


def test_the_training_accuracy_is_that_of_the_epoch_that_is_scored(store: Store) -> None:
    store.close(opened(store, candidate(7)), learned([(0.5, 0.25), (0.625, 0.75), (0.875, 0.5), (0.75, 0.75)]))
    store.open(candidate(8, like=7))
    assert load(store.folder).models["train_accuracy"].fillna(-1).tolist() == [-1, -1, -1, -1, 0.625, 0.625]


def test_every_model_names_its_run_and_its_images(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert set(zip(run.models["run"], run.models["dataset"], strict=True)) == {("r", "digits")}
    monkeypatch.chdir(run.folder)
    assert set(load(".").models["run"]) == {"r"}


# Commands


def test_csv_and_json_hold_the_table_with_missing_values_empty(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(capsys, "show", run.folder, "--format", "csv")
    head, *lines = csv.reader(io.StringIO(text))
    assert head == list(MODEL_COLUMNS)
    assert [[cell == "" for cell in line] for line in lines] == run.models.isna().to_numpy().tolist()
    rows = json.loads(shown(capsys, "show", run.folder, "--format", "json"))
    assert [list(row) for row in rows] == [list(MODEL_COLUMNS)] * 4
    assert [row["val_accuracy"] for row in rows] == [0.75, None, 0.75, None]
    assert [row["parent"] for row in rows] == [None, None, rows[0]["id"], rows[2]["id"]]


def test_json_keeps_every_digit_of_a_score(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    store.close(opened(store, candidate(9)), ok(0.9972144846796658))
    rows = json.loads(shown(capsys, "show", store.folder, "--format", "json"))
    assert rows[-1]["val_accuracy"] == 0.9972144846796658


def test_the_table_is_short_enough_for_a_terminal_and_has_no_nan(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    head, *rows = shown(capsys, "show", run.folder).splitlines()
    assert head.split() == [
        *("id", "job", "generation", "parent", "status", "depth", "conv_layers", "params", "val_accuracy", "seconds")
    ]
    assert len(rows) == 4
    assert max(map(len, rows)) <= 120
    assert rows[0].split()[-2:] == ["0.7500", "2.0000"]
    assert not any(word in row for row in rows for word in ("nan", "NaN", "<NA>", "None"))


def test_sorting_puts_the_greatest_first_the_lower_job_before_its_equal_and_the_missing_last(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = json.loads(shown(capsys, "show", run.folder, "--sort", "val_accuracy", "--format", "json"))
    assert [row["job"] for row in rows] == [0, 2, 1, 3]
    rows = json.loads(shown(capsys, "show", run.folder, "--sort", "job", "--format", "json"))
    assert [row["job"] for row in rows] == [3, 2, 1, 0]


def test_list_has_a_row_for_each_run_best_first_or_not(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    other = run.folder.parent / "a"
    config = {"function_set": "resnet", "dataset": "mnist", "strategy": "aging", "generations": 3}
    Store(other, PLAN, create_run(other, config)).end()
    rows = json.loads(shown(capsys, "list", run.folder.parent, "--format", "json"))
    started = rows[1].pop("started")
    assert abs(datetime.now(UTC) - datetime.fromisoformat(f"{started}+00:00")) < timedelta(minutes=10)
    assert rows == [
        {"run": str(other), "state": "stopped", "started": "", "dataset": "mnist", "strategy": "aging"}
        | {"function_set": "resnet", "networks": 0, "ok": 0, "best_val_accuracy": None},
        {"run": str(run.folder), "state": "running", "dataset": "digits", "strategy": "random"}
        | {"function_set": "vgg", "networks": 4, "ok": 2, "best_val_accuracy": 0.75},
    ]


def test_a_run_is_finished_when_its_generations_are_and_nobody_drives_it(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    def state() -> str:
        (row,) = json.loads(shown(capsys, "list", store.folder.parent, "--format", "json"))
        return str(row["state"])

    assert state() == "running"
    store.end()
    assert state() == "stopped"
    again = Store(store.folder, PLAN)
    again.snapshot(Generation(1, (0, 2), {"generation": 1}))
    assert state() == "running"
    again.end()
    assert state() == "finished"


def test_looking_at_a_run_keeps_nobody_from_driving_it(store: Store) -> None:
    """A look at the lock holds it for a moment itself."""
    store.end()
    with (store.folder / "lock").open() as looked_at:
        fcntl.flock(looked_at, fcntl.LOCK_SH)
        threading.Timer(0.05, fcntl.flock, (looked_at, fcntl.LOCK_UN)).start()
        Store(store.folder, PLAN).end()


def test_best_is_its_row_and_as_a_table_its_blocks_too(
    run: Run, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    identity, graph = run.models["id"][0], run.model(run.models["id"][0]).model
    assert isinstance(graph, Graph)
    (store.folder / "best").symlink_to(Path("models") / identity)
    (row,) = json.loads(shown(capsys, "best", run.folder, "--format", "json"))
    assert (row["id"], tuple(row)) == (identity, MODEL_COLUMNS)
    lines = shown(capsys, "best", run.folder).splitlines()
    assert str(run.folder / "models" / identity) in lines
    nodes = [line.split() for line in lines[-graph.depth :]]
    assert [node[:2] for node in nodes] == [[str(n), node.block] for n, node in enumerate(graph.nodes, 1)]
    assert nodes[0][2:4] == ["reads", "image"]
    assert nodes[-1][-1] == "x".join(map(str, graph.flows[-1].shape))


def test_lineage_of_no_model_is_everyones_parent(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    rows = json.loads(shown(capsys, "lineage", run.folder, "--format", "json"))
    assert [row["job"] for row in rows] == [0, 1, 2, 3]
    line = json.loads(shown(capsys, "lineage", run.folder, run.models["id"][3], "--format", "json"))
    assert line == [rows[0], rows[2], rows[3]]


def test_the_table_of_a_lineage_leaves_what_is_missing_blank(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    rows = shown(capsys, "lineage", run.folder).splitlines()[1:]
    assert rows[0].split() == [run.models["id"][0], "0", "0", "ok", str(run.models["depth"][0]), "0.7500"]
    assert not any(word in row for row in rows for word in ("nan", "NaN", "<NA>", "None"))


def test_a_reader_that_stops_reading_is_no_error(run: Run) -> None:
    """As in `... | head`, once the lines come faster than the buffer of the output grows."""
    ours, theirs = os.pipe()
    os.close(ours)
    command = [sys.executable, "-u", "-m", "populations", "show", str(run.folder)]
    done = subprocess.run(command, cwd=ROOT, stdout=theirs, stderr=subprocess.PIPE, text=True, timeout=60)
    os.close(theirs)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("columns", [200, 80, 60])
def test_a_table_fits_the_terminal_and_says_what_it_left_out(
    run: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    whole = shown(capsys, "show", run.folder).splitlines()[0].split()
    monkeypatch.setenv("COLUMNS", str(columns))
    assert cli.main(["show", str(run.folder)]) == 0
    out, err = capsys.readouterr()
    assert max(map(len, out.splitlines())) <= columns
    head = out.splitlines()[0].split()
    left_out = [name for name in whole if name not in head]
    assert head == [name for name in whole if name in head]
    assert {"id", "val_accuracy"} <= set(head)
    assert (err != "") == bool(left_out) == (columns < 200)
    assert all(name in err for name in left_out)
    csv_text = shown(capsys, "show", run.folder, "--format", "csv")
    assert csv_text.splitlines()[0] == ",".join(MODEL_COLUMNS)


def test_what_a_table_is_sorted_by_is_shown(
    run: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "flops" in shown(capsys, "show", run.folder, "--sort", "flops").splitlines()[0].split()
    monkeypatch.setenv("COLUMNS", "60")
    assert "conv_layers" in shown(capsys, "show", run.folder, "--sort", "conv_layers").splitlines()[0].split()


def test_an_empty_name_is_no_model(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["lineage", str(run.folder), ""]) == 2
    assert capsys.readouterr() == (
        "",
        "populations: error: model '': names none; expected `best` or the beginning of an id\n",
    )


def test_looking_at_runs_does_not_load_torch(run: Run) -> None:
    """That takes seconds, which only a replay needs."""
    script = (
        "import contextlib, sys, populations.__main__ as cli\n"
        "for command in ('--help', 'replay --help', 'shwo', 'list ..', 'show .', 'show . --ledger', 'lineage .'):\n"
        "    with contextlib.suppress(SystemExit):\n"
        "        cli.main(command.split())\n"
        "    if 'torch' in sys.modules:\n"
        "        sys.exit(f'{command} loads torch')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=run.folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert "no such" not in done.stderr
