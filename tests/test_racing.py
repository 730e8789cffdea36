"""Racing: who goes on is decided in order of job number, whatever order a race is told of results in."""

import dataclasses
import random
from collections.abc import Callable, Sequence
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cgp import BadInput
from cgp.genome import Genome
from cgp.graph import Graph
from cgp.layers import Shape
from evaluate.job import FINAL, DataSpec, Job, Result, Train, recipe
from populations.record import Candidate, Record
from populations.search.racing import (
    KEEP,
    Race,
    default_rungs,
    expected_epochs,
    last_epoch,
    passing_share,
    rungs_of,
)
from populations.search.rung_scores import Accuracies, Smoothed
from populations.search.schedule import Schedule

SIZES = Shape(1, 8, 8), 10
CHAIN = Graph.chain(["conv_8_3"], *SIZES)
EPOCHS = 9
RUNGS = (1, 3)
FAILED = Result("failed", error="no")


@cache
def job(number: int) -> Job:
    task = Train(CHAIN, recipe("fast", epochs=EPOCHS), DataSpec("digits"))
    return Job(number, str(number), task, number, "nowhere")


def record(one: Job, result: Result, copied: bool = False) -> Record:
    candidate = Candidate(one.number, 0, None, Genome((0, 0, 1)), one.task.model, stage=one.stage)
    return Record(candidate, one.id, result, copied)


def score(number: int, epoch: int) -> float:
    """What job `number` scores after `epoch`: some order that changes a little along the way."""
    return random.Random(number).random() + 0.2 * random.Random(1000 * number + epoch).random()


def curve(number: int, epochs: int) -> list[dict[str, float]]:
    rows = range(1, epochs + 1)
    return [{"epoch": n, "val_accuracy": score(number, n), "val_loss": 1.0, "seconds": 1.0} for n in rows]


def paused(accuracies: Sequence[float]) -> Result:
    """The result of a training that has come as far as `accuracies` and waits there."""
    rows = [{"epoch": n, "val_accuracy": value, "seconds": 1.0} for n, value in enumerate(accuracies, 1)]
    return Result("paused", {"val_accuracy": accuracies[-1]}, rows)


def reach(race: Race, number: int, *accuracies: float) -> dict[int, bool]:
    """Tell `race` that job `number` paused where it has `accuracies`; return who goes on, and who does not."""
    ended, going_on = race.judge([(dataclasses.replace(job(number), until=len(accuracies)), paused(accuracies))])
    return {one.number: True for one in going_on} | {one.number: False for one, _ in ended}


def entered(race: Race, count: int) -> list[Job]:
    return [race.enter(job(number)) for number in range(count)]


# Whole races


def raced(
    jobs: int,
    slots: int,
    shuffle: int,
    known: dict[int, Result] | None = None,
    scores: type[Accuracies] = Accuracies,
    of: Callable[[int], Job] = job,
) -> dict[int, Result]:
    """Run a whole race with `slots` in flight, stretches ending in an order that `shuffle` decides.

    `known` are results that a journal answers.
    """
    order, schedule, final = random.Random(shuffle), Schedule(Race(RUNGS, 6, scores)), dict[int, Result]()
    waiting, flying = list(range(jobs)), list[Job]()
    while len(final) < jobs:
        while waiting and len(flying) + len(schedule) < slots:
            number = waiting.pop(0)
            if known and number in known:
                final[number] = known[number]
                schedule.hear(record(of(number), known[number]))
            else:
                schedule.add(of(number))
        while schedule and len(flying) < slots:
            flying.append(schedule.pop())
        left = [flying.pop(order.randrange(len(flying)))] if flying else []
        for one, result in schedule.end([(one, answer(one)) for one in left]):
            final[one.number] = result
            schedule.hear(record(one, result))
    return final


def answer(one: Job) -> Result:
    """What a worker answers to `one`; some trainings break in their last stretch."""
    epochs = last_epoch(one)
    if one.number % 7 == 3 and epochs == EPOCHS:
        return FAILED
    metrics = {"val_accuracy": score(one.number, epochs), "val_loss": 1.0}
    return Result("paused" if one.until else "ok", metrics, curve(one.number, epochs))


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 30), st.integers(2, 9), st.integers(0, 2**32))
def test_the_order_of_arrival_decides_nothing(jobs: int, slots: int, shuffle: int) -> None:
    assert raced(jobs, slots, shuffle) == raced(jobs, 1, 0)


@settings(max_examples=40, deadline=None)
@given(st.sets(st.integers(0, 29)), st.integers(1, 9), st.integers(0, 2**32))
def test_neither_does_an_interruption(closed: set[int], slots: int, shuffle: int) -> None:
    """Whatever jobs the journal has results of, the others end as they would have."""
    whole = raced(30, 1, 0)
    assert raced(30, slots, shuffle, {number: whole[number] for number in closed}) == whole


def of_some_graph(number: int) -> Job:
    """Job `number` on a graph whose depth says about what it scores."""
    depth = 1 + int(9 * random.Random(number).random())
    task = dataclasses.replace(job(number).train, model=Graph.chain(["conv_8_3"] * depth, *SIZES))
    return dataclasses.replace(job(number), task=task)


def test_neither_decides_anything_where_graphs_foretell() -> None:
    whole = raced(120, 1, 0, scores=Smoothed, of=of_some_graph)
    assert whole != raced(120, 1, 0, of=of_some_graph)  # they are heeded
    for shuffle in range(3):
        known = {number: whole[number] for number in random.Random(shuffle).sample(range(120), 50 * shuffle)}
        assert raced(120, 2 + shuffle, shuffle, known, Smoothed, of_some_graph) == whole


def test_about_a_third_passes_each_rung_and_the_pruned_keep_their_curve() -> None:
    final = raced(120, 3, 1)
    ends = [len(result.curve) for result in final.values() if result.status == "pruned"]
    assert set(ends) == set(RUNGS)
    assert 0.5 < ends.count(1) / 120 < 0.75
    ok = [number for number, result in final.items() if result.status == "ok"]
    assert 5 < len(ok) < 30
    for number, result in final.items():
        if result.status == "pruned":
            assert result.curve == curve(number, len(result.curve))
            assert result.metrics["val_accuracy"] == score(number, len(result.curve))


def test_a_training_that_breaks_after_a_rung_keeps_the_curve_that_others_were_judged_by() -> None:
    broken = [result for result in raced(120, 2, 3).values() if result.status == "failed"]
    assert broken
    assert all(result.curve for result in broken)


# What a race is told may come in any order

Fate = tuple[str, float, float]  # what becomes of a job, and what it scores at the first rung and later
SCORES = st.sampled_from([0.1, 0.2, 0.3, 0.4])
FATES = st.tuples(st.sampled_from(["trains", "breaks at once", "breaks later", "copy", "journal"]), SCORES, SCORES)


def outcome(fates: list[Fate], order: random.Random | None) -> dict[int, Result]:
    """Tell a race of jobs that fare as `fates` say; return the results of those that left a slot.

    They arrive one by one, the lowest number first, or several at once and in any `order`.
    """
    race, ended = Race(RUNGS, 3), dict[int, Result]()
    pending = entered(race, len(fates))
    while pending:
        if order:
            order.shuffle(pending)
        count = order.randint(1, len(pending)) if order else 1
        left = [stretch for one in pending[:count] for stretch in fared(race, one, fates[one.number])]
        final, going_on = race.judge(left)
        for one, result in final:
            ended[one.number] = result
            race.hear(record(one, result))
        pending = sorted(pending[count:] + going_on, key=lambda one: one.number)
        if not pending:
            final, pending = race.judge([])  # some may have waited for the results that were heard last
            ended |= {one.number: result for one, result in final}
    assert race.paused == []
    return ended


def fared(race: Race, one: Job, fate: Fate) -> list[tuple[Job, Result]]:
    """Return how `one` left its slot; where the journal or the cache knows its result, let `race` hear of that."""
    what, first, later = fate
    whole = Result("ok", {}, paused([first, first, *[later] * (EPOCHS - 2)]).curve)
    if what in ("copy", "journal"):
        race.hear(record(one, whole, copied=what == "copy"))
        return []
    if what == "breaks at once" or (what == "breaks later" and one.until != RUNGS[0]):
        return [(one, FAILED)]
    rows = whole.curve[: last_epoch(one)]
    return [(one, dataclasses.replace(whole, status="paused" if one.until else "ok", curve=rows))]


@settings(deadline=None)
@given(st.lists(FATES, min_size=1, max_size=12), st.randoms(use_true_random=False))
def test_whatever_order_a_race_is_told_in_it_ends_the_same_trainings_at_the_same_rungs(
    fates: list[Fate], order: random.Random
) -> None:
    assert outcome(fates, order) == outcome(fates, None)


# Who goes on


def test_the_first_two_go_on_and_a_worse_third_does_not() -> None:
    race = Race((1,), 6)
    assert reach(race, 2, 0.3) == {}  # jobs 0 and 1 may still come
    assert reach(race, 1, 0.4) == {}
    assert reach(race, 0, 0.5) == {0: True, 1: True, 2: False}


@settings(deadline=None)
@given(st.lists(st.sampled_from([0.1, 0.2, 0.3, None]), min_size=1, max_size=12), st.integers(1, 5))
def test_a_verdict_is_whether_the_score_is_in_the_best_third_or_two_of_the_latest(
    scores: list[float | None], window: int
) -> None:
    race = Race((1,), window)
    for number, score in enumerate(scores):
        if score is None:
            race.hear(record(job(number), FAILED))
        else:
            latest = [value for value in scores[: number + 1] if value is not None][-window:]
            kept = sorted(latest, reverse=True)[: max(2, (len(latest) + KEEP - 1) // KEEP)]
            assert reach(race, number, score) == {number: score >= kept[-1]}


@settings(deadline=None)
@given(st.permutations(range(4)), st.sampled_from([(1,), (1, 3)]))
def test_of_four_networks_at_least_two_pass_every_rung(scores: list[int], rungs: tuple[int, ...]) -> None:
    race, alive = Race(rungs, 4), list(range(4))
    for rung in rungs:
        verdicts = dict[int, bool]()
        for number in alive:
            verdicts |= reach(race, number, *[scores[number]] * rung)
        assert verdicts.keys() == set(alive)
        alive = [number for number, goes_on in verdicts.items() if goes_on]
        assert len(alive) >= 2


def test_copies_and_failures_are_not_waited_for_nor_counted() -> None:
    race = Race((1,), 6)
    assert reach(race, 3, 0.0) == {}
    for number in (0, 1):  # both scored more
        race.hear(record(job(number), Result("ok", {}, curve(number, EPOCHS)), copied=True))
    race.hear(record(job(2), FAILED))
    ended, (going_on,) = race.judge([])
    assert (ended, going_on.number) == ([], 3)


def test_only_the_latest_count() -> None:
    race, verdicts = Race((1,), 3), dict[int, bool]()
    for number, value in enumerate((0.9, 0.9, 0.9, 0.1, 0.1, 0.2, 0.15, 0.1)):
        verdicts |= reach(race, number, value)
    assert verdicts[2] is True
    assert verdicts[5] is True
    assert verdicts[6] is True  # the second best of 0.1, 0.2 and 0.15
    assert verdicts[7] is False


def test_a_score_once_entered_stays() -> None:
    race = Race((1,), 6)
    assert reach(race, 0, 0.5) == {0: True}
    assert reach(race, 0, 0.9) == {0: True}  # trained again after a crash, say
    assert reach(race, 1, 0.8) == {1: True}
    assert reach(race, 2, 0.7) == {2: True}


def test_a_job_of_the_journal_has_its_scores_at_every_rung_that_it_reached() -> None:
    race = Race((1, 3), 6)
    for number, accuracies in enumerate(([0.4, 0.5, 0.6], [0.3], [0.4, 0.5, 0.7])):
        race.hear(record(job(number), paused(accuracies)))
    assert reach(race, 3, 0.5) == {3: True}
    assert reach(race, 3, 0.5, 0.5, 0.5) == {3: False}  # jobs 0 and 2 were better there; job 1 never came


# What becomes of a training


def test_a_pruned_training_has_the_result_it_paused_with() -> None:
    race, ends = Race((1, 3), 6), [paused([value]) for value in (0.9, 0.8, 0.2, 0.1)]
    ended, going_on = race.judge(zip(entered(race, 4), ends, strict=True))
    assert [one.number for one in going_on] == [0, 1]
    assert [one.number for one, _ in ended] == [2, 3]
    assert [result for _, result in ended] == [dataclasses.replace(end, status="pruned") for end in ends[2:]]
    assert race.judge([]) == ([], [])


def test_a_training_that_goes_on_runs_to_the_next_rung_and_from_the_last_to_its_end() -> None:
    race = Race((1, 3), 6)
    one = race.enter(job(0))
    for until in (1, 3):
        assert (one.until, last_epoch(one)) == (until, until)
        ended, (one,) = race.judge([(one, paused([0.5] * until))])
        assert ended == []
    assert (one, last_epoch(one)) == (job(0), EPOCHS)
    whole = Result("ok", {"val_accuracy": 0.5}, curve(0, 9))
    assert race.judge([(one, whole)]) == ([(one, whole)], [])


def test_what_waits_for_a_verdict_is_paused_meanwhile() -> None:
    race = Race((1,), 6)
    first, second = entered(race, 2)
    race.judge([(second, paused([0.5]))])
    assert race.paused == [second]
    race.judge([(first, paused([0.5]))])
    assert race.paused == []


def test_a_training_that_an_earlier_session_let_go_on_is_not_judged_again() -> None:
    race = Race((1, 3), 6)
    first, second, third = entered(race, 3)
    ended, going_on = race.judge([(third, paused([0.1, 0.2]))])  # its last checkpoint is beyond the rung
    assert (ended, [(one.number, one.until) for one in going_on]) == ([], [(2, 3)])
    ended, going_on = race.judge([(first, paused([0.9])), (second, paused([0.8]))])
    assert (ended, [one.number for one in going_on]) == ([], [0, 1])


def test_a_training_that_ends_before_its_rung_is_not_raced() -> None:
    race = Race((3,), 6)
    one, impatient = race.enter(job(0)), Result("ok", {"val_accuracy": 0.5}, curve(0, 2))
    assert race.judge([(one, impatient)]) == ([(one, impatient)], [])
    assert race.judge([]) == ([], [])


def test_a_training_that_breaks_has_the_curve_of_its_last_rung_and_else_its_own() -> None:
    race = Race((1, 3), 6)
    one = race.enter(job(0))
    assert race.curve(one) == []
    _, (one,) = race.judge([(one, paused([0.5]))])
    assert race.curve(one) == paused([0.5]).curve
    assert race.judge([(one, FAILED)]).ended == [(one, dataclasses.replace(FAILED, curve=paused([0.5]).curve))]
    assert race.curve(one) == []
    other = race.enter(job(1))
    assert race.judge([(other, FAILED)]).ended == [(other, FAILED)]


def test_the_final_ranking_is_no_race_and_holds_no_race_up() -> None:
    race, final = Race((1,), 6), dataclasses.replace(job(0), stage=FINAL)
    assert race.enter(final) == final
    race.hear(record(final, Result("ok", {}, curve(0, EPOCHS))))
    assert reach(race, 1, 0.0) == {}  # job 0 of the search may still come
    assert reach(race, 0, 0.0) == {0: True, 1: True}


def test_without_rungs_every_training_runs_to_its_end() -> None:
    race, whole = Race(), Result("ok", {}, curve(0, EPOCHS))
    one = race.enter(job(0))
    assert one == job(0)
    assert race.judge([(one, whole)]) == ([(one, whole)], [])
    race.hear(record(one, whole))
    assert (race.judge([]), race.paused) == (([], []), [])


# Which rungs, and how many epochs


@pytest.mark.parametrize(
    ("epochs", "rungs"), [(2, (1,)), (3, (1,)), (6, (1, 2)), (9, (1, 3)), (50, (5, 16)), (200, (22, 66))]
)
def test_rungs_of_a_recipe(epochs: int, rungs: tuple[int, ...]) -> None:
    assert default_rungs(epochs) == rungs


@pytest.mark.parametrize("text", ["6", "2,9", "0,2", "3,2", "2,2", "one"])
def test_rungs_beyond_the_epochs_or_out_of_order_are_refused(text: str) -> None:
    with pytest.raises(BadInput, match=f"--rungs: .*{text}.*expected"):
        rungs_of(text, recipe("fast", epochs=6))


def test_the_rungs_asked_for_are_those_of_the_race() -> None:
    assert rungs_of("1,2,5", recipe("fast", epochs=6)) == (1, 2, 5)
    assert rungs_of(None, recipe("fast", epochs=9)) == (1, 3)


def test_one_epoch_has_no_rung() -> None:
    assert rungs_of(None, recipe("fast", epochs=1)) == ()


def test_the_epochs_expected_are_those_of_the_share_that_goes_on_from_every_rung() -> None:
    assert expected_epochs((), 4, 0.5) == 4
    assert expected_epochs((1, 3), 9, 1 / 3) == pytest.approx(1 + 2 / 3 + 6 / 9)
    assert expected_epochs((1, 3), 9, 0.5, begin=1) == pytest.approx(2 + 6 / 2)


def test_the_epochs_left_of_a_training_are_those_from_its_last_rung_on() -> None:
    race = Race((1, 3), 6)
    first, second = entered(race, 2)
    assert race.epochs_left(first, 0.5) == pytest.approx(1 + 2 / 2 + 6 / 4)
    race.judge([(second, paused([0.5]))])
    assert race.epochs_left(second, 0.5) == pytest.approx((2 + 6 / 2) / 2)  # it may be pruned where it is
    _, going_on = race.judge([(first, paused([0.5]))])
    assert [race.epochs_left(one, 0.5) for one in going_on] == [pytest.approx(2 + 6 / 2)] * 2
    _, (last,) = race.judge([(going_on[0], paused([0.5] * 3))])
    assert race.epochs_left(last, 0.5) == 6
    assert race.epochs_left(dataclasses.replace(job(0), stage=FINAL), 0.5) == EPOCHS
    assert Race().epochs_left(job(0), 1.0) == EPOCHS


@pytest.mark.parametrize(("jobs", "window"), [(1, 8), (2, 1), (9, 4), (40, 8), (200, 30)])
def test_the_share_expected_to_go_on_is_that_of_races_in_random_order(jobs: int, window: int) -> None:
    passed, order = 0, random.Random(0)
    for _ in range(300):
        race = Race((1,), window)
        for number in range(jobs):
            passed += reach(race, number, order.random())[number]
    assert passing_share(jobs, window) == pytest.approx(passed / 300 / jobs, abs=0.02)
