"""Slots that fail: where their jobs go, when they are retired, and what is left when all are."""

import os
import signal
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from evaluate.job import Job, Result
from evaluate.pool import pool as pool_module
from evaluate.pool import process
from evaluate.pool.executors import ProcessSlot, await_ready, local_slots
from evaluate.pool.pool import NoSlotLeft, Pool
from evaluate.pool.slot import HERE
from fakes import Silent
from test_pool import nap, nap_or_die, nap_or_hang, numbered, run, statuses
from workers import serve_so_often, serve_then_hang

MakeJob = Callable[..., Job]
Answer = Result | Exception


class Scripted(Silent):
    """A slot that answers as told: for each job a result, what its worker died of, or None while it works on."""

    def __init__(
        self, name: str, answers: Sequence[Answer | None] = (), starts: Sequence[bool] = (), machine: str = HERE
    ) -> None:
        """`starts`: whether the worker comes up at each restart; then always."""
        super().__init__(name, machine)
        self._answers, self._starts = list(answers), list(starts)
        self.restarts, self.stopped, self.given, self.beside = 0, False, list[int](), list[int]()
        self.others: Sequence[Scripted] = ()
        self.last = Future[Result]()
        self.last.set_result(Result("ok"))

    def submit(self, function: Any, job: Any) -> Future[Any]:
        """Answer at once, unless there is no worker."""
        self.given.append(job.number)
        self.beside.append(sum(not other.last.done() for other in self.others))
        self.last = Future[Result]()
        if self.ready_at is None:
            self.last.set_exception(RuntimeError("its process ended with exit code 1\nCUDA error: lost"))
        elif isinstance(answer := self._answers.pop(0) if self._answers else Result("ok"), Exception):
            self.last.set_exception(answer)
        elif answer is not None:
            self.last.set_result(answer)
        return self.last

    def restart(self) -> None:
        """Have a worker that is up, or one that is not."""
        self.restarts += 1
        self.ready_at = 0.0 if not self._starts or self._starts.pop(0) else None

    def stop(self) -> None:
        """Note it."""
        self.stopped = True


class Undying(Scripted):
    """A slot whose worker the system cannot end."""

    def restart(self) -> None:
        """Fail as a ProcessSlot does."""
        raise RuntimeError("its process 7 was killed and does not end")


def scripted(*slots: Scripted) -> tuple[Scripted, ...]:
    """Let each of `slots` know the others."""
    for slot in slots:
        slot.others = [other for other in slots if other is not slot]
    return slots


def never(job: Job) -> Result:
    """Stand for what a scripted slot is not going to do."""
    raise AssertionError


GONE = RuntimeError("its process ended with exit code -9")


@pytest.mark.parametrize("failure", [GONE, Result("oom", error="too large")])
def test_a_failed_job_is_tried_again_in_another_slot_with_nothing_beside(failure: Answer, make_job: MakeJob) -> None:
    one, two = scripted(Scripted("one", [failure]), Scripted("two", [None]))
    pool = Pool([one, two], never)
    first, other, waiting = numbered(make_job, 3)
    pool.submit(first)
    pool.submit(other)
    assert pool.settle() == []
    assert (pool.free, pool.busy, one.given, two.given) == (0, 2, [0], [1])
    two.last.set_result(Result("ok"))
    assert [job.number for job, _ in pool.settle()] == [1]
    assert run(pool, [waiting]) == {0: Result("ok"), 2: Result("ok")}
    assert (two.given[:2], two.beside[1]) == ([1, 0], 0)
    assert (one.restarts, two.restarts) == (1 if failure is GONE else 0, 0)


def test_the_only_slot_is_tried_twice(make_job: MakeJob) -> None:
    slot = Scripted("one", [GONE])
    assert statuses(run(Pool([slot], never), [make_job()])) == {0: "ok"}
    assert slot.given == [0, 0]


def test_out_of_memory_is_believed_when_it_comes_again(make_job: MakeJob) -> None:
    too_large = Result("oom", error="too large")
    slots = [Scripted("one", [too_large]), Scripted("two", [too_large])]
    assert run(Pool(slots, never), [make_job()]) == {0: too_large}
    assert [slot.given for slot in slots] == [[0], [0]]


def test_a_job_out_of_memory_that_is_then_lost_is_not_tried_a_third_time(make_job: MakeJob) -> None:
    slot = Scripted("one", [Result("oom"), GONE])
    assert statuses(run(Pool([slot], never), [make_job()])) == {0: "lost"}
    assert slot.given == [0, 0]


def test_a_slot_that_cannot_start_again_is_retired_and_its_jobs_go_elsewhere(make_job: MakeJob) -> None:
    dead, good = Scripted("dead", [GONE], [False, False]), Scripted("good")
    said = list[str]()
    pool = Pool([dead, good], never, say=said.append)
    results = run(pool, numbered(make_job, 6))
    assert statuses(results) == dict.fromkeys(range(6), "ok")
    assert said == [
        "dead is retired, its worker cannot be started again: its process ended with exit code 1; 1 of 2 slots left"
    ]
    assert dead.stopped
    assert not good.stopped
    after = list(dead.given)
    run(pool, [make_job("after", 6)])
    assert (dead.given, pool.free) == (after, 1)


def test_one_failed_start_retires_no_slot(make_job: MakeJob) -> None:
    slot, said = Scripted("one", [GONE], [False, True]), list[str]()
    assert statuses(run(Pool([slot], never, say=said.append), [make_job()])) == {0: "ok"}
    assert (slot.restarts, said) == (2, [])


def test_a_worker_that_the_system_cannot_end_retires_its_slot(make_job: MakeJob) -> None:
    stuck, good = Undying("stuck", [None]), Scripted("good")
    pool = Pool([stuck, good], never, timeout=0.01)
    results = run(pool, numbered(make_job, 3))
    assert statuses(results) == {0: "timeout", 1: "ok", 2: "ok"}
    assert pool.retired == ["stuck is retired, its worker cannot be started again: " + (
        "its process 7 was killed and does not end")]  # fmt: skip


def test_a_worker_that_hangs_while_it_starts_again_has_a_deadline(
    make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_module, "_RESTART_S", 0.05)

    class Hanging(Scripted):
        def submit(self, function: Any, job: Any) -> Future[Any]:
            return Future() if self.ready_at is None else super().submit(function, job)

    slot = Hanging("one", [GONE], [False, False])
    pool = Pool([slot], never, timeout=3600)
    with pytest.raises(NoSlotLeft, match="one is retired, its worker cannot be started again: it was not up in time"):
        run(pool, [make_job()])
    assert pool.busy == 1  # it has no result


def test_no_slot_left_is_said_when_all_results_are_returned(make_job: MakeJob) -> None:
    slots = [Undying("one", [GONE]), Undying("two", [None])]
    pool = Pool(slots, never)
    for job in numbered(make_job, 2):
        pool.submit(job)
    assert pool.settle() == []
    slots[1].last.set_exception(GONE)
    with pytest.raises(NoSlotLeft):
        pool.settle()
    assert pool.busy == 2


# Deadlines


class LastMoment(Scripted):
    """A slot whose job ends while its pool looks at the clock, once `armed`."""

    armed = False

    @property
    def ready_at(self) -> float | None:
        """Be up from the beginning."""
        if self.armed and not self.last.done():
            self.last.set_result(Result("ok"))
        return 0.0

    @ready_at.setter
    def ready_at(self, value: float | None) -> None: ...


def test_a_job_that_has_ended_is_no_timeout(make_job: MakeJob, monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends between the look at what has ended and the look at what is late."""
    slot = LastMoment("one", [None])
    pool = Pool([slot], never, timeout=1e-9)

    def waited(*arguments: Any, **options: Any) -> Any:
        found = wait(*arguments, **options)
        slot.armed = True
        return found

    monkeypatch.setattr("evaluate.pool.pool.wait", waited)
    pool.submit(make_job())
    assert pool.settle() == []
    assert statuses({job.number: result for job, result in pool.settle()}) == {0: "ok"}
    assert slot.restarts == 0


def test_a_driver_that_looks_late_finds_a_job_that_was_in_time(make_job: MakeJob) -> None:
    slot = Scripted("one", [None])
    pool = Pool([slot], never, timeout=0.01)
    pool.submit(make_job())
    slot.last.set_result(Result("ok"))
    time.sleep(0.02)
    [(_, result)] = pool.settle()
    assert result.status == "ok"


# Real processes


@pytest.mark.usefixtures("cache_root")
def test_a_search_goes_on_without_a_device_that_is_gone(
    ended: list[ProcessSlot], tmp_path: Path, make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("evaluate.worker.serve", partial(serve_so_often, tmp_path, 2))
    ended += local_slots(["cpu"], 2)
    await_ready(ended)
    pool = Pool(ended, nap_or_die)
    results = run(pool, [make_job("once", 0), *(make_job(str(n), n) for n in range(1, 6))])
    assert statuses(results) == dict.fromkeys(range(6), "ok")
    assert len(pool.retired) == 1
    assert "CUDA error: no device" in pool.retired[0]
    with pytest.raises(NoSlotLeft):
        run(pool, [make_job("always", 6)])
    assert len(pool.retired) == 2


@pytest.mark.usefixtures("cache_root")
def test_a_restart_that_hangs_is_given_up(
    ended: list[ProcessSlot], tmp_path: Path, make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("evaluate.worker.serve", partial(serve_then_hang, tmp_path))
    ended += local_slots(["cpu"], 1)
    await_ready(ended)
    monkeypatch.setattr(pool_module, "_RESTART_S", 0.2)
    with pytest.raises(NoSlotLeft, match="it was not up in time"):
        run(Pool(ended, nap_or_die), [make_job("once")])


def test_a_process_that_cannot_be_killed_costs_its_slot_alone(
    ended: list[ProcessSlot], make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended += local_slots(["cpu"], 2)
    pids = [found["pid"] for found in await_ready(ended)]
    with monkeypatch.context() as patch:
        patch.setattr(process, "_END_S", 0.1)
        patch.setattr(os, "kill", lambda pid, number: None)  # as for a process that waits in a driver
        pool = Pool(ended, nap_or_hang, timeout=1)
        results = run(pool, [make_job("hang", 0), make_job("other", 1), make_job("after", 2)])
        assert statuses(results) == {0: "timeout", 1: "ok", 2: "ok"}
        [line] = pool.retired
        assert line.startswith("slot 0 is retired")
        assert line.endswith(f"its process {pids[0]} was killed and does not end")
    os.kill(pids[0], signal.SIGKILL)


class Unreadable(Result):
    """A result that this process cannot unpickle."""

    def __reduce__(self) -> Any:
        return int, ("no number",)


def answer_unreadably(job: Job) -> Result:
    """Return what cannot be read where the job's name says so."""
    return Unreadable("ok") if "unreadable" in job.id else nap(job)


def test_an_answer_that_cannot_be_read_is_a_lost_job(ended: list[ProcessSlot], make_job: MakeJob) -> None:
    ended += local_slots(["cpu"], 1)
    results = run(Pool(ended, answer_unreadably), [make_job("unreadable", 0), make_job("other", 1)])
    assert statuses(results) == {0: "lost", 1: "ok"}
    assert "its answer cannot be read: ValueError" in str(results[0].error)
