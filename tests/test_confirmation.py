"""`--confirm N`: the winners of a search, trained again on fresh seeds and for longer; the mean decides."""

import os
import shutil
import signal
from pathlib import Path

import pandas as pd
import pytest

from harness import TINY, assert_same_run, facts, populations, program, start, wait_for
from populations import load
from populations.strategies.confirmation import LONGER, SEEDS

CONFIRMED = (*TINY, "--confirm", "2")


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A finished search whose winners are confirmed, and what it said."""
    cwd = tmp_path_factory.mktemp("searched")
    done = program(*CONFIRMED, "--workers", "1", "--run", "r", cwd=cwd)
    assert done.returncode == 0, done.stderr
    return cwd / "r", done.stdout


@pytest.fixture
def run(searched: tuple[Path, str], tmp_path: Path) -> Path:
    """A copy of it."""
    shutil.copytree(searched[0], tmp_path / "r", symlinks=True)
    return tmp_path / "r"


def means(run: Path) -> pd.Series:
    """The mean accuracy of each winner in the end, best first."""
    models = load(run).models
    again = models[models["stage"] == "confirmed"]
    return again.groupby("parent")["val_accuracy"].mean().sort_values(ascending=False)


def test_the_winners_are_trained_for_longer_on_seeds_of_their_own(searched: tuple[Path, str]) -> None:
    run = load(searched[0])
    first, again = (run.models[run.models["stage"] == stage] for stage in ("search", "confirmed"))
    ranked = first[first["same_as"].isna()].sort_values(["val_accuracy", "params"], ascending=[False, True])
    assert set(again["parent"]) == set(ranked["id"][:2])
    assert list(again["epochs"]) == [2 * LONGER] * 2 * SEEDS
    assert again["seed"].nunique() == len(again)
    assert not set(again["seed"]) & set(first["seed"])
    assert again["same_as"].isna().all()
    assert run.state == "finished"


def test_the_mean_decides_who_is_best(searched: tuple[Path, str]) -> None:
    run, said = searched
    assert load(run).identity("best") == means(run).index[0]
    lines = [line.split() for line in said.splitlines() if " mean val_accuracy " in line]
    assert [line[0] for line in lines] == list(means(run).index)
    assert [line[3] for line in lines] == [f"{mean:.4f}" for mean in means(run)]


def test_the_search_is_the_same_as_without(searched: tuple[Path, str], tmp_path: Path) -> None:
    assert program(*TINY, "--workers", "1", "--run", "r", cwd=tmp_path).returncode == 0
    plain, confirmed = (facts(load(run)) for run in (tmp_path / "r", searched[0]))
    pd.testing.assert_frame_equal(plain, confirmed[confirmed["stage"] == "search"], check_exact=True)


@pytest.mark.parametrize("count", [10, 11])
def test_a_killed_confirmation_goes_on_to_the_same_records(
    searched: tuple[Path, str], tmp_path: Path, count: int
) -> None:
    trained = load(searched[0]).models["same_as"].isna().sum() - 2 * SEEDS
    process = start(*CONFIRMED, "--workers", "1", "--run", "r", cwd=tmp_path)
    wait_for(tmp_path / "r", "models/*/last.safetensors", trained + count - 9, process)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert load(tmp_path / "r").state == "stopped"
    assert program("--resume", "r", cwd=tmp_path).returncode == 0
    assert_same_run(searched[0], tmp_path / "r")


def test_a_longer_search_trains_no_winner_twice_and_a_finished_one_is_confirmed_later(run: Path) -> None:
    before = load(run).models
    done = program("--resume", "r", "--generations", "4", "--confirm", "3", cwd=run.parent)
    assert done.returncode == 0, done.stderr
    after = load(run)
    again = after.models[after.models["stage"] == "confirmed"]
    assert 3 * SEEDS <= len(again) <= 5 * SEEDS
    assert again.groupby("parent").size().eq(SEEDS).all()
    kept = after.models[after.models["id"].isin(before["id"])]
    assert dict(zip(kept["id"], kept["val_accuracy"], strict=True)) == dict(
        zip(before["id"], before["val_accuracy"], strict=True)
    )
    assert set(before["id"]) <= set(after.models["id"])
    assert after.state == "finished"


def test_one_of_them_is_replayed_to_the_bit(searched: tuple[Path, str]) -> None:
    models = load(searched[0]).models
    identity = models[models["stage"] == "confirmed"]["id"].iloc[0]
    done = populations("replay", "r", identity, "--retrain", cwd=searched[0].parent)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "weights   equal" in done.stdout


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--confirm", "4"), "--confirm: 4 is more than the 3 networks of the population; expected 0..3"),
        (("--confirm", "2", "--keep", "best"), "--keep best: drops the weights of winners that --confirm may put"),
    ],
)
def test_what_cannot_be_confirmed_is_one_line(tmp_path: Path, flags: tuple[str, ...], said: str) -> None:
    done = program(*TINY, *flags, cwd=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert said in done.stderr
