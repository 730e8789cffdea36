"""What every executor keeps: local, serial and dask, each by real processes.

`serial` has no process of its own, so three things are different there, and each test says what holds instead: a
deadline ends no job, the death of the process is the search's, and there is nothing to stop.
"""

import contextlib
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.loopback import Loopback
from cgp.errors import BadInput
from evaluate.job import Job, Result
from evaluate.pool import pool as pool_module
from evaluate.pool.executors import DaskCluster, SerialSlot, await_ready, local_slots
from evaluate.pool.pool import NoSlotLeft, Pool
from evaluate.pool.slot import Slot
from evaluate.worker import evaluate
from harness import ROOT
from populations.setup.config import parse
from test_pool import nap, nap_or_die, nap_or_hang, nap_or_raise, numbered, run, statuses, times
from workers import serve_so_often

MakeJob = Callable[..., Job]
EXECUTORS = ("local", "serial", "dask")


class Place:
    """The slots of an executor, and how a test gets at their workers' start."""

    def __init__(self, name: str, slots: Sequence[Slot], serve: Callable[[Callable[..., None] | None], None]) -> None:
        """`serve` lets later workers be something else, None: again what they are."""
        self.name, self.slots, self.serve = name, slots, serve
        self.own_process = name != "serial"

    def pids(self) -> list[int]:
        """Return the processes of the workers of now."""
        return [found["pid"] for found in await_ready(self.slots)]


def _serve_as(name: str, serve: Callable[..., None] | None) -> None:
    """Let later workers of the module `name`, in this process, be something else, None: again what they are."""
    module = sys.modules[name]
    usual = vars(module).setdefault("usual_serve", vars(module)["serve"])
    vars(module)["serve"] = serve or usual


def _serve_there(cluster: DaskCluster, serve: Callable[..., None] | None) -> None:
    async def change() -> None:
        await cluster.client.run(_serve_as, "evaluate.pool.hosting", serve)

    cluster.run(change()).result(30)


@pytest.fixture(scope="module")
def loopback(cache_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loopback]:
    """One Dask worker with two slots, under a nanny, as by default; it outlives whatever happens to a job."""
    with Loopback(tmp_path_factory.mktemp("dask")) as loopback:
        loopback.worker("w", "--resources", "slot=2", "--nthreads", "2")
        yield loopback


def met(loopback: Loopback) -> DaskCluster:
    """Return the driver's end of a cluster."""
    return DaskCluster(loopback.address, 60, loopback.folder, lambda line: None)


@pytest.fixture(scope="module", params=EXECUTORS)
def place(request: pytest.FixtureRequest, cache_root: Path) -> Iterator[Place]:
    """Each executor in turn."""
    with contextlib.ExitStack() as stack:
        if request.param == "local":
            slots: Sequence[Slot] = local_slots(["cpu"], 2)
            serve: Callable[[Any], None] = partial(_serve_as, "evaluate.worker")
        elif request.param == "serial":
            slots, serve = [SerialSlot("cpu")], lambda serve: None
        else:
            cluster = stack.enter_context(met(request.getfixturevalue("loopback")))
            slots, serve = cluster.first(), partial(_serve_there, cluster)
        await_ready(slots)
        yield Place(request.param, slots, serve)
        for slot in slots:
            slot.stop()


def gone(pid: int) -> bool:
    """Whether a process ends soon."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


def most_at_once(jobs: Sequence[Job]) -> int:
    """Return how many of `jobs` ran at the same time, at most."""
    spans = [span for job in jobs for span in times(job)]
    return max(sum(began <= start < ended for began, ended in spans) for start, _ in spans)


# What holds for all


def test_a_slot_has_all_that_the_pool_asks_for(place: Place) -> None:
    for slot in place.slots:
        found = slot.ready.result(60)
        assert found["device"] == slot.device == "cpu"
        assert slot.ready_at is not None
        assert slot.began_at <= slot.ready_at <= time.monotonic()
        assert (slot.retired, bool(slot.name), bool(slot.machine)) == (None, True, True)
    assert len({slot.name for slot in place.slots}) == len(place.slots)
    assert len({slot.machine for slot in place.slots}) == 1
    assert (os.getpid() in place.pids()) == (not place.own_process)


def test_results_come_back_each_once_with_no_more_in_flight_than_slots(place: Place, make_job: MakeJob) -> None:
    jobs = numbered(make_job, 7)
    results = run(Pool(place.slots, nap), jobs)
    assert statuses(results) == dict.fromkeys(range(7), "ok")
    assert [len(times(job)) for job in jobs] == [1] * 7
    assert most_at_once(jobs) == len(place.slots)
    assert sorted({int(result.metrics["pid"]) for result in results.values()}) == sorted(place.pids())


def test_results_that_are_there_together_come_in_order_of_number(place: Place, make_job: MakeJob) -> None:
    jobs, pool = numbered(make_job, 2)[::-1], Pool(place.slots, nap)
    for job in jobs[: pool.free]:
        pool.submit(job)
    time.sleep(1)
    found = [job.number for job, _ in pool.settle()]
    assert found == sorted(job.number for job in jobs[: len(place.slots)])


def test_a_training_is_the_same_to_the_bit(place: Place, make_job: MakeJob) -> None:
    there = run(Pool(place.slots, evaluate), [make_job("there", epochs=2)])[0]
    here = evaluate(make_job("here", epochs=2))
    assert (there.status, there.metrics, there.numerics) == ("ok", here.metrics, here.numerics)


def test_equal_calls_are_separate_jobs(place: Place, make_job: MakeJob) -> None:
    job, pool = make_job(), Pool(place.slots, nap)
    for _ in range(2):
        run(pool, [job])
    assert len(times(job)) == 2


def test_an_exception_is_a_lost_job_that_says_why(place: Place, make_job: MakeJob) -> None:
    results = run(Pool(place.slots, nap_or_raise), [make_job("raise", 0), make_job("other", 1)])
    assert statuses(results) == {0: "lost", 1: "ok"}
    assert "Picky: job 0" in str(results[0].error)


# Deadlines


def test_a_deadline(place: Place, make_job: MakeJob) -> None:
    if not place.own_process:
        slow = run(Pool(place.slots, nap, timeout=0.01), [make_job("slow", 0)])
        assert statuses(slow) == {0: "ok"}  # nothing can end it, so that a user may not ask for it:
        with pytest.raises(BadInput, match="--timeout: 5 cannot be kept by --executor serial"):
            parse(["--executor", "serial", "--timeout", "5"])
        return
    before, pool = place.pids(), Pool(place.slots, nap_or_hang, timeout=2)
    results = run(pool, [make_job("hang", 0), *(make_job(str(n), n) for n in range(1, 4))])
    assert statuses(results) == dict.fromkeys(range(4), "ok") | {0: "timeout"}
    assert results[0].error == "not done after 2 s"
    [killed] = set(before) - set(place.pids())
    assert gone(killed)


# Death


IN_THIS_PROCESS = """
import pickle, sys
from evaluate.pool.executors import SerialSlot
from test_pool import nap_or_die
SerialSlot("cpu").submit(nap_or_die, pickle.load(sys.stdin.buffer))
"""


def test_the_death_of_a_worker(place: Place, make_job: MakeJob) -> None:
    if not place.own_process:
        done = subprocess.run(
            [sys.executable, "-c", IN_THIS_PROCESS],
            input=pickle.dumps(make_job("always", 0)),
            env=os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"},
            check=False,
        )
        assert done.returncode == -signal.SIGKILL  # it is the search's: the journal has the job open
        return
    jobs = [make_job("always", 0), *(make_job(str(n), n) for n in range(1, 4))]
    results = run(Pool(place.slots, nap_or_die), jobs)
    assert statuses(results) == dict.fromkeys(range(4), "ok") | {0: "lost"}
    assert "exit code -9" in str(results[0].error)
    assert [len(times(job)) for job in jobs] == [2, 1, 1, 1]  # tried twice, and by nobody else


def test_a_worker_that_dies_while_idle_costs_no_job(place: Place, make_job: MakeJob) -> None:
    if place.own_process:
        for pid in place.pids():
            os.kill(pid, signal.SIGKILL)
    jobs = numbered(make_job, 3)
    assert statuses(run(Pool(place.slots, nap), jobs)) == dict.fromkeys(range(3), "ok")
    assert [len(times(job)) for job in jobs] == [1, 1, 1]


# The end: these leave slots that take no more jobs, so they come last


def spoil(job: Job) -> Result:
    """Fail as on a GPU that fell off the bus."""
    raise torch.AcceleratorError("CUDA error: no device")


def test_a_worker_that_cannot_start_again_retires_its_slot(
    place: Place, make_job: MakeJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first job ends its worker, then that of the other slot; for those after it no worker comes up."""
    monkeypatch.setattr(pool_module, "_RESTART_S", 30)
    said = list[str]()
    if place.own_process:
        place.serve(partial(serve_so_often, tmp_path, 0))
    try:
        task, jobs = nap_or_die if place.own_process else spoil, [make_job("always", 0)]
        jobs += [make_job(str(n), n) for n in range(1, 4)]
        with pytest.raises(NoSlotLeft, match=r"--devices: no slot is left: .* is retired, .*; check the devices"):
            run(Pool(place.slots, task, say=said.append), jobs)
    finally:
        place.serve(None)
    assert len(said) == len(place.slots)
    assert said[-1].endswith(f"0 of {len(place.slots)} slots left")
    why = "CUDA error: no device" if place.own_process else "its device is lost to that"
    assert all("is retired, its worker cannot be started again: " in line and why in line for line in said)
    assert all(slot.retired for slot in place.slots)


def test_stop_ends_the_worker(place: Place, make_job: MakeJob, request: pytest.FixtureRequest) -> None:
    if not place.own_process:
        serial = SerialSlot("cpu")
        serial.stop()
        assert serial.submit(nap, make_job()).result(0).status == "ok"  # it is this process, which goes on
        return
    with contextlib.ExitStack() as stack:
        if place.name == "local":
            slots: Sequence[Slot] = local_slots(["cpu"], 1)
        else:
            slots = stack.enter_context(met(request.getfixturevalue("loopback"))).first()
        found = await_ready(slots)
        slots[0].submit(nap_or_hang, make_job("hang"))
        time.sleep(0.3)
        for slot in slots:
            slot.stop()
        assert all(gone(one["pid"]) for one in found)
