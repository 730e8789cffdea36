"""The pool with real worker processes: a death, a hang or a leak costs one job, and nothing is left behind."""

import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
import torch

from evaluate.job import Job, Result
from evaluate.pool.executors import ProcessSlot, await_ready, local_slots
from evaluate.pool.pool import Pool
from evaluate.worker import evaluate
from workers import serve_late

MakeJob = Callable[..., Job]


@pytest.fixture(scope="module")
def slots(cache_root: Path) -> Iterator[list[ProcessSlot]]:
    """Start two workers for all tests of this module: they outlive whatever happens to a job."""
    slots = local_slots(["cpu"], 2)
    await_ready(slots)
    yield slots
    for slot in slots:
        slot.stop()


def run(pool: Pool, jobs: Sequence[Job]) -> dict[int, Result]:
    """Return the results of `jobs` by number, submitted as `evolve.py` does."""
    waiting, results = list(jobs), dict[int, Result]()
    while waiting or pool.busy:
        while waiting and pool.free:
            pool.submit(waiting.pop(0))
        results |= {job.number: result for job, result in pool.settle()}
    return results


def statuses(results: dict[int, Result]) -> dict[int, str]:
    """Return the status of each job by number."""
    return {number: result.status for number, result in results.items()}


def numbered(make_job: MakeJob, count: int) -> list[Job]:
    """Return jobs numbered from 0; their name is their number."""
    return [make_job(str(number), number) for number in range(count)]


# What the workers are told to do; each notes in the job's folder when it began and ended


def nap(job: Job) -> Result:
    """Sleep for a while, or for longer than a worker takes to start where the job's name says `slow`."""
    began = time.time()
    time.sleep(1.5 if "slow" in job.id else 0.1)
    with (Path(job.folder) / "times").open("a") as file:
        file.write(f"{began} {time.time()}\n")
    return Result("ok", metrics={"pid": os.getpid(), "threads": torch.get_num_threads()})


def nap_or_die(job: Job) -> Result:
    """Kill this very worker where the job's name says `always`, or `once` and it is the first time."""
    first = not (Path(job.folder) / "times").exists()
    result = nap(job)
    if "always" in job.id or ("once" in job.id and first):
        os.kill(os.getpid(), signal.SIGKILL)
    return result


def at_once(job: Job) -> Result:
    """Take no time."""
    return Result("ok")


def nap_or_exit(job: Job) -> Result:
    """Exit in mid-job where the job's name says so."""
    if "exit" in job.id:
        os._exit(1)
    return nap(job)


def nap_or_hang(job: Job) -> Result:
    """Hang where the job's name says so."""
    if "hang" in job.id:
        time.sleep(3600)
    return nap(job)


class Picky(Exception):
    """Cannot be sent between processes: it is made of two arguments and pickled with one."""

    def __init__(self, name: str, number: int) -> None:
        super().__init__(f"{name} {number}")


def nap_or_raise(job: Job) -> Result:
    """Raise what cannot be sent where the job's name says so."""
    if "raise" in job.id:
        raise Picky("job", job.number)
    return nap(job)


def times(job: Job) -> list[tuple[float, float]]:
    """Return when each attempt at `job` began and ended."""
    lines = (Path(job.folder) / "times").read_text().splitlines()
    return [(float(began), float(ended)) for began, ended in map(str.split, lines)]


# Work


def test_more_jobs_than_slots_come_back_each_with_its_own_result(slots: list[ProcessSlot], make_job: MakeJob) -> None:
    jobs = numbered(make_job, 7)
    pool = Pool(slots, nap)
    results = run(pool, jobs)
    assert sorted(results) == list(range(7))
    assert all(result.status == "ok" and len(times(jobs[n])) == 1 for n, result in results.items())
    assert len({result.metrics["pid"] for result in results.values()}) == 2
    assert (pool.settled, pool.free, pool.busy) == (7, 2, 0)


def test_a_cpu_worker_has_one_thread(slots: list[ProcessSlot], make_job: MakeJob) -> None:
    assert run(Pool(slots, nap), [make_job()])[0].metrics["threads"] == 1


def test_a_worker_trains_to_the_same_bit_as_this_process(slots: list[ProcessSlot], make_job: MakeJob) -> None:
    there = run(Pool(slots, evaluate), [make_job("there", epochs=2)])[0]
    here = evaluate(make_job("here", epochs=2))
    assert there.status == "ok"
    assert there.metrics == here.metrics
    assert there.numerics == here.numerics


def test_a_full_pool_takes_no_job(slots: list[ProcessSlot], make_job: MakeJob) -> None:
    jobs = numbered(make_job, 3)
    pool = Pool(slots, nap)
    pool.submit(jobs[0])
    pool.submit(jobs[1])
    assert (pool.free, pool.busy) == (0, 2)
    with pytest.raises(RuntimeError, match="job 2 submitted to a pool with no free slot of 2"):
        pool.submit(jobs[2])
    assert sorted(run(pool, [])) == [0, 1]


def test_the_busy_share_counts_work_alone(slots: list[ProcessSlot], make_job: MakeJob) -> None:
    pool = Pool(slots, nap)
    run(pool, [make_job()])
    share = pool.busy_share
    assert 0 < share <= 0.5  # one of two slots
    time.sleep(0.01)
    assert pool.busy_share < share


# Death


def test_a_job_that_kills_its_worker_is_tried_alone_then_lost(slots: list[ProcessSlot], make_job: MakeJob) -> None:
    jobs = [make_job("slow", 0), make_job("always", 1), *(make_job(str(n), n) for n in range(2, 5))]
    results = run(Pool(slots, nap_or_die), jobs)
    assert statuses(results) == dict.fromkeys(range(5), "ok") | {1: "lost"}
    assert "vanished, with nothing beside it" in str(results[1].error)
    [(_, slow_ended)] = times(jobs[0])
    [(_, first_ended), (again, again_ended)] = times(jobs[1])
    assert first_ended < slow_ended < again
    assert all(again_ended < began for job in jobs[2:] for began, _ in times(job))


def test_a_job_that_dies_only_once_ends_well(slots: list[ProcessSlot], make_job: MakeJob) -> None:
    jobs = [make_job("once", 0), make_job("other", 1)]
    assert statuses(run(Pool(slots, nap_or_die), jobs)) == {0: "ok", 1: "ok"}
    assert len(times(jobs[0])) == 2


def test_two_jobs_that_die_together_are_both_tried_alone(slots: list[ProcessSlot], make_job: MakeJob) -> None:
    jobs = [make_job("always", 0), make_job("once", 1), make_job("exit", 2)]
    results = run(Pool(slots, nap_or_die), jobs)
    assert statuses(results) == {0: "lost", 1: "ok", 2: "ok"}
    assert [len(times(job)) for job in jobs] == [2, 2, 1]


def test_a_worker_that_exits_in_mid_job_is_a_lost_job(slots: list[ProcessSlot], make_job: MakeJob) -> None:
    results = run(Pool(slots, nap_or_exit), [make_job("exit", 0), make_job("other", 1)])
    assert statuses(results) == {0: "lost", 1: "ok"}


def test_an_exception_of_a_worker_is_a_lost_job_that_says_why(slots: list[ProcessSlot], make_job: MakeJob) -> None:
    results = run(Pool(slots, nap_or_raise), [make_job("raise", 0), make_job("other", 1)])
    assert statuses(results) == {0: "lost", 1: "ok"}
    assert "Picky: job 0" in str(results[0].error)


def test_a_lost_job_says_how_its_worker_ended(slots: list[ProcessSlot], make_job: MakeJob) -> None:
    results = run(Pool(slots, nap_or_die), [make_job("always", 0)])
    assert "exit code -9" in str(results[0].error)


def test_a_worker_that_dies_while_idle_costs_no_job(slots: list[ProcessSlot], make_job: MakeJob) -> None:
    for description in await_ready(slots):
        os.kill(description["pid"], signal.SIGKILL)
    assert statuses(run(Pool(slots, nap), numbered(make_job, 2))) == {0: "ok", 1: "ok"}


# Hangs


def test_a_hang_is_killed_and_its_slot_goes_on(slots: list[ProcessSlot], make_job: MakeJob) -> None:
    jobs = [make_job("hang", 0), *(make_job(str(n), n) for n in range(1, 5))]
    pool = Pool(slots, nap_or_hang, timeout=2)
    results = run(pool, jobs)
    assert statuses(results) == dict.fromkeys(range(5), "ok") | {0: "timeout"}
    assert results[0].error == "not done after 2 s"
    assert all(len(times(job)) == 1 for job in jobs[1:])
    after = run(pool, [make_job(f"after {n}", n) for n in range(2)])
    assert len({result.metrics["pid"] for result in after.values()}) == 2


def test_a_deadline_is_not_slept_over(slots: list[ProcessSlot], make_job: MakeJob) -> None:
    pool = Pool(slots, nap_or_hang, timeout=0.5)
    pool.submit(make_job("hang"))
    began = time.monotonic()
    [(_, result)] = pool.settle(60)
    assert result.status == "timeout"
    assert time.monotonic() - began < 30


def test_a_workers_start_is_not_the_jobs_time(
    cache_root: Path, make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("evaluate.worker.serve", serve_late)
    began = time.monotonic()
    with Pool(local_slots(["cpu"], 1), at_once, timeout=0.9) as pool:
        assert run(pool, [make_job()])[0].status == "ok"
        assert time.monotonic() - began > 1


# The end


def test_closing_the_pool_ends_every_worker(cache_root: Path, make_job: MakeJob) -> None:
    slots = local_slots(["cpu"], 1)
    pids = [description["pid"] for description in await_ready(slots)]
    with Pool(slots, nap_or_hang) as pool:
        pool.submit(make_job("hang"))
        assert pool.settle() == []
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_a_fault_that_spoils_the_device_ends_the_worker(monkeypatch: pytest.MonkeyPatch, make_job: MakeJob) -> None:
    def spoil(*_: object) -> None:
        raise torch.AcceleratorError("an illegal memory access was encountered")

    monkeypatch.setattr("evaluate.worker.carry_out", spoil)
    with pytest.raises(torch.AcceleratorError):
        evaluate(make_job())


def test_the_time_in_which_workers_start_is_the_pools() -> None:
    began = time.monotonic()
    slots = local_slots(["cpu"], 1)
    await_ready(slots)
    taken = time.monotonic() - began
    with Pool(slots, evaluate) as pool:
        assert pool.usage().wall >= 0.99 * taken
