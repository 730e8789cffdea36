"""Several objectives at once: the strategy nsga2, the front, and whose weights `--keep pareto` keeps."""

import os
import signal
from pathlib import Path
from random import Random

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import settings as settings_of_hypothesis
from hypothesis import strategies as st

import populations.__main__ as cli
from evaluate.metrics import objectives
from harness import TINY, program, start, wait_for
from populations import load
from populations.front import Front
from populations.strategies import Strategy, strategy
from test_strategies import judged, live, settings

GOALS = ("val_accuracy", "params")
SEARCH = (
    *TINY, "--strategy", "nsga2", "--objectives", ",".join(GOALS), "--keep", "pareto", "--workers", "1", "--run", "r",
)  # fmt: skip


def undominated(table: pd.DataFrame) -> list[str]:
    """The ids of the rows that none beats in accuracy and parameters, by comparing all with all."""
    rows = list(table[["id", *GOALS]].itertuples(index=False, name=None))
    return [
        name
        for name, accuracy, params in rows
        if not any(a >= accuracy and p <= params and (a, p) != (accuracy, params) for _, a, p in rows)
    ]


def kept(run: Path) -> set[str]:
    """The ids of the models whose weights are there."""
    return {path.parent.name for path in run.glob("models/*/*.safetensors")}


def assert_front(run: Path) -> None:
    found = load(run)
    own = found.models[(found.models["status"] == "ok") & found.models["same_as"].isna()]
    front = list(found.front["id"])
    assert sorted(front) == sorted(undominated(own))
    assert list(found.front["val_accuracy"]) == sorted(found.front["val_accuracy"], reverse=True)
    assert (run / "best").resolve().name == front[0]
    assert kept(run) == set(front)


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    cwd = tmp_path_factory.mktemp("nsga2")
    done = program(*SEARCH, cwd=cwd)
    assert done.returncode == 0, done.stderr
    assert f"networks that none beats in {' and '.join(GOALS)}" in done.stdout
    return cwd / "r"


def test_best_is_the_first_of_the_front_whose_weights_alone_are_kept(searched: Path) -> None:
    assert_front(searched)
    assert len(kept(searched)) > 1
    assert load(searched).config["racing"] is False


def test_the_front_is_a_table(searched: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["show", str(searched), "--front", "--format", "csv"]) == 0
    ids = [line.split(",")[0] for line in capsys.readouterr().out.splitlines()[1:]]
    assert ids == list(load(searched).front["id"])
    assert cli.main(["show", str(searched), "--front"]) == 0
    assert set(GOALS) <= set(capsys.readouterr().out.splitlines()[0].split())
    assert cli.main(["show", str(searched), "--front", "--generation", "1"]) == 2
    assert "--front: is of the whole run" in capsys.readouterr().err


def test_a_killed_search_ends_in_the_same_records_and_weights(searched: Path, tmp_path: Path) -> None:
    process = start(*SEARCH, cwd=tmp_path)
    wait_for(tmp_path / "r", "models/*/genome.json", 4, process)  # of the second generation
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert program("--resume", "r", "--workers", "2", cwd=tmp_path).returncode == 0
    ours, theirs = (load(run).models[["id", "parent", *GOALS]] for run in (tmp_path / "r", searched))
    assert ours.equals(theirs)
    assert_front(tmp_path / "r")


def test_a_front_of_another_strategy_is_of_its_objectives(run: Path) -> None:
    found = load(run)
    own = found.models[found.models["same_as"].isna()]
    assert sorted(found.front["id"]) == sorted(undominated(own))


# The strategy by itself


def searching(population: int = 4) -> Strategy:
    return strategy("nsga2", settings(",".join(GOALS), population=population))


def test_order_of_arrival_and_number_of_slots_change_nothing() -> None:
    one, two = searching(), searching()
    assert live(one, 1, 0) == live(two, 5, 3)
    assert [record.candidate for record in one.front] == [record.candidate for record in two.front]


def test_survivors_are_undominated_as_far_as_there_is_room() -> None:
    breeding = searching(population=12)
    asked, closed = live(breeding, 2, 0)
    for generation in closed:
        seen = [candidate for candidate in asked if candidate.generation <= generation.number]
        rows = [(str(c.number), judged(c).result.metrics["val_accuracy"], c.model.params) for c in seen]
        front = undominated(pd.DataFrame(rows, columns=["id", *GOALS]))
        assert {int(number) for number in front} <= set(generation.members)
        assert generation.members[0] == max(
            seen, key=lambda c: (judged(c).result.metrics["val_accuracy"], -c.model.params, -c.number)
        ).number  # fmt: skip


@settings_of_hypothesis(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=12), st.randoms())
def test_an_age_breaks_ties_and_dominates_nothing(values: list[tuple[int, int]], arrival: Random) -> None:
    """What an older network equals in one objective and beats it in the other is off the front."""
    numbered = list(enumerate(values))
    arrival.shuffle(numbered)
    front = Front[int](objectives(",".join(GOALS)))
    for number, (accuracy, params) in numbered:
        front.add(number, f"graph {number % 5}", (accuracy, params), number)
    table = pd.DataFrame([(str(n), a, p) for n, (a, p) in enumerate(values)], columns=["id", *GOALS])
    expected = dict[tuple[int, tuple[int, int]], int]()
    for name in sorted(map(int, undominated(table))):
        expected.setdefault((name % 5, values[name]), name)  # of one graph and score, the oldest
    assert front.members == sorted(
        expected.values(), key=lambda number: (-values[number][0], values[number][1], number)
    )
