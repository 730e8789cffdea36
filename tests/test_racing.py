"""Racing: who goes on is decided in order of job number, whatever order results arrive in."""

import dataclasses
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cgp import BadInput
from cgp.genome import Genome
from cgp.graph import Graph
from cgp.layers import Shape
from evaluate.job import DataSpec, Job, Result, Train, recipe
from populations.record import Candidate, Record
from populations.search.racing import Race, default_rungs, expected_epochs, passing_share, rungs_of
from populations.search.schedule import Schedule

CHAIN = Graph.chain(["conv_8_3"], Shape(1, 8, 8), 10)
EPOCHS = 9
RUNGS = (1, 3)


def job(number: int) -> Job:
    task = Train(CHAIN, recipe("fast", epochs=EPOCHS), DataSpec("digits"))
    return Job(number, str(number), task, number, "nowhere")


def score(number: int, epoch: int) -> float:
    """What job `number` scores after `epoch`: some order that changes a little along the way."""
    return random.Random(number).random() + 0.2 * random.Random(1000 * number + epoch).random()


def curve(number: int, epochs: int) -> list[dict[str, float]]:
    rows = range(1, epochs + 1)
    return [{"epoch": n, "val_accuracy": score(number, n), "val_loss": 1.0, "seconds": 1.0} for n in rows]


def raced(jobs: int, slots: int, shuffle: int, known: dict[int, Result] | None = None) -> dict[int, Result]:
    """Run a whole race with `slots` in flight, stretches ending in an order that `shuffle` decides.

    `known` are results that a journal answers.
    """
    order, schedule = random.Random(shuffle), Schedule(Race(RUNGS, 6))
    race, final = schedule.race, dict[int, Result]()
    assert race is not None
    waiting, flying = list(range(jobs)), list[Job]()
    while len(final) < jobs:
        while waiting and len(flying) + len(schedule) < slots:
            number = waiting.pop(0)
            if known and number in known:
                final[number] = known[number]
                race.leave(number, known[number], copied=False)
            else:
                schedule.add(job(number))
        while schedule and len(flying) < slots:
            flying.append(schedule.pop())
        ended = [flying.pop(order.randrange(len(flying)))] if flying else []
        for one in ended:
            epochs = one.until or EPOCHS
            metrics = {"val_accuracy": score(one.number, epochs), "val_loss": 1.0}
            broken = one.number % 7 == 3 and epochs == EPOCHS
            result = Result("paused" if one.until else "ok", metrics, curve(one.number, epochs))
            if found := schedule.end(one, Result("failed", error="no") if broken else result):
                final[one.number] = found
                race.leave(one.number, found, copied=False)
        for one, result in schedule.prunings():
            final[one.number] = result
    return final


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


def test_the_first_two_go_on_and_a_worse_third_does_not() -> None:
    race = Race((1,), 6)
    race.enter(2, 1, 0.3)
    assert race.verdict(2, 1) is None  # jobs 0 and 1 may still come
    race.enter(1, 1, 0.4)
    race.enter(0, 1, 0.5)
    assert [race.verdict(number, 1) for number in range(3)] == [True, True, False]


@settings(deadline=None)
@given(st.permutations(range(4)), st.sampled_from([(1,), (1, 3)]))
def test_of_four_networks_at_least_two_pass_every_rung(scores: list[int], rungs: tuple[int, ...]) -> None:
    race, alive = Race(rungs, 4), list(range(4))
    for rung in rungs:
        for number in range(4):
            if number in alive:
                race.enter(number, rung, scores[number])
            else:
                race.leave(number, Result("pruned", {}, curve(number, 1)), copied=False)
        alive = [number for number in alive if race.verdict(number, rung)]
        assert len(alive) >= 2


def test_copies_and_failures_are_not_waited_for_nor_counted() -> None:
    race = Race((1,), 6)
    race.leave(0, Result("ok", {}, curve(0, EPOCHS)), copied=True)
    race.leave(1, Result("failed", error="no"), copied=False)
    race.enter(2, 1, 0.0)
    assert race.verdict(2, 1) is True


def test_only_the_latest_count() -> None:
    race = Race((1,), 3)
    for number, value in enumerate((0.9, 0.9, 0.9, 0.1, 0.1, 0.2)):
        race.enter(number, 1, value)
    assert race.verdict(5, 1) is True
    race.enter(6, 1, 0.15)
    assert race.verdict(6, 1) is True  # the second best of 0.1, 0.2 and 0.15
    assert race.verdict(2, 1) is True
    race.enter(7, 1, 0.1)
    assert race.verdict(7, 1) is False


@pytest.mark.parametrize(
    ("epochs", "rungs"), [(2, (1,)), (3, (1,)), (6, (1, 2)), (9, (1, 3)), (50, (5, 16)), (200, (22, 66))]
)
def test_rungs_of_a_recipe(epochs: int, rungs: tuple[int, ...]) -> None:
    assert default_rungs(epochs) == rungs


@pytest.mark.parametrize("text", ["6", "2,9", "0,2", "3,2", "2,2", "one"])
def test_rungs_beyond_the_epochs_or_out_of_order_are_refused(text: str) -> None:
    with pytest.raises(BadInput, match=f"--rungs: .*{text}.*expected"):
        rungs_of(text, recipe("fast", epochs=6))


def test_the_epochs_expected_are_those_of_the_share_that_goes_on_from_every_rung() -> None:
    assert expected_epochs((), 4, 0.5) == 4
    assert expected_epochs((1, 3), 9, 1 / 3) == pytest.approx(1 + 2 / 3 + 6 / 9)
    assert expected_epochs((1, 3), 9, 0.5, begin=1) == pytest.approx(2 + 6 / 2)


@pytest.mark.parametrize(("jobs", "window"), [(1, 8), (2, 1), (9, 4), (40, 8), (200, 30)])
def test_the_share_expected_to_go_on_is_that_of_races_in_random_order(jobs: int, window: int) -> None:
    passed, order = 0, random.Random(0)
    for _ in range(300):
        race = Race((1,), window)
        for number in range(jobs):
            race.enter(number, 1, order.random())
            passed += bool(race.verdict(number, 1))
    assert passing_share(jobs, window) == pytest.approx(passed / 300 / jobs, abs=0.02)


def test_one_epoch_has_no_rung() -> None:
    assert rungs_of(None, recipe("fast", epochs=1)) == ()


# The order in which jobs start


def sized(number: int, blocks: int) -> Job:
    return of(job(number), ["conv_8_3"] * blocks)


def of(one: Job, blocks: list[str]) -> Job:
    return dataclasses.replace(
        one, task=dataclasses.replace(one.train, model=Graph.chain(blocks, Shape(1, 8, 8), 10))
    )


def told(one: Job, seconds: float, copied: bool = False) -> Record:
    genome = Genome((0, 0, 1))
    row = {"epoch": 1, "val_accuracy": 0.5, "val_loss": 1.0, "seconds": seconds}
    return Record(Candidate(one.number, 0, None, genome, one.task.model), one.id, Result("ok", {}, [row]), copied)


def test_the_longest_expected_starts_first() -> None:
    schedule = Schedule()
    for number, blocks in enumerate((3, 9, 1, 9)):
        schedule.add(sized(number, blocks))
    assert [schedule.pop().number for _ in range(4)] == [1, 3, 0, 2]
    assert len(schedule) == 0


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


def test_a_paused_training_waits_for_lower_numbers_and_holds_no_one_up() -> None:
    schedule = Schedule(Race((1,), 6))
    for number, blocks in ((0, 1), (1, 9)):
        schedule.add(sized(number, blocks))
    first = schedule.pop()
    assert (first.number, first.until) == (1, 1)
    second = schedule.pop()
    assert schedule.end(second, Result("paused", {"val_accuracy": 0.5}, curve(0, 1))) is None
    schedule.add(sized(2, 9))
    assert schedule.prunings() == []
    assert (schedule.pop().number, schedule.pop().number) == (0, 2)
