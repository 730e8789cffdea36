"""Slots that come and go under a pool: what becomes of the job, who is kept waiting, and for how long."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any

import pytest

from evaluate.job import Job, Result
from evaluate.pool.pool import NoSlotLeft, Pool
from test_pool import numbered, run, statuses
from test_slots import GONE, Answer, Scripted, never

MakeJob = Callable[..., Job]


class Leaving(Scripted):
    """A slot whose place goes with its first job."""

    def submit(self, function: Any, job: Any) -> Future[Any]:
        """Be gone."""
        self.given.append(job.number)
        future = Future[Any]()
        self.retired = "its Dask worker has left"
        future.set_exception(RuntimeError(self.retired))
        return future


class Coming:
    """A cluster: at each look the next slots come."""

    flag = "--scheduler tcp://h:1"

    def __init__(self, *slots: Sequence[Scripted], patience: float = 0.0) -> None:
        """`slots` come in this order, none in the end."""
        self._slots, self.patience = list(slots), patience

    def joined(self) -> Sequence[Scripted]:
        """Return the next."""
        return self._slots.pop(0) if self._slots else []


def test_a_slot_that_leaves_costs_its_job_nothing(make_job: MakeJob) -> None:
    leaving, other, said = Leaving("one"), Scripted("two"), list[str]()
    pool = Pool([leaving, other], never, say=said.append, cluster=Coming())
    assert statuses(run(pool, numbered(make_job, 4))) == dict.fromkeys(range(4), "ok")
    assert (leaving.given, leaving.restarts, sorted(other.given)) == ([0], 0, [0, 1, 2, 3])
    assert said == ["one is gone: its Dask worker has left; 1 slot left"]
    assert [slot.name for slot in pool.slots] == ["two"]


def test_a_slot_that_left_while_idle_is_given_nothing(make_job: MakeJob) -> None:
    one, two = Scripted("one"), Scripted("two")
    pool = Pool([one, two], never, cluster=Coming())
    one.retired = "its Dask worker has left"
    assert statuses(run(pool, numbered(make_job, 3))) == dict.fromkeys(range(3), "ok")
    assert one.given == []


def test_a_slot_that_joins_is_used(make_job: MakeJob) -> None:
    first, late, said = Scripted("first", [None] * 9), Scripted("late"), list[str]()
    pool = Pool([first], never, say=said.append, cluster=Coming([], [late]))
    for job in numbered(make_job, 3):
        while not pool.free:
            pool.settle(0)
        pool.submit(job)
    assert (first.given, late.given) == ([0], [1, 2])
    assert said == ["late joined; 2 slots now"]
    assert 1 < pool.usage().slots < 2


def test_a_job_that_takes_slots_with_it_is_blamed_in_the_end(make_job: MakeJob) -> None:
    slots = [Leaving(str(n)) for n in range(4)]
    pool = Pool([*slots, Scripted("good", [None])], never, cluster=Coming())
    job, other = numbered(make_job, 2)
    pool.submit(job)
    for _ in range(8):
        pool.settle(0)
    assert [slot.given for slot in slots] == [[0]] * 4
    assert pool.free == 0  # it is to be tried with nothing beside it
    assert (pool.busy, other.number) == (1, 1)


def test_a_search_waits_for_slots_and_then_goes_on(make_job: MakeJob) -> None:
    said = list[str]()
    cluster = Coming([], [], [Scripted("late")], patience=5)
    pool = Pool([Leaving("one")], never, say=said.append, cluster=cluster)
    assert statuses(run(pool, [make_job()])) == {0: "ok"}
    assert said == [
        "one is gone: its Dask worker has left; 0 slots left",
        "no slot is left; waiting 5 s for another",
        "late joined; 1 slot now",
    ]


def test_a_search_waits_only_so_long(make_job: MakeJob) -> None:
    pool = Pool([Leaving("one")], never, cluster=Coming(patience=0.3))
    began = time.monotonic()
    with pytest.raises(NoSlotLeft) as ended:
        run(pool, [make_job()])
    assert 0.3 <= time.monotonic() - began < 5
    assert str(ended.value) == (
        "--scheduler tcp://h:1: no slot is left: one is gone: its Dask worker has left; start Dask workers"
    )
    assert pool.busy == 1  # it has no result


@pytest.mark.parametrize("failure", [GONE, Result("oom", error="too large")])
def test_only_the_machine_where_a_job_is_tried_alone_is_kept_free(failure: Answer, make_job: MakeJob) -> None:
    """A thousand GPUs do not wait for the one training that was too large for its neighbours."""
    failing, beside = Scripted("a/0", [failure], machine="a"), Scripted("a/1", [None], machine="a")
    busy, there = Scripted("b/0", [None], machine="b"), Scripted("b/1", machine="b")
    free = Scripted("c/0", [None], machine="c")
    pool = Pool([failing, beside, busy, there, free], never)
    for job in numbered(make_job, 3):  # the first fails, the others run on a and b
        pool.submit(job)
    pool.settle(0)
    assert pool.free == 2  # of a and b: the job is on its way to c, where nothing runs
    pool.settle(0)
    assert (free.given, pool.free) == ([0], 2)


def test_two_such_jobs_are_tried_on_two_machines_at_once(make_job: MakeJob) -> None:
    slots = [
        Scripted("a", [GONE, None], machine="a"),
        Scripted("b", [GONE, None], machine="b"),
        Scripted("c", [None], machine="c"),
    ]
    pool = Pool(slots, never)
    for job in numbered(make_job, 3):
        pool.submit(job)
    pool.settle(0)
    pool.settle(0)
    assert [slot.given for slot in slots] == [[0, 1], [1, 0], [2]]
