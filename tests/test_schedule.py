"""Which job runs next, and what a race's verdicts make of those that pause."""

import dataclasses
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cgp.graph import Graph
from cgp.layers import Shape
from evaluate.job import FINAL, Job, Result, recipe
from evaluate.pool.pool import Pool
from fakes import Silent
from populations.record import Record
from populations.search.cost import CostModel, Point
from populations.search.outlook import Outlook
from populations.search.racing import KEEP, Race, rungs_of
from populations.search.schedule import Schedule
from populations.strategies import strategy
from test_racing import CHAIN, curve, job, of, sized, told
from test_strategies import settings as of_strategy

WIDE = Graph.chain(["conv_64_5"], Shape(1, 8, 8), 10)


def paused(accuracies: Sequence[float]) -> Result:
    """The result of a training that has come as far as `accuracies` and waits there."""
    rows = [{"epoch": n, "val_accuracy": value, "seconds": 1.0} for n, value in enumerate(accuracies, 1)]
    return Result("paused", {"val_accuracy": accuracies[-1]}, rows)


def started(schedule: Schedule, count: int) -> list[Job]:
    """Add jobs 0, 1, ... of one size and start them all; they come back in order of number."""
    for number in range(count):
        schedule.add(job(number))
    return [schedule.pop() for _ in range(count)]


# Who goes on


@settings(deadline=None)
@given(st.lists(st.sampled_from([0.1, 0.2, 0.3, None]), min_size=1, max_size=12), st.integers(1, 5))
def test_a_verdict_is_whether_the_score_is_in_the_best_third_or_two_of_the_latest(
    scores: list[float | None], window: int
) -> None:
    race = Race((1,), window)
    for number, score in enumerate(scores):
        if score is None:
            race.leave(number, Result("failed", error="no"), copied=False)
        else:
            race.enter(number, 1, score)
    for number, score in enumerate(scores):
        if score is not None:
            latest = [value for value in scores[: number + 1] if value is not None][-window:]
            kept = sorted(latest, reverse=True)[: max(2, (len(latest) + KEEP - 1) // KEEP)]
            assert race.verdict(number, 1) is (score >= kept[-1])


def test_a_score_once_entered_stays() -> None:
    race = Race((1,), 6)
    race.enter(0, 1, 0.5)
    race.enter(0, 1, 0.9)  # trained again after a crash, say
    race.enter(1, 1, 0.7)
    assert race.verdict(1, 1) is True


def test_a_job_of_the_journal_has_its_scores_at_every_rung_that_it_reached() -> None:
    race = Race((1, 3), 6)
    race.leave(0, paused([0.4, 0.5, 0.6]), copied=False)
    race.leave(1, paused([0.3]), copied=False)
    race.leave(2, paused([0.4, 0.5, 0.7]), copied=False)
    race.enter(3, 1, 0.5)
    race.enter(3, 3, 0.5)
    assert race.verdict(3, 1) is True
    assert race.verdict(3, 3) is False  # jobs 0 and 2 were better there; job 1 never came
    assert (race.after(1), race.after(3)) == (3, None)


def test_the_rungs_asked_for_are_those_of_the_race() -> None:
    assert rungs_of("1,2,5", recipe("fast", epochs=6)) == (1, 2, 5)
    assert rungs_of(None, recipe("fast", epochs=9)) == (1, 3)


def test_a_pruned_training_has_the_result_it_paused_with() -> None:
    schedule = Schedule(Race((1, 3), 6))
    jobs, ends = started(schedule, 4), [paused([value]) for value in (0.9, 0.8, 0.2, 0.1)]
    assert [schedule.end(one, result) for one, result in zip(jobs, ends, strict=True)] == [None] * 4
    pruned = schedule.prunings()
    assert [one.number for one, _ in pruned] == [2, 3]
    assert [result for _, result in pruned] == [dataclasses.replace(end, status="pruned") for end in ends[2:]]
    assert schedule.prunings() == []


def test_a_training_that_goes_on_runs_to_the_next_rung_and_from_the_last_to_its_end() -> None:
    schedule = Schedule(Race((1, 3), 6))
    (one,) = started(schedule, 1)
    for until in (1, 3):
        assert one.until == until
        assert schedule.end(one, paused([0.5] * until)) is None
        assert schedule.prunings() == []
        one = schedule.pop()
    assert one.until is None
    whole = Result("ok", {"val_accuracy": 0.5}, curve(0, 9))
    assert schedule.end(one, whole) == whole


def test_a_training_that_an_earlier_session_let_go_on_is_not_judged_again() -> None:
    schedule = Schedule(Race((1, 3), 6))
    first, second = started(schedule, 2)
    assert schedule.end(first, paused([0.9])) is None
    assert schedule.end(second, paused([0.1, 0.2])) is None  # its last checkpoint is beyond the rung
    assert schedule.prunings() == []
    assert {schedule.pop().number: one for one in range(2)}.keys() == {0, 1}
    assert len(schedule) == 0


def test_a_training_that_ends_before_its_rung_is_not_raced() -> None:
    schedule = Schedule(Race((3,), 6))
    (one,) = started(schedule, 1)
    impatient = Result("ok", {"val_accuracy": 0.5}, curve(0, 2))
    assert schedule.end(one, impatient) == impatient
    assert schedule.prunings() == []


def test_the_final_ranking_is_no_race_and_holds_no_race_up() -> None:
    schedule = Schedule(Race((1,), 6))
    final = dataclasses.replace(job(0), stage=FINAL)
    schedule.add(final)
    assert schedule.pop().until is None
    record = told(final, 1.0)
    schedule.hear(dataclasses.replace(record, candidate=dataclasses.replace(record.candidate, stage=FINAL)))
    (one,) = started(schedule, 1)
    schedule.end(one, paused([0.0]))
    assert (schedule.prunings(), len(schedule)) == ([], 1)


def test_without_a_race_every_training_runs_to_its_end() -> None:
    schedule = Schedule()
    (one,) = started(schedule, 1)
    assert one.until is None
    assert (schedule.prunings(), len(schedule)) == ([], 0)


# Which is next


def test_the_farthest_along_starts_before_the_longest() -> None:
    schedule = Schedule(Race((1, 3), 6))
    schedule.add(sized(0, 1))
    first = schedule.pop()
    schedule.end(first, paused([0.5]))
    schedule.add(sized(1, 9))
    assert schedule.prunings() == []
    assert [(one.number, one.until) for one in (schedule.pop(), schedule.pop())] == [(0, 3), (1, 1)]


def test_before_the_first_result_operations_alone_decide() -> None:
    cost, wide = CostModel(), of(job(0), ["conv_64_5"])
    deep = sized(1, 3)
    assert deep.task.model.conv_layers > wide.task.model.conv_layers
    assert wide.task.model.flops > deep.task.model.flops
    assert cost.expected(wide.task.model) > cost.expected(deep.task.model)


def test_the_cost_is_that_of_an_epoch_whatever_number_was_trained() -> None:
    cost, record = CostModel(), told(sized(0, 4), 3.0)
    twice = dataclasses.replace(record.result, curve=record.result.curve * 2)
    cost.learn(dataclasses.replace(record, result=twice))
    assert cost.expected(sized(1, 4).task.model) == pytest.approx(3.0)


def test_a_broken_training_teaches_nothing() -> None:
    cost = CostModel()
    before = cost.expected(sized(0, 4).task.model)
    record = told(sized(0, 4), 3.0)
    cost.learn(Record(record.candidate, record.id, Result("oom", error="no")))
    assert cost.expected(sized(0, 4).task.model) == before


def test_the_latest_results_count_where_a_machine_slows_down() -> None:
    cost = CostModel()
    for seconds in [1.0] * 10 + [5.0] * 64:
        cost.learn(told(sized(0, 4), seconds))
    assert cost.expected(sized(1, 4).task.model) == pytest.approx(5.0)


def test_no_job_is_expected_to_take_less_than_nothing() -> None:
    """Layers that seem to save time, as in a noisy measurement, are taken to cost none."""
    cost = CostModel()
    cost.learn(told(of(job(0), ["conv_64_5"]), 10.0))
    cost.learn(told(sized(1, 12), 0.01))
    narrow = Graph.chain(["conv_2_1"] * 40, CHAIN.image, 10)
    assert cost.expected(narrow) >= 0


# What is left


def outlook(schedule: Schedule, slots: int = 1) -> float | None:
    """Return the seconds left of a search of 16 networks of 9 epochs."""
    pool = Pool([Silent() for _ in range(slots)], lambda job: paused([0.5]))
    return Outlook(schedule, pool, strategy("random", of_strategy()), 9).seconds_left()


def foretold(seconds: float = 2.0) -> CostModel:
    """A forecast: `seconds` for an epoch of the network of `job`."""
    return CostModel([Point(CHAIN.flops / 1e9, CHAIN.conv_layers, seconds)] * 32)


def test_nothing_is_said_of_the_time_left_while_nothing_is_known() -> None:
    assert outlook(Schedule()) is None


def test_all_networks_are_left_before_the_first_and_a_race_leaves_out_what_it_prunes() -> None:
    assert outlook(Schedule(cost=foretold())) == pytest.approx(16 * 9 * 2)
    assert outlook(Schedule(cost=foretold()), slots=4) == pytest.approx(16 * 9 * 2 / 4)
    share = (1 + 1 + 2 / 3 + 13 * 2 / 4) / 16
    raced = 16 * 2 * (1 + 2 * share + 6 * share**2)
    assert outlook(Schedule(Race((1, 3), 4), foretold())) == pytest.approx(raced)


def test_a_dear_network_that_waits_counts_with_what_it_takes_itself() -> None:
    schedule = Schedule(cost=foretold())
    schedule.add(of(job(0), ["conv_64_5"] * 9))
    own = 9 * schedule.cost.expected(next(schedule.open())[0].task.model)
    assert own > 9 * 2
    assert outlook(schedule) == pytest.approx(15 * 9 * 2 + own)
    assert outlook(schedule, slots=1000) == pytest.approx(own)  # it is one training, however many slots there are


def test_what_runs_is_left_only_in_part(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("evaluate.pool.pool.time.monotonic", lambda: now)
    pool = Pool([Silent()], lambda job: paused([0.5]))
    pool.submit(job(0))
    found = Outlook(Schedule(cost=foretold()), pool, strategy("random", of_strategy()), 9)
    for taken, left in ((0, 9 * 2), (10, 9 * 2 - 10), (1000, 0)):
        now = 100.0 + taken
        assert found.seconds_left() == pytest.approx(15 * 9 * 2 + left)


def test_as_many_networks_as_before_are_copies_that_take_no_time() -> None:
    schedule = Schedule(cost=foretold())
    schedule.hear(told(job(0), 2.0))
    schedule.hear(told(job(1), 2.0, copied=True))
    assert outlook(schedule) == pytest.approx(14 * 9 * 2 / 2)


def test_results_take_the_place_of_the_forecast() -> None:
    cost = foretold(2.0)
    for number in range(8):
        cost.learn(told(job(number), 5.0))
        assert 2 <= cost.expected(CHAIN) <= 5
    assert cost.expected(CHAIN) == pytest.approx(5.0)
    assert cost.mean == pytest.approx(5.0)
