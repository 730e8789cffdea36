"""The long measurements of searches: recorded in parts, the same rows whatever the parts."""

import gzip
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.searches import foretold, live, population, replayed, rungs, summary
from benchmarks.searches.table import read, write
from cgp import BadInput
from evaluate.job import DataSpec, Job, Result
from populations.record import Record
from populations.strategies.screened import START


def worth(job: Job) -> Result:
    """A score that the graph and the seed decide, and no training."""
    noise = np.random.default_rng(job.seed).normal(0, 0.02)
    score = 0.5 + 0.02 * float(np.log(job.train.model.params)) - 0.004 * job.train.model.depth + float(noise)
    row = {"epoch": 1.0, "train_loss": 1.0, "train_accuracy": score, "val_accuracy": score, "val_loss": 1.0}
    return Result("ok", {"val_accuracy": score, "test_accuracy": score - 0.01}, [row | {"seconds": 1.0}], seconds=1.0)


def short(number: int, seed: int) -> dict[str, Any]:
    job = population.job_of(number, seed, Path("short"), population.SHORT, DataSpec("none"))
    return population.row_of(("short", number, seed), job, worth(job), "a machine")


def whole(row: dict[str, Any]) -> dict[str, Any]:
    """The same training with a curve of all epochs, early ones with more luck in them."""
    rng, end = np.random.default_rng([row["number"], row["seed"]]), population.score(row)
    scores = [end - 0.05 + 0.04 * float(rng.normal()), end - 0.02 + 0.02 * float(rng.normal()), end - 0.01, end]
    return row | {"curve": [{"train_loss": 2 - one, "val_loss": 2 - one, "val_accuracy": one} for one in scores]}


@pytest.fixture(scope="module")
def recorded() -> list[dict[str, Any]]:
    """A population of 80 networks, each trained twice."""
    return [short(number, seed) for number in range(80) for seed in (0, 1)]


# Tables


def test_a_table_is_the_same_file_for_the_same_rows(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write([{"number": 1}], 7, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert read(tmp_path / "a", 7) == [{"number": 1}]
    assert read(tmp_path / "none", 7) == []


def test_a_table_of_another_version_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "t").write_bytes(gzip.compress(json.dumps({"version": 3}).encode()))
    with pytest.raises(BadInput, match="t: a table of version 3; expected 1: record it anew, or use the program"):
        read(tmp_path / "t", 1)


# The population


def test_what_is_missing_is_asked_for_once_and_the_long_ones_last(recorded: list[dict[str, Any]]) -> None:
    asked = list(population.missing([], 80, 8))
    assert asked == [("short", number, seed) for number in range(80) for seed in (0, 1)]
    assert list(population.missing(recorded[:31], 80, 8)) == asked[31:]
    long = list(population.missing(recorded, 80, 8))
    assert [kind for kind, _, _ in long] == ["long"] * 16
    scores = {n: np.mean([population.score(row) for row in recorded if row["number"] == n]) for n in range(80)}
    ranks = sorted(sorted(scores, key=lambda n: scores[n]).index(number) for _, number, seed in long if seed == 0)
    assert ranks == [5 + 10 * place for place in range(8)] or ranks == [4 + 10 * place for place in range(8)]


def test_a_network_is_the_same_whenever_it_is_asked_for() -> None:
    assert population.graph(5) == population.graph(5)
    assert population.graph(5) != population.graph(6)
    assert population.graph(5).flops <= (population.SPACE.max_flops or 0)


# Replays


def test_random_picking_gives_what_is_expected_of_it(recorded: list[dict[str, Any]]) -> None:
    pool = replayed.Pool(recorded)
    scores = [replayed.replay(replayed.at_random, pool, (32, 64), seed) for seed in range(400)]
    for place, budget in enumerate((32, 64)):
        mean, error = np.mean(scores, axis=0)[place], np.std(scores, axis=0)[place] / 20
        assert abs(mean - replayed.expected(pool, budget)) < 4 * error + 1e-9


@pytest.mark.parametrize("policy", [replayed.by_parameters, replayed.by_depth, replayed.screened])
def test_a_policy_picks_new_networks_only(recorded: list[dict[str, Any]], policy: replayed.Policy) -> None:
    pool, rng = replayed.Pool(recorded), np.random.default_rng(0)
    left = np.arange(24, 80)
    picked = policy(pool, list(range(24)), left, rng, 8)
    assert len(set(picked)) == 8
    assert set(picked) <= set(left.tolist())


def test_with_racing_more_networks_are_replayed_for_the_same_cost(recorded: list[dict[str, Any]]) -> None:
    pool = replayed.Pool([whole(row) for row in recorded])
    racing = replayed.Racing(pool)
    trained = [racing.train(place) for place in range(80)]
    assert {(one.pruned, len(one.scores)) for one in trained} == {(True, 1), (False, 4)}
    assert 20 < sum(one.pruned for one in trained) < 60
    raced, whole_ones = (
        np.mean([played(pool, (24,), seed) for seed in range(6)])
        for played in (replayed.raced, partial(replayed.replay, replayed.screened))
    )
    assert raced > whole_ones


def test_replays_say_how_many_uniform_draws_a_policy_is_worth(
    recorded: list[dict[str, Any]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table, out = tmp_path / "table", tmp_path / "replayed.json"
    long = [short(number, seed) | {"kind": "long"} for number in range(10) for seed in (0, 1)]
    write(recorded + long, population.VERSION, table)
    assert replayed.main(["--table", str(table), "--out", str(out), "--repeats", "3"]) == 0
    found = json.loads(out.read_text())
    assert (found["networks"], list(found["judged"]["screened"])) == (80, ["32"])
    draws, expectation = found["uniform draws for the same"]["screened"]["32"], found["judged"]["screened"]["32"][0]
    assert replayed.expected(replayed.Pool(recorded), draws) >= expectation
    assert list(found["spearman of the seen score"]) == [
        "with the judging one",
        "with the mean of two long ones (10 networks)",
    ]
    assert "uniform draws for the same" in capsys.readouterr().out


# What regressions foretell


def test_regressions_are_compared_by_what_they_foretell_of_the_unseen(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table, out = tmp_path / "table", tmp_path / "foretold.json"
    write([whole(short(number, seed)) for number in range(130) for seed in (0, 1)], population.VERSION, table)
    assert foretold.main(["--table", str(table), "--out", str(out), "--repeats", "2"]) == 0
    found = json.loads(out.read_text())
    assert (found["networks"], list(found["spearman"]["size and depth"])) == (130, ["16", "24"])
    assert found["spearman"]["size and depth"]["24"] > 0.7  # which is what scores depend on here
    raced = found["spearman, raced"]
    assert raced["with what the others gained"]["24"] > raced["left out"]["24"]
    assert "size and depth" in capsys.readouterr().out


def test_what_few_networks_foretell_is_not_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert foretold.main(["--table", str(tmp_path / "none")]) == 2
    assert "error: 0 networks of the table were trained twice; expected at least 116" in capsys.readouterr().err


# Rungs


def test_what_graphs_foretell_is_held_against_how_both_trainings_of_a_network_end(
    recorded: list[dict[str, Any]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table, out = tmp_path / "table", tmp_path / "rungs.json"
    write([whole(row) for row in recorded] + [short(99, 0) | {"status": "failed"}], population.VERSION, table)
    assert rungs.main(["--table", str(table), "--out", str(out), "--repeats", "2"]) == 0
    found = json.loads(out.read_text())
    assert (found["networks"], list(found["spearman"]["1"])) == (80, ["16", "24", "32", "48"])
    early, late = found["spearman"]["1"]["48"], found["spearman"]["3"]["48"]
    assert early["mean, 0.5 foretold"][1] > early["val_accuracy"][1]
    assert late["val_accuracy"][0] > early["val_accuracy"][0]
    assert "epoch 1, learned from  48: val_accuracy" in capsys.readouterr().out


def test_whole_races_are_told_apart_by_what_judges_them(recorded: list[dict[str, Any]]) -> None:
    trainings = rungs.Trainings([whole(row) for row in recorded], 0)
    plain, smoothed = (rungs.raced(trainings, 1, np.arange(80), name, 8) for name in ("accuracy", "smoothed"))
    assert plain != smoothed
    assert all(0 < share <= 1 for scored in (plain, smoothed) for share in scored)


def test_rungs_of_too_few_networks_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert rungs.main(["--table", str(tmp_path / "none")]) == 2
    assert "error: 0 networks of the table were trained twice; expected at least 36" in capsys.readouterr().err


# Live searches


@pytest.fixture
def searched(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, tuple[dict[str, Any], ...]], dict[str, Any]]:
    """Run a search of an arm whose trainings take no time."""
    for name in ("train_counted", "trained_and_tested"):
        monkeypatch.setattr(live, name, worth)
    monkeypatch.setattr(live, "test_best", lambda job, result: result)
    monkeypatch.setattr("populations.strategies.screened.Screened.draws", 100)
    monkeypatch.setattr("populations.strategies.screened.Screened.children", 100)
    return lambda arm, start: live.made(live.Asked(arm, 3, "none", "cpu", start, 60.0))


def test_all_arms_begin_with_the_same_networks_and_go_their_own_ways(
    searched: Callable[[str, tuple[dict[str, Any], ...]], dict[str, Any]],
) -> None:
    start = tuple(searched("start", ())["results"])
    assert len(start) == START
    first = {arm: [c.model.id for c in live.breeding(live.Asked(arm, 3, "", "")).ask(START)] for arm in live.ARMS}
    assert len({tuple(ids) for ids in first.values()}) == 1
    rows = {arm: searched(arm, start) for arm in live.ARMS}
    for row in rows.values():
        spent = [spent for spent, _, _ in row["trained"]]
        assert spent == sorted(spent)
        assert spent[-2] < 60 <= spent[-1]
        assert len(row["judged"]) == live.JUDGES
    assert len({tuple(score for _, score, _ in row["trained"][:START]) for row in rows.values()}) == 1


def test_starts_come_before_the_arms_that_share_them_and_those_that_decide_first() -> None:
    first, second = live.FIRST, live.FIRST + 1
    assert [(one.arm, one.seed) for one in live.missing([], 2, "", "")] == [("start", first), ("start", second)]
    found = [{"arm": "start", "seed": first, "results": [{"seconds": 2.0}, {"seconds": 4.0}]}]
    asked = list(live.missing(found, 2, "", ""))
    others = [arm for arm in live.ARMS if arm not in live.DECIDING]
    assert [(one.arm, one.seed) for one in asked] == [
        *((arm, first) for arm in live.DECIDING),
        ("start", second),
        *((arm, first) for arm in others),
    ]
    assert {one.budget for one in asked if one.arm != "start"} == {18.0}


@pytest.mark.usefixtures("searched")
def test_the_model_free_arm_has_draws_and_children_in_the_proportion_in_which_the_surrogate_has_them() -> None:
    searching = live.breeding(live.Asked("model-free", 3, ""))
    for candidate in searching.ask(START):
        searching.tell(Record(candidate, str(candidate.number), Result("ok", {"val_accuracy": 0.5})))
    assert isinstance(searching, live.ModelFree)
    found = searching.candidates(searching.individuals, np.random.default_rng(0))
    children = [proposal for proposal in found if proposal.parent]
    assert len(children) / len(found) == pytest.approx(2 / 3, abs=0.1)
    assert len({proposal.parent for proposal in children}) > START // 3


# What the live searches say


def searches(gains: dict[str, float], seeds: int = 8) -> list[dict[str, Any]]:
    """Searches whose best network is better than its start by `gains`, by arm, and a little by chance."""
    rng = np.random.default_rng(0)
    rows = list[dict[str, Any]]()
    for seed, arm in ((seed, arm) for seed in range(seeds) for arm in live.ARMS):
        found = rng.uniform(0.2, 0.3, START + 10)
        found[START + 2] = 0.4 + gains.get(arm, 0.0) + rng.uniform(0, 0.002)
        trained = [[float(n + 1), float(score), float(score)] for n, score in enumerate(found)]
        about = {"arm": arm, "seed": seed, "budget": START + 9.5, "hardware": "a machine"}
        rows.append(about | {"trained": trained, "judged": [float(found[START + 2])] * live.JUDGES})
    return rows


def test_the_area_is_the_mean_of_the_curve_from_the_start_to_the_budget() -> None:
    trained = [[float(n + 1), 0.1, 0.2] for n in range(START)] + [[START + 2.0, 0.3, 0.6], [START + 4.5, 0.2, 0.9]]
    row = {"trained": trained, "budget": START + 4.0}
    assert summary.area(row) == pytest.approx((0.2 * 2 + 0.6 * 2) / 4)  # what comes after the budget does not count
    assert summary.curve(row, np.array([0.0, 0.4, 0.6])).tolist() == [0.2, 0.2, 0.6]


@pytest.mark.parametrize(
    ("gains", "success"),
    [({"screened": 0.1}, True), ({"screened": 0.1, "model-free": 0.2}, False), ({}, False)],
    ids=["above both", "below model-free", "the same"],
)
def test_success_is_above_random_and_above_the_arm_without_a_model(gains: dict[str, float], success: bool) -> None:
    found = summary.summary(searches(gains))
    assert found["seeds"] == list(range(8))
    assert found["success"] is success
    assert found["arms"]["random"]["P(win)"] == 0.5


def test_networks_are_told_apart_by_their_place_behind_the_start() -> None:
    scores = [0.1] * START + [0.2] * 8 + [0.3, 0.5]
    rows = [{"trained": [[0.0, score, 0.0] for score in found]} for found in (scores, [*scores[:-1], 0.4])]
    assert summary.validated(rows) == {"25..32": 0.2, "33..48": 0.375}


def test_tests_are_corrected_for_their_number() -> None:
    assert summary.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])


def test_too_few_whole_seeds_are_said_in_one_line() -> None:
    said = "1 seeds with every arm that decides; expected at least 2: record more by python -m"
    with pytest.raises(BadInput, match=said):
        summary.summary(searches({}, 1))


def test_an_arm_that_does_not_decide_is_described_on_the_seeds_that_it_has() -> None:
    rows = searches({"screened": 0.1, "aging": 0.05})
    whole = summary.summary(rows)["arms"]
    assert {arm: about["seeds"] for arm, about in whole.items()} == dict.fromkeys(live.ARMS, 8)
    few = [row for row in rows if row["arm"] != "aging" or row["seed"] < 3]
    arms = summary.summary([row for row in few if row["arm"] != "parameters" or row["seed"] < 1])["arms"]
    assert {arm: about["seeds"] for arm, about in arms.items()} == dict.fromkeys(live.DECIDING, 8) | {"aging": 3}
    assert arms["aging"]["area less that of random"]["mean"] == pytest.approx(0.04, abs=0.01)  # of the same seeds
