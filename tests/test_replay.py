"""Inspecting and replaying a finished run through `python -m populations`."""

import contextlib
import io
import json
import os
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save_file

import populations.__main__ as cli
from cgp.errors import BadInput
from harness import TINY, populations, program
from populations import load
from populations.reading import replay
from populations.reading.frame import MODEL_COLUMNS
from populations.run_folder.lock import Lock
from test_job import raiser

Ask = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished search."""
    cwd = tmp_path_factory.mktemp("finished")
    done = program(*TINY, "--run", "runs/r", cwd=cwd)
    assert done.returncode == 0, done.stderr
    return cwd / "runs" / "r"


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    """A copy of it to change."""
    return Path(shutil.copytree(finished, tmp_path / "r", symlinks=True))


@pytest.fixture
def ask(capsys: pytest.CaptureFixture[str]) -> Ask:
    """Call the command line in this process: (exit code, stdout, stderr)."""

    def call(*arguments: str | Path) -> tuple[int, str, str]:
        code = cli.main([str(argument) for argument in arguments])
        return code, *capsys.readouterr()

    return call


def test_show_has_the_documented_columns(finished: Path, ask: Ask) -> None:
    code, out, _ = ask("show", finished, "--format", "csv")
    table = pd.read_csv(io.StringIO(out))
    assert code == 0
    assert list(table) == list(MODEL_COLUMNS)
    assert table["val_accuracy"].between(0, 1).all()
    assert table["id"].is_unique


def test_show_json_table_and_sort(finished: Path, ask: Ask) -> None:
    rows = json.loads(ask("show", finished, "--format", "json", "--sort", "params")[1])
    assert [row["params"] for row in rows] == sorted((row["params"] for row in rows), reverse=True)
    assert "val_accuracy" in ask("show", finished)[1]


def test_show_generation_is_its_snapshot(finished: Path, ask: Ask) -> None:
    _, out, _ = ask("show", finished, "--generation", "1", "--format", "csv")
    assert out == (finished / "snapshots" / "gen_0001.csv").read_text()
    scores = pd.read_csv(io.StringIO(out))["val_accuracy"]
    assert scores.is_monotonic_decreasing


def test_list_names_the_run(finished: Path, ask: Ask) -> None:
    code, out, _ = ask("list", finished.parent, "--format", "csv")
    assert code == 0
    assert str(finished) in out


def test_best_shows_blocks_and_folder(finished: Path, ask: Ask) -> None:
    code, out, _ = ask("best", finished)
    assert code == 0
    assert "reads image" in out
    assert str((finished / "best").resolve().name) in out


def test_lineage_leads_from_a_random_draw_to_the_model(finished: Path, ask: Ask) -> None:
    last = load(finished).models["id"].iloc[-1]
    line = pd.read_csv(io.StringIO(ask("lineage", finished, last, "--format", "csv")[1]))
    assert line["id"].iloc[-1] == last
    assert pd.isna(line["parent"].iloc[0])
    assert list(line["parent"].iloc[1:]) == list(line["id"].iloc[:-1])


def test_python_api_gives_frames(finished: Path) -> None:
    run = load(finished)
    assert len(run.curves) == 2 * run.models["same_as"].isna().sum()
    assert list(run.generations["generation"]) == [0, 1, 2]
    assert set(run.lineage["parent"].dropna()) <= set(run.models["id"])


def test_every_model_replays_to_the_bit(finished: Path, ask: Ask) -> None:
    for identity in load(finished).models["id"]:
        code, out, _ = ask("replay", finished, identity[:6])
        assert code == 0, out
        assert "identical to the bit" in out


def test_retrain_repeats_scores_and_weights(finished: Path, ask: Ask) -> None:
    code, out, _ = ask("replay", finished, "best", "--retrain")
    assert code == 0, out
    assert "weights   equal" in out


def test_replay_in_a_new_process_from_the_readme(finished: Path) -> None:
    done = populations("replay", finished, cwd=finished.parent)
    assert done.returncode == 0, done.stderr
    assert "identical to the bit" in done.stdout


def test_replay_says_so_when_weights_differ(run: Path, ask: Ask) -> None:
    path = run / "best" / "best.safetensors"
    weights = load_file(path)
    weights["head.bias"] += 1.0
    weights["head.bias"][0] = 50.0
    save_file(weights, path, {"description": "{}"})
    code, out, _ = ask("replay", run)
    assert code == 1
    assert "NOT identical" in out


def test_test_score_is_recorded_once_asked_for(run: Path, ask: Ask) -> None:
    assert "test_accuracy" not in load(run).models
    code, out, _ = ask("replay", run, "best", "--test")
    assert code == 0
    assert "TEST accuracy" in out
    assert load(run).models["test_accuracy"].notna().sum() >= 1


def test_a_truncated_checkpoint_affects_its_model_alone(run: Path, ask: Ask) -> None:
    models = load(run).models
    broken, whole = models["id"][0], models["id"][1]
    path = run / "models" / broken / "best.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    code, _, err = ask("replay", run, broken)
    assert (code, err.count("\n")) == (2, 1)
    assert broken in err
    assert ask("replay", run, whole)[0] == 0
    assert ask("replay", run, broken, "--retrain")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("show", "RUN", "--sort", "acc"), "--sort"),
        (("show", "RUN", "--generation", "7"), "3 finished generations"),
        (("show", "RUN", "--generation", str(2**64)), "3 finished generations"),
        (("show", "RUN", "--generation=--"), "--generation: '--'; expected a whole number"),
        (("show", "RUN", "--format=--"), "--format: unknown '--'; one of table, csv, json"),
        (("compare", "RUN", "--by=--"), "--by: no column or flag '--'"),
        (("show", "RUN", "--ledger", "--generation", "0"), "--ledger"),
        (("show", "nowhere"), "nowhere"),
        (("list", "nowhere"), "holds no runs"),
        (("replay", "RUN", "zzz"), "zzz"),
        (("replay", "RUN", "--epochs", "3"), "--epochs"),
        (("replay", "RUN", "--compile"), "--compile: goes with --recipe"),
        (("replay", "RUN", "--recipe", "retrian"), "did you mean 'retrain'"),
        (("replay", "RUN", "--recipe", "retrain", "--test"), "--recipe: trains by another recipe"),
        (("replay", "RUN", "--recipe", "retrain", "--retrain"), "--recipe: trains by another recipe"),
        (("shwo", "RUN"), "shwo"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(finished: Path, ask: Ask, arguments: tuple[str, ...], said: str) -> None:
    code, _, err = ask(*[finished if argument == "RUN" else argument for argument in arguments])
    assert (code, err.count("\n")) == (2, 1)
    assert said in err


def test_a_run_of_an_unknown_version_is_refused(run: Path, ask: Ask) -> None:
    database = sqlite3.connect(run / "run.sqlite")
    database.execute("pragma user_version=99")
    database.close()
    code, _, err = ask("show", run)
    assert code == 2
    assert "format 99" in err


def test_damaged_last_weights_do_not_take_the_scores_of_a_retraining(run: Path, ask: Ask) -> None:
    path = run / "best" / "last.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    code, out, _ = ask("replay", run, "best", "--retrain")
    assert (code, out.count("repeated  val_accuracy")) == (0, 1)
    assert f"weights cannot be compared: {path.resolve()}: corrupt" in out


def test_a_replay_that_is_stopped_says_nothing(run: Path, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay, "carry_out", raiser(KeyboardInterrupt()))
    assert ask("replay", run, "best", "--retrain")[::2] == (130, "")


def test_a_run_that_cannot_be_read_leaves_the_others_in_the_list(run: Path, ask: Ask) -> None:
    broken = run.parent / "a"
    shutil.copytree(run, broken, symlinks=True)
    (broken / "config.json").write_text("{")
    code, out, err = ask("list", run.parent)
    assert (code, str(run) in out, str(broken) in out) == (0, True, False)
    assert err.startswith(f"populations: {broken}")
    assert err.count("\n") == 1


def rewritten(run: Path, **changes: object) -> None:
    """Change the recorded numerics of every result."""
    with sqlite3.connect(run / "run.sqlite") as database:
        for row, detail in database.execute("select rowid, detail from details").fetchall():
            result = json.loads(detail)
            for numerics in (result["numerics"], *(stretch["numerics"] for stretch in result["stretches"])):
                numerics |= changes
            database.execute("update details set detail=? where rowid=?", (json.dumps(result), row))


def test_replay_names_what_differs_in_how_a_score_was_computed(run: Path, ask: Ask) -> None:
    rewritten(run, torch="1.0.0", threads=64)
    out = ask("replay", run)[1]
    assert f"  torch: recorded 1.0.0, now {torch.__version__}\n" in out
    assert "  threads: recorded 64, now 1\n" in out
    assert out.count(", now ") == 2


def test_replay_tells_of_every_stretch_that_was_computed_in_another_way(run: Path, ask: Ask) -> None:
    with sqlite3.connect(run / "run.sqlite") as database:
        for row, detail in database.execute("select rowid, detail from details").fetchall():
            result = json.loads(detail)
            first = {"from": 1, "to": 1, "numerics": result["numerics"] | {"threads": 4, "torch": "1.0.0"}}
            result["stretches"] = [first, {"from": 2, "to": 2, "numerics": result["numerics"]}]
            database.execute("update details set detail=? where rowid=?", (json.dumps(result), row))
    code, out, _ = ask("replay", run)
    assert code == 0
    assert "recorded  epochs 1..1: threads 4, torch 1.0.0\n" in out
    assert f"recorded  epochs 2..2: threads 1, torch {torch.__version__}\n" in out
    assert "  epochs 1..1: threads: recorded 4, now 1\n" in out
    assert "epochs 2..2: threads: recorded" not in out


def test_results_of_older_programs_which_knew_no_stretches_are_replayed(run: Path, ask: Ask) -> None:
    with sqlite3.connect(run / "run.sqlite") as database:
        database.execute(
            "update details set detail=json_remove(json_set(detail, '$.numerics.threads', 64), '$.stretches')"
        )
    code, out, _ = ask("replay", run)
    assert (code, "  threads: recorded 64, now 1\n" in out) == (0, True)


def test_a_training_shows_how_far_it_is(run: Path, ask: Ask) -> None:
    err = ask("replay", run, "best", "--retrain")[2].splitlines()
    assert [line.split("  ")[0] for line in err] == ["epoch 1 of 2", "epoch 2 of 2"]
    assert "val_accuracy 0." in err[0]
    assert err[1].endswith("done")


def test_a_folder_in_the_place_of_weights_is_named(run: Path, ask: Ask) -> None:
    path = run / "best" / "best.safetensors"
    path.unlink()
    path.mkdir()
    code, _, err = ask("replay", run)
    assert (code, err.count("\n")) == (2, 1)
    assert "best.safetensors: is a folder, where a checkpoint belongs" in err


def test_a_journal_with_a_page_of_zeros_is_named(run: Path, ask: Ask) -> None:
    """Wherever the page lies, a command either does not meet it or says so in one line."""
    path = run / "run.sqlite"
    whole, size = path.read_bytes(), 4096
    identity = load(run).identity("best")
    seen = set[tuple[str, int]]()
    for start in range(0, len(whole), size):
        path.write_bytes(whole[:start] + bytes(size) + whole[start + size :])
        for command in (("show", run), ("show", run, "--ledger"), ("best", run), ("lineage", run, identity)):
            code, _, err = ask(*command)
            assert (code, err.count("\n")) in ((0, 0), (2, 1)), err
            assert code == 0 or str(path) in err, err
            seen.add((str(command[0]), code))
        with contextlib.suppress(BadInput):
            _ = load(run).curves, load(run).generations, load(run).sessions, load(run).model("best")
    assert seen == {(name, code) for name in ("show", "best", "lineage") for code in (0, 2)}


def test_a_difference_that_nothing_recorded_explains_is_said_to_be_so(run: Path, ask: Ask) -> None:
    with sqlite3.connect(run / "run.sqlite") as database:
        database.execute("update details set detail=json_set(detail, '$.metrics.val_loss', 9.5)")
    code, out, _ = ask("replay", run)
    assert code == 1
    assert "recorded  val_accuracy 0." in out
    assert "val_loss 9.5\n" in out
    assert out.endswith("NOT identical; what differs in how it was computed:\n  nothing that is recorded\n")


def test_a_retraining_that_ends_in_other_weights_is_not_identical(run: Path, ask: Ask) -> None:
    path = run / "best" / "last.safetensors"
    weights = load_file(path)
    weights["head.bias"][0] += 1.0
    save_file(weights, path, {"description": "{}"})
    code, out, _ = ask("replay", run, "best", "--retrain")
    assert code == 1
    assert "weights   differ\n" in out


def test_without_its_last_weights_a_retraining_compares_scores_alone(run: Path, ask: Ask) -> None:
    for path in run.glob("best/*.safetensors"):
        path.unlink()
    code, out, _ = ask("replay", run, "best", "--retrain")
    assert (code, "weights" in out, "identical to the bit" in out) == (0, False, True)
    code, _, err = ask("replay", run, "best")
    assert (code, err.count("\n")) == (2, 1)
    assert "no weights are kept for this model (--keep best?); replay it with --retrain" in err


@pytest.mark.parametrize(("status", "said"), [("timeout", "timeout"), (None, "open")])
@pytest.mark.parametrize("how", [(), ("--retrain",), ("--recipe", "fast")])
def test_a_model_without_a_score_is_not_replayed(
    run: Path, ask: Ask, status: str | None, said: str, how: tuple[str, ...]
) -> None:
    with sqlite3.connect(run / "run.sqlite") as database:
        if status:
            database.execute("update details set detail=json_set(detail, '$.status', ?)", (status,))
        else:
            database.execute("delete from details")
    identity = load(run).identity("best")
    code, _, err = ask("replay", run, "best", *how)
    assert code == 2
    assert err == (
        f"populations: error: model {identity}: its status is {said}; expected ok, so that there is a score "
        "to compare\n"
    )


def test_the_test_score_that_is_shown_is_the_one_recorded(run: Path, ask: Ask) -> None:
    _, out, _ = ask("replay", run, "best", "--test")
    models = load(run).models
    best = load(run).identity("best")
    tested = models[models["test_accuracy"].notna()]
    assert set(tested["id"]) == {best} | set(models[models["same_as"] == best]["id"])
    assert f"TEST accuracy {tested['test_accuracy'].iloc[0]:.4f}, loss " in out
    assert "test_accuracy" in ask("show", run)[1].splitlines()[0]


def test_a_test_score_is_shown_though_a_driver_holds_the_run(run: Path, ask: Ask) -> None:
    lock = Lock(run)
    code, out, _ = ask("replay", run, "best", "--test")
    lock.release()
    assert (code, "TEST accuracy" in out) == (0, True)
    assert f"not recorded: {run}: another driver holds this run (process {os.getpid()} on " in out
    assert "test_accuracy" not in load(run).models
