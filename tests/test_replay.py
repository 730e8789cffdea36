"""Inspecting and replaying a finished run through `python -m populations`."""

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from safetensors.torch import load_file, save_file

import populations.__main__ as cli
from harness import TINY, populations, program
from populations import load
from populations.frame import MODEL_COLUMNS

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


def test_polish_trains_from_scratch_and_reports_a_test(run: Path, ask: Ask) -> None:
    code, out, _ = ask("replay", run, "best", "--recipe", "retrain", "--epochs", "2")
    assert code == 0
    assert "train+validation" in out
    assert "TEST accuracy" in out
    assert (run / "best" / "polish-retrain-2" / "best.safetensors").exists()


def test_a_compiled_polish_keeps_the_plain_network(run: Path) -> None:
    done = populations("replay", run, "--recipe", "retrain", "--epochs", "1", "--compile", cwd=run)
    assert done.returncode == 0, done.stderr
    folder = run / "best" / "polish-retrain-1"
    assert json.loads((folder / "polish.json").read_text())["numerics"]["compiled"] is True
    assert load_file(folder / "best.safetensors").keys() == load_file(run / "best" / "best.safetensors").keys()


def test_a_compiled_polish_needs_a_compiler(run: Path, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    code, _, err = ask("replay", run, "--recipe", "retrain", "--compile")
    assert (code, err.count("\n")) == (2, 1)
    assert "--compile: found no C++ compiler 'no-such-compiler'" in err
    assert not list(run.glob("models/*/polish*"))


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
        (("show", "RUN", "--ledger", "--generation", "0"), "--ledger"),
        (("show", "nowhere"), "nowhere"),
        (("list", "nowhere"), "holds no runs"),
        (("replay", "RUN", "zzz"), "zzz"),
        (("replay", "RUN", "--epochs", "3"), "--epochs"),
        (("replay", "RUN", "--compile"), "--compile: goes with --recipe"),
        (("replay", "RUN", "--recipe", "retrian"), "did you mean 'retrain'"),
        (("shwo", "RUN"), "shwo"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(finished: Path, ask: Ask, arguments: tuple[str, ...], said: str) -> None:
    code, _, err = ask(*[finished if argument == "RUN" else argument for argument in arguments])
    assert (code, err.count("\n")) == (2, 1)
    assert said in err


def test_a_run_of_an_unknown_version_is_refused(run: Path, ask: Ask) -> None:
    import sqlite3

    database = sqlite3.connect(run / "run.sqlite")
    database.execute("pragma user_version=99")
    database.close()
    code, _, err = ask("show", run)
    assert code == 2
    assert "format 99" in err
