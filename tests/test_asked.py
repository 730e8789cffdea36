"""What is asked of a run once it is searched: `confirm`, `measure`; and the known networks as a run, `--family`."""

import io
import json
import os
import shutil
import signal
import sqlite3
from pathlib import Path

import pandas as pd
import pytest

from harness import ROOT as PROGRAM
from harness import TINY, Started, assert_same_run, facts, populations, program, start, wait_for
from populations import load
from populations.commands.confirm import confirmed, winners


def confirm(run: Path, *flags: str) -> str:
    done = populations("confirm", run.name, *flags, cwd=run.parent)
    assert done.returncode == 0, done.stderr
    return done.stdout


# Confirm


def test_winners_are_trained_again_on_seeds_of_their_own(run: Path) -> None:
    before = load(run)
    seeds = set(before.models["seed"])
    said = confirm(run, "--top", "2", "--seeds", "2")
    after = load(run)
    again = after.models[after.models["stage"] == "confirm"]
    best = winners(before, 2)
    assert list(again["parent"]) == [identity for identity in best["id"] for _ in range(2)]
    assert (again["status"] == "ok").all()
    assert again["same_as"].isna().all()
    assert not set(again["seed"]) & seeds
    assert again["seed"].nunique() == 4
    table = confirmed(after, 2)
    assert list(table["id"]) == list(best["id"])
    for row in table.itertuples():
        own = again[again["parent"] == row.id]["val_accuracy"]
        assert (row.mean, row.sd, row.seeds) == (own.mean(), own.std(), 2)
    assert ("the order holds" in said) == (table["rank"][0] == 1)
    assert [identity in said for identity in best["id"]] == [True, True]


def test_the_search_stays_as_it_was(run: Path) -> None:
    before, best = load(run), (run / "best").readlink()
    models, generations = facts(before), before.generations
    confirm(run, "--top", "1", "--seeds", "1")
    after = load(run)
    searched = facts(after)[after.models["stage"] == "search"]
    pd.testing.assert_frame_equal(searched, models, check_exact=True)
    pd.testing.assert_frame_equal(after.generations, generations)
    assert (run / "best").readlink() == best
    done = program("--resume", "r", "--generations", "4", cwd=run.parent)
    assert done.returncode == 0, done.stderr
    assert len(load(run).models) == len(models) + 1 + 3


def test_what_was_confirmed_is_not_trained_again_and_more_seeds_add_to_it(run: Path) -> None:
    confirm(run, "--top", "2", "--seeds", "1")
    before = facts(load(run))
    confirm(run, "--top", "2", "--seeds", "1")
    pd.testing.assert_frame_equal(facts(load(run)), before, check_exact=True)
    confirm(run, "--top", "2", "--seeds", "2", "--workers", "1")
    after = facts(load(run))
    pd.testing.assert_frame_equal(after[after["id"].isin(before["id"])], before, check_exact=True)
    assert list(confirmed(load(run), 2)["seeds"]) == [2, 2]


@pytest.mark.parametrize("count", [1, 3])
def test_a_killed_confirmation_goes_on_to_the_same_records(run: Path, tmp_path: Path, count: int) -> None:
    other = tmp_path / "other"
    other.mkdir()
    shutil.copytree(run, other / "r", symlinks=True)
    flags = ("--top", "2", "--seeds", "3")
    confirm(other / "r", *flags, "--workers", "2")
    known = len(list(run.glob("models/*/last.safetensors")))
    killed = Started(PROGRAM / "populations" / "__main__.py", ["confirm", "r", *flags, "--workers", "1"], run.parent)
    wait_for(run, "models/*/last.safetensors", known + count, killed)
    os.kill(killed.pid, signal.SIGKILL)
    killed.communicate()
    confirm(run, *flags)
    assert_same_run(run, other / "r")


def test_a_confirmed_model_is_replayed_to_the_bit(run: Path) -> None:
    confirm(run, "--top", "1", "--seeds", "1")
    models = load(run).models
    identity = models[models["stage"] == "confirm"]["id"].iloc[0]
    done = populations("replay", "r", identity, "--retrain", cwd=run.parent)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "weights   equal" in done.stdout


def test_a_confirmation_without_a_finished_network_is_one_line(tmp_path: Path) -> None:
    process = start(*TINY, "--epochs", "5000", "--train-size", "1000", "--run", "r", cwd=tmp_path)
    wait_for(tmp_path / "r", "models/*/curve.csv", 1, process)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    for flags, said in (
        (("--top", "0"), "--top: 0; expected 1..100000"),
        (("--seeds", f"1{15 * '0'}"), "--seeds: 1000000000000000; expected 1..100000"),
        ((), "no finished network yet"),
    ):
        done = populations("confirm", "r", *flags, cwd=tmp_path)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1)
        assert said in done.stderr


# Measure


def test_the_test_images_are_measured_over_all_and_by_class(run: Path) -> None:
    done = populations("measure", "r", "best", cwd=run.parent)
    assert done.returncode == 0, done.stdout + done.stderr
    table = load(run).measures
    assert set(table["measure"]) == set(table["stage"]) == {"clean"}
    values = table.set_index("metric")["value"]
    replayed = populations("replay", "r", "best", "--test", cwd=run.parent)
    assert f"TEST accuracy {values['test_accuracy']:.4f}, loss {values['test_loss']:.4f}" in replayed.stdout
    classes = [values[f"test_accuracy[{digit}]"] for digit in range(10)]
    assert min(classes) <= values["test_accuracy"] <= max(classes)
    assert f"{values['test_accuracy']:.6f}"[:6] in done.stdout
    assert len(load(run).models) == 9  # a measurement is no model


def test_a_measurement_is_made_once_and_one_that_failed_again(run: Path) -> None:
    best = run / "models" / load(run).identity("best") / "best.safetensors"
    whole = best.read_bytes()
    best.write_bytes(b"spam")
    failed = populations("measure", "r", cwd=run.parent)
    assert failed.returncode == 1
    assert "corrupt" in failed.stdout
    best.write_bytes(whole)
    for _ in range(2):
        assert populations("measure", "r", cwd=run.parent).returncode == 0
    assert len(list(run.glob("models/*"))) == len(load(run).models.query("same_as.isna()")) + 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--measure", "lr_range"), "--measure: lr_range is asked for by its study; expected: "),
        (("--measure", "clear"), "--measure: unknown 'clear' (did you mean 'clean'?); one of clean"),
        (("nothing",), "model 'nothing' of r: found none"),
    ],
)
def test_what_cannot_be_measured_is_one_line(run: Path, arguments: tuple[str, ...], said: str) -> None:
    done = populations("measure", "r", *arguments, cwd=run.parent)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert said in done.stderr


def test_a_model_by_two_names_is_measured_once(run: Path) -> None:
    identity = load(run).identity("best")
    for _ in range(2):
        done = populations("measure", "r", "best", identity[:8], cwd=run.parent)
        assert done.returncode == 0, done.stdout + done.stderr
    assert len(load(run).measures.query("metric == 'test_accuracy'")) == 1


def test_a_measurement_is_no_model(run: Path) -> None:
    assert populations("measure", "r", cwd=run.parent).returncode == 0
    known = set(load(run).models["id"])
    (measured,) = {path.name for path in run.glob("models/*")} - known
    for command in (("measure", "r", measured), ("replay", "r", measured), ("lineage", "r", measured)):
        done = populations(*command, cwd=run.parent)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1)
        assert f"model '{measured}' of r: found none" in done.stderr


def test_what_is_asked_leaves_the_run_asked_for_what_it_was(run: Path) -> None:
    before = (run / "config.json").read_text()
    confirm(run, "--top", "1", "--seeds", "1", "--workers", "1")
    assert populations("measure", "r", "--executor", "serial", cwd=run.parent).returncode == 0
    assert (run / "config.json").read_text() == before


def test_a_confirmation_that_failed_is_tried_again(run: Path) -> None:
    confirm(run, "--top", "1", "--seeds", "1")
    with sqlite3.connect(run / "run.sqlite") as database:
        database.execute("update results set status='lost' where job=(select max(job) from jobs)")
    done = populations("confirm", "r", "--top", "1", "--seeds", "1", cwd=run.parent)
    assert done.returncode == 0, done.stderr
    again = load(run).models.query("stage == 'confirm'")
    assert list(again["status"]) == ["lost", "ok"]


def test_a_table_goes_into_a_pipe(run: Path) -> None:
    done = populations("confirm", "r", "--top", "2", "--seeds", "1", "--format", "csv", cwd=run.parent)
    table = pd.read_csv(io.StringIO(done.stdout))
    assert list(table) == ["id", "depth", "params", "val_accuracy", "mean", "sd", "seeds", "rank"]
    assert "reading the images" in done.stderr
    measured = populations("measure", "r", "--format", "json", cwd=run.parent)
    assert {row["model"] for row in json.loads(measured.stdout)} == {load(run).identity("best")}


# Families


def test_a_file_of_flags_serves_searches_and_families(tmp_path: Path) -> None:
    (tmp_path / "f.toml").write_text(
        'generations = 5\ninherit = true\ntrain-size = 20\nprecision = "fp32"\nepochs = 1\n'
    )
    done = program("--config", "f.toml", "--family", "densenet", "--run", "r", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert load(tmp_path / "r").state == "finished"


def test_a_family_is_a_run(tmp_path: Path) -> None:
    small = ("--family", "densenet", "--train-size", "20", "--epochs", "1", "--precision", "fp32", "--run", "r")
    done = program(*small, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    run = load(tmp_path / "r")
    assert (list(run.models["depth"]), list(run.models["status"])) == ([52], ["ok"])
    assert set(run.models["function_set"]) == {"densenet"}
    assert (len(run.generations), run.state) == (1, "finished")
    assert run.population(0)["id"][0] == run.identity("best")
    assert "--generations" not in done.stdout
    assert program("--resume", "r", cwd=tmp_path).returncode == 0
    assert len(load(tmp_path / "r").models) == 1
    assert populations("replay", "r", "best", cwd=tmp_path).returncode == 0


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--family", "vgg"), "--family: vgg does not fit images of 8 x 8: "),
        (("--family", "vggs"), "--family: unknown 'vggs' (did you mean 'vgg'?); one of vgg, resnet, densenet"),
        (("--family", "vgg", "--generations", "3"), "--generations: 3 has no effect on --family vgg, whose networks"),
    ],
)
def test_a_family_that_cannot_be_trained_is_one_line(tmp_path: Path, flags: tuple[str, ...], said: str) -> None:
    done = program(*flags, cwd=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert said in done.stderr
    assert list(tmp_path.iterdir()) == []
