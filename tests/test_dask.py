"""A search on a cluster over loopback: Dask workers killed, late or no good, and a scheduler that dies."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.loopback import Loopback
from cgp.errors import BadInput
from evaluate.pool.executors import DaskCluster
from harness import TINY, assert_same_run, kill_hard, program, start, wait_for
from populations import load

HIDDEN = 'mount -t tmpfs none "$0" && exec "$@"'  # a folder that its process does not share


@pytest.fixture(scope="module")
def hidden(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that the Dask worker `blind` does not share."""
    return tmp_path_factory.mktemp("hidden")


@pytest.fixture(scope="module")
def loopback(cache_root: Path, hidden: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loopback]:
    """A scheduler and three Dask workers, of which one has no resource."""
    with Loopback(tmp_path_factory.mktemp("dask")) as loopback:
        loopback.worker("bare", "--no-nanny")
        loopback.worker("narrow", "--no-nanny", "--resources", "slot=3")
        loopback.worker("blind", prefix=("unshare", "-rm", "sh", "-c", HIDDEN, str(hidden)))
        for name in ("bare", "narrow", "blind"):
            loopback.registered(name)
        yield loopback


def cluster(loopback: Loopback, folder: Path, patience: float, said: list[str]) -> DaskCluster:
    """Return the driver's end of a cluster."""
    return DaskCluster(loopback.address, patience, folder, said.append)


def test_a_scheduler_without_workers_is_waited_for(cache_root: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    said = list[str]()
    with (
        Loopback(tmp_path) as loopback,
        pytest.raises(BadInput, match=r"no Dask worker with a resource GPU or slot came within 0.2 s; "),
        cluster(loopback, tmp_path / "run", 0.2, said) as empty,
    ):
        empty.first()
    assert said == [f"waiting up to 0.2 s for Dask workers at {loopback.address}"]
    assert list((tmp_path / "run").iterdir()) == []


def test_what_is_no_good_is_named_and_not_used(
    loopback: Loopback, hidden: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = list[str]()
    with cluster(loopback, hidden, 60, said) as some:
        slots = some.first()
        deadline = time.monotonic() + 60
        while sum("is not used" in line for line in said) < 2 and time.monotonic() < deadline:
            slots += some.joined()
            time.sleep(0.05)
        assert [slot.name for slot in slots] == ["narrow/0"]
        assert slots[0].submit(abs, -1).result(30) == 1
        assert some.run(_loaded(some)).result(30) == {"scheduler": False, "Dask workers": False}
    assert set(said) - {f"waiting up to 60 s for Dask workers at {loopback.address}"} == {
        "bare is not used: it has neither a resource GPU nor slot; start it with --resources GPU=1 or slot=1",
        "narrow has slot=3 but --nthreads 1: 1 of them used; start it with --nthreads 3 to use all",
        f"blind/0 is not used: it cannot write to {hidden} as this machine does (No such file or directory); "
        "keep the run on a file system that both share",
    }
    assert list(hidden.iterdir()) == []

    monkeypatch.setattr("evaluate.pool.executors.dask.program_version", lambda: "0.0.1, sources 12345678")
    said.clear()
    with (
        pytest.raises(BadInput, match=r"no Dask worker can be used \(\w+/0: it has another version of the program, "),
        cluster(loopback, hidden, 2, said) as other,
    ):
        other.first()
    assert any(line.startswith("narrow/0 is not used: it has another version of the program") for line in said)
    assert all(line.endswith("; this is 0.0.1, sources 12345678") for line in said if "version" in line)


async def _loaded(cluster: DaskCluster) -> dict[str, bool]:
    """Return who has loaded torch: only the processes that train have to."""
    asked = "'torch' in __import__('sys').modules"
    found: dict[str, bool] = await cluster.client.run(eval, asked)
    return {"scheduler": await cluster.client.run_on_scheduler(eval, asked), "Dask workers": any(found.values())}


def test_worker_processes_end_with_a_driver_that_was_killed(loopback: Loopback, tmp_path: Path) -> None:
    long = (*TINY, "--epochs", "5000", "--run", "r", "--executor", "dask", "--scheduler", loopback.address)
    driver = start(*long, cwd=tmp_path)
    wait_for(tmp_path / "r", "models/*/curve.csv", 1, driver)
    hosts = [loopback.workers[name].pid for name in ("narrow", "blind")]
    before = training(hosts)
    assert len(before) == 2
    kill_hard(driver)
    deadline = time.monotonic() + 30
    while training(hosts) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert training(hosts) == set()
    assert set(load(tmp_path / "r").models["status"]) == {"open"}


def training(hosts: list[int]) -> set[int]:
    """Return the worker processes that Dask workers host: those that their fork servers have forked."""
    servers = [
        pid for host in hosts for pid in below(host) if b"forkserver" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]
    return {pid for server in servers for pid in below(server)}


def below(pid: int) -> set[int]:
    """Return the processes that any thread of a process has started."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return {int(child) for task in tasks for child in (task / "children").read_text().split()}


def test_what_a_cluster_does_leaves_the_records_as_they_are(loopback: Loopback, tmp_path: Path) -> None:
    """A Dask worker is killed in the middle, then the scheduler, which is started again; another one joins."""
    local = ("--resume", "local", "--executor", "local", "--workers", "2", "--generations", "3")
    longer = (*TINY, "--epochs", "8")  # so that it is not over before all has happened
    for arguments in ((*longer, "--generations", "1", "--executor", "serial", "--run", "local"), local):
        done = program(*arguments, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    on_cluster = ("--executor", "dask", "--scheduler", loopback.address)
    process = start(*longer, *on_cluster, "--run", "there", cwd=tmp_path)
    wait_for(tmp_path / "there", "models/*/curve.csv", 1, process)
    loopback.kill("blind")
    while "blind/0 is gone" not in process.said:  # before the scheduler is: it knows who has left
        assert process.poll() is None, process.said
        time.sleep(0.02)
    wait_for(tmp_path / "there", "models/*/curve.csv", 3, process)
    loopback.kill_scheduler()
    loopback.start_scheduler()
    loopback.worker("late")
    output, _ = process.communicate(timeout=240)
    assert process.returncode == 0, output
    assert_same_run(tmp_path / "local", tmp_path / "there")
    told = [line for line in output.splitlines() if "/0 joined; " in line or "is lost" in line or "is back" in line]
    assert "blind/0 is gone: its Dask worker has left; 1 slot left" in output
    assert told[-3:] == [
        f"the scheduler at {loopback.address} is lost (the connection has ended); waiting for it",
        f"the scheduler at {loopback.address} is back",
        "late/0 joined; 1 slot now",
    ]
    assert "Traceback" not in output
    assert [path.name for path in (tmp_path / "there").iterdir() if path.name.startswith(".shared")] == []
