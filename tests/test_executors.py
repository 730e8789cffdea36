"""Worker processes: how they start, what ends them, which device they see, and what they leave to the driver."""

import fcntl
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from cgp.errors import BadInput
from evaluate.pool.executors import ProcessSlot, await_ready, device_names, local, local_slots
from evaluate.pool.pool import STOP_SIGNALS
from workers import serve_never, serve_on_cpu

ROOT = Path(__file__).parents[1]


# What workers are told to do


def visible_devices(_: None) -> str | None:
    """Return the GPUs that the worker may see."""
    return os.environ.get("CUDA_VISIBLE_DEVICES")


def asleep(seconds: float) -> int:
    """Sleep, and return the worker's process."""
    time.sleep(seconds)
    return os.getpid()


# The end


DRIVER = """
import sys, time
from evaluate.pool.executors import await_ready, local_slots
slots = local_slots(["cpu"], 2)
if sys.argv[1] == "ready":
    await_ready(slots)
print("go", flush=True)
if sys.argv[1] != "leaving":
    time.sleep(600)
"""


def marked(mark: str) -> list[int]:
    """Return the processes that have `mark` in their environment."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (folder / "environ").read_text():
                found.append(int(folder.name))
        except OSError:  # another user's, or gone
            continue
    return found


def driver(moment: str, **environment: str) -> "subprocess.Popen[str]":
    """Start a driver that goes to the `moment` and stays there; return it when it is there."""
    command = [sys.executable, "-c", DRIVER, moment]
    environment = os.environ | {"PYTHONPATH": str(ROOT)} | environment
    started = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert started.stdout is not None
    first = started.stdout.readline()
    if first != "go\n":
        started.kill()
        pytest.fail(first + started.communicate()[0])
    return started


def assert_gone(mark: str) -> None:
    """All processes that have `mark` end."""
    deadline = time.monotonic() + 60
    while marked(mark) and time.monotonic() < deadline:
        time.sleep(0.05)
    left = marked(mark)
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert left == []


def test_workers_end_with_a_driver_that_was_killed(tmp_path: Path) -> None:
    mark = f"driver of {tmp_path}"
    with driver("ready", CGP_TEST_MARK=mark) as killed:
        before = marked(mark)
        killed.kill()
    assert len(before) >= 3  # the driver and its workers
    assert_gone(mark)


@pytest.fixture
def temporary() -> Iterator[Path]:
    """A temporary directory whose path is as short as those that users have."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        yield Path(folder)


def test_workers_start_where_the_temporary_directory_has_a_long_path(tmp_path: Path) -> None:
    mark, deep = f"driver of {tmp_path}", tmp_path / ("job-" + "7" * 100)
    deep.mkdir()
    with driver("ready", CGP_TEST_MARK=mark, TMPDIR=str(deep)) as killed:
        killed.kill()
    assert_gone(mark)


def test_a_driver_leaves_no_worker_and_no_folder_nor_those_of_drivers_that_were_killed(temporary: Path) -> None:
    mark = f"driver of {temporary}"
    environment = {"CGP_TEST_MARK": mark, "TMPDIR": str(temporary)}
    with driver("starting", **environment) as killed:
        killed.kill()
    assert_gone(mark)
    [left] = temporary.glob("cgp-driver-*")
    (temporary / "cgp-driver-alive").mkdir()
    lock = os.open(temporary / "cgp-driver-alive", os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    (temporary / "cgp-driver-photos").mkdir()
    (temporary / "cgp-driver-photos" / "mine.jpg").touch()
    with driver("leaving", **environment) as leaving:  # it closes nothing
        try:
            output, _ = leaving.communicate(timeout=60)
        finally:
            leaving.kill()
    os.close(lock)
    assert (leaving.returncode, output) == (0, "")
    assert_gone(mark)
    kept = {"cgp-driver-alive", "cgp-driver-photos"}
    assert {path.name for path in temporary.iterdir() if path.name.startswith(("cgp", "pymp"))} == kept
    assert not left.exists()


def test_workers_leave_the_signals_that_end_a_search_to_the_driver(ended: list[ProcessSlot]) -> None:
    ended += local_slots(["cpu"], 1)
    [pid] = [found["pid"] for found in await_ready(ended)]
    server = parent(pid)
    future = ended[0].submit(asleep, 0.2)
    for number in STOP_SIGNALS:
        os.kill(pid, number)
        os.kill(server, number)
    assert future.result(60) == pid
    ended[0].restart()
    assert parent(await_ready(ended)[0]["pid"]) == server


def parent(pid: int) -> int:
    """Return the process that started `pid`."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


WITHOUT_SERVER = """
import os, signal, sys
from pathlib import Path
from evaluate.pool.executors import await_ready, local_slots

def state(pid, field):
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(line for line in lines if line.startswith(field)).split()[1]

slots = local_slots(["cpu"], 2)
one, other = [found["pid"] for found in await_ready(slots)]
os.kill(int(state(one, "PPid")), signal.SIGKILL)
slots[1].restart()
again = await_ready(slots[1:])[0]["pid"]
slots[0].restart()
gone = not Path(f"/proc/{one}").exists() or state(one, "State") == "Z"
print("gone" if gone else "alive", len({one, other, again}), len(await_ready(slots)))
for slot in slots:
    slot.stop()
"""


def test_workers_are_ended_and_started_though_their_server_has_died() -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", WITHOUT_SERVER]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout == "gone 3 2\n", done.stderr


# Devices


def test_devices_are_named_with_commas() -> None:
    assert device_names("cpu") == ["cpu"]
    assert device_names("cpu, cpu") == ["cpu", "cpu"]


def test_auto_is_every_gpu_or_else_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    for count, names in ((2, ["cuda:0", "cuda:1"]), (0, ["cpu"])):
        monkeypatch.setattr(torch.cuda, "device_count", lambda count=count: count)
        assert device_names("auto") == names


@pytest.mark.parametrize(
    ("mine", "theirs"), [(None, ["0", "1"]), ("5,3", ["5", "3"]), ("GPU-ab, GPU-cd", ["GPU-ab", "GPU-cd"])]
)
def test_a_worker_sees_the_gpu_of_its_slot_alone(
    ended: list[ProcessSlot], mine: str | None, theirs: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if mine:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", mine)
    monkeypatch.setattr("evaluate.worker.serve", serve_on_cpu)
    ended += [ProcessSlot("one", "cuda:0"), ProcessSlot("two", "cuda:1")]
    assert [slot.submit(visible_devices, None).result(60) for slot in ended] == theirs
    ended[1].restart()
    assert ended[1].submit(visible_devices, None).result(60) == theirs[1]


FORK_SERVER_IMPORTS = """
import torch
touched = []
def noting(name, answer):
    return lambda *arguments, **options: touched.append(name) or answer
torch.cuda._is_compiled = lambda: True
torch.cuda._lazy_init = noting("_lazy_init", None)
for name, answer in (("_cuda_init", None), ("_cuda_getDeviceCount", 1)):  # as asked, CUDA cannot be used after a fork
    setattr(torch._C, name, noting(name, answer))
from evaluate.pool.forkserver import PRELOADED
for name in PRELOADED:
    __import__(name)
print(touched)
torch.cuda.is_available()
print(bool(touched))
"""


def test_what_the_fork_server_imports_leaves_cuda_to_the_workers() -> None:
    command = [sys.executable, "-c", FORK_SERVER_IMPORTS]
    environment = os.environ | {"PYTORCH_NVML_BASED_CUDA_CHECK": "0"}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.stdout == "[]\nTrue\n", done.stderr


@pytest.mark.parametrize("devices", ["cuda:99", "cpu,gpu", "", "cuda"])
def test_an_unknown_device_is_refused_with_what_there_is(devices: str) -> None:
    with pytest.raises(BadInput, match=r"--devices: no device .*; this machine has cpu") as caught:
        device_names(devices)
    assert repr(devices.split(",")[-1]) in str(caught.value)


def test_a_worker_that_cannot_start_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    slots = local_slots(["cuda:99"], 1)
    with pytest.raises(BadInput, match="--devices: the worker of slot 0 on cuda:99 did not start: ") as caught:
        await_ready(slots)
    assert "\n" not in str(caught.value)
    with pytest.raises(RuntimeError, match="its process ended"):  # it takes no jobs either
        slots[0].submit(str, 1).result(30)
    slots[0].stop()


def test_a_worker_that_hangs_while_it_starts_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evaluate.worker.serve", serve_never)
    monkeypatch.setattr(local, "START_S", 0.1)
    slots = local_slots(["cpu"], 1)
    with pytest.raises(BadInput, match="--devices: the worker of slot 0 on cpu did not start: TimeoutError"):
        await_ready(slots)
    slots[0].stop()


def test_fewer_workers_than_devices_are_refused() -> None:
    with pytest.raises(BadInput, match="--workers: 1; expected at least one for each of cpu, cuda:0"):
        local_slots(["cpu", "cuda:0"], 1)
    with pytest.raises(BadInput, match="--workers: 0;"):
        local_slots(["cpu"], 0)
