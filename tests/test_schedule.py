"""Which job runs next, what is learned of costs, and how long a search still takes."""

import dataclasses

import pytest

from cgp.graph import Graph
from cgp.layers import Shape
from evaluate.job import FINAL, Job, Result
from evaluate.pool.pool import Pool
from fakes import Silent
from populations.record import Record
from populations.search.cost import CostModel, Point
from populations.search.outlook import Outlook
from populations.search.racing import Race
from populations.search.schedule import Schedule
from populations.strategies import strategy
from test_racing import CHAIN, FAILED, curve, job, paused, record
from test_strategies import settings as of_strategy


def sized(number: int, blocks: int) -> Job:
    return of(job(number), ["conv_8_3"] * blocks)


def of(one: Job, blocks: list[str]) -> Job:
    return dataclasses.replace(
        one, task=dataclasses.replace(one.train, model=Graph.chain(blocks, Shape(1, 8, 8), 10))
    )


def told(one: Job, seconds: float, copied: bool = False) -> Record:
    row = {"epoch": 1, "val_accuracy": 0.5, "val_loss": 1.0, "seconds": seconds}
    return record(one, Result("ok", {}, [row]), copied)


# Which is next


def test_the_longest_expected_starts_first() -> None:
    schedule = Schedule()
    for number, blocks in enumerate((3, 9, 1, 9)):
        schedule.add(sized(number, blocks))
    assert [schedule.pop().number for _ in range(4)] == [1, 3, 0, 2]
    assert len(schedule) == 0


def test_the_farthest_along_starts_before_the_longest() -> None:
    schedule = Schedule(Race((1, 3), 6))
    schedule.add(sized(0, 1))
    assert schedule.end([(schedule.pop(), paused([0.5]))]) == []
    schedule.add(sized(1, 9))
    assert [(one.number, one.until) for one in (schedule.pop(), schedule.pop())] == [(0, 3), (1, 1)]


def test_a_paused_training_waits_for_lower_numbers_and_holds_no_one_up() -> None:
    schedule = Schedule(Race((1,), 6))
    for number, blocks in ((0, 1), (1, 9)):
        schedule.add(sized(number, blocks))
    first = schedule.pop()
    assert (first.number, first.until) == (1, 1)
    assert schedule.end([(first, paused([0.5]))]) == []
    schedule.add(sized(2, 12))
    assert [one.number for one in schedule.open()] == [0, 2, 1]
    assert (schedule.pop().number, schedule.pop().number) == (2, 0)
    assert len(schedule) == 0


def test_without_a_race_every_training_runs_to_its_end() -> None:
    schedule, whole = Schedule(), Result("ok", {}, curve(0, 9))
    schedule.add(job(0))
    one = schedule.pop()
    assert one.until is None
    assert schedule.end([(one, whole)]) == [(one, whole)]
    assert (schedule.end([]), schedule.open()) == ([], [])


def test_the_final_ranking_is_no_race() -> None:
    schedule = Schedule(Race((1,), 6))
    final = dataclasses.replace(job(0), stage=FINAL)
    schedule.add(final)
    assert schedule.pop() == final


# What is counted


def test_each_epoch_and_each_end_is_counted_once() -> None:
    schedule = Schedule(Race((1, 3), 6))
    for number in range(3):
        schedule.add(job(number))
    good, fair, poor = (schedule.pop() for _ in range(3))
    ended = schedule.end([(good, paused([0.9])), (fair, paused([0.8])), (poor, paused([0.1]))])
    assert [(one.number, result.status) for one, result in ended] == [(2, "pruned")]
    assert (schedule.ended, schedule.trained) == (1, 3.0)
    good, fair = schedule.pop(), schedule.pop()
    assert schedule.end([(good, paused([0.9, 0.9, 0.9]))]) == []
    assert [one.number for one, _ in schedule.end([(fair, FAILED)])] == [1]
    assert (schedule.ended, schedule.trained) == (2, 5.0)
    assert [one.number for one, _ in schedule.end([(schedule.pop(), Result("ok", {}, curve(0, 9)))])] == [0]
    assert (schedule.ended, schedule.trained) == (3, 11.0)


def test_results_and_those_taken_over_are_counted() -> None:
    schedule = Schedule()
    schedule.hear(told(job(0), 2.0))
    schedule.hear(told(job(1), 2.0, copied=True))
    assert (schedule.heard, schedule.copied) == (2, 1)


# What a network costs


def test_what_takes_long_is_learned_from_results() -> None:
    """Where layers cost time and operations hardly do, the deep and narrow network is the longest."""
    deep, wide = sized(0, 12), of(job(1), ["conv_64_5"])
    assert deep.task.model.conv_layers > wide.task.model.conv_layers
    heavy = of(job(2), ["conv_64_5", "conv_64_5"])
    schedule = Schedule()
    schedule.hear(told(sized(5, 1), 1.0))
    for one, seconds in ((sized(3, 6), 6.0), (wide, 1.0), (heavy, 2.0)):
        schedule.hear(told(one, seconds))
    schedule.hear(told(heavy, 900.0, copied=True))
    assert schedule.cost.expected(deep.task.model) == pytest.approx(12, rel=0.01)
    schedule.add(heavy)
    schedule.add(deep)
    assert schedule.pop() == deep


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
    own = 9 * schedule.cost.expected(schedule.open()[0].task.model)
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
