"""How a search ends from outside: signals before it begins, a terminal that is closed, devices that are gone."""

import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from evaluate.pool.pool import STOP_SIGNALS
from harness import ROOT, TINY, everyone, program, start_cold, wait_for, workers_of
from populations import load
from populations.run_folder.store import Store
from populations.search.stop import Stop, Stopped
from test_store import PLAN

Process = subprocess.Popen[str]

LONG = (*TINY, "--epochs", "5000", "--train-size", "1000")
SHORT = (*TINY, "--generations", "1")
MORE = ("--epochs", "20", "--population", "6")


def signals(process: Process, field: str) -> set[int]:
    """Return the signals that a driver catches (`SigCgt`) or ignores (`SigIgn`)."""
    _, _, bits = Path(f"/proc/{process.pid}/status").read_text().partition(f"{field}:")
    return {number for number in range(1, 32) if int(bits.split(maxsplit=1)[0], 16) >> (number - 1) & 1}


def wait_until_caught(process: Process) -> None:
    """Wait until a driver has begun its first lines."""
    while not set(STOP_SIGNALS) <= signals(process, "SigCgt"):
        assert process.poll() is None
        time.sleep(0.002)


def wait_until_server(process: Process) -> None:
    """Wait until a driver has begun to start its workers."""
    while len(everyone(process)) < 3:
        assert process.poll() is None
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("wait", "number"),
    [*((wait_until_caught, number) for number in STOP_SIGNALS), (wait_until_server, signal.SIGINT)],
)
def test_a_signal_before_the_search_is_one_line(
    tmp_path: Path, wait: Callable[[Process], None], number: signal.Signals
) -> None:
    process = start_cold(*LONG, "--run", "r", cwd=tmp_path)
    wait(process)
    os.killpg(process.pid, number)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130, output
    assert "stopped" in output.splitlines()[-1]
    assert "Traceback" not in output


def test_a_signal_that_comes_in_a_callback_stops_the_search_as_soon_as_it_begins(tmp_path: Path) -> None:
    """What is raised there is not heard of: Python says so on standard error, and goes on."""
    script = (
        "import os, signal, sys, evolve\n"
        "from populations.setup import composition\n"
        "class Late:\n"
        "    def __del__(self):\n"
        "        os.kill(os.getpid(), signal.SIGINT)\n"
        "load = composition.load\n"
        "def loading(*some):\n"
        "    Late()\n"
        "    return load(*some)\n"
        "composition.load = loading\n"
        "sys.exit(evolve.main(sys.argv[1:]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *LONG, "--run", "r"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 130, done.stderr
    assert "stopped at once; go on with: " in done.stderr.splitlines()[-1]


ON_A_TERMINAL = """
import fcntl, os, sys, termios
os.setsid()
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""


def test_a_terminal_that_is_closed_ends_a_search_like_sigterm(tmp_path: Path) -> None:
    master, terminal = pty.openpty()
    command = [sys.executable, "-c", ON_A_TERMINAL, str(ROOT / "evolve.py"), *LONG, "--run", "r"]
    process = subprocess.Popen(command, cwd=tmp_path, stdin=terminal, stdout=terminal, stderr=terminal)
    os.close(terminal)
    while not list(tmp_path.glob("r/models/*/curve.csv")):
        assert process.poll() is None
        if select.select([master], [], [], 0.05)[0]:
            os.read(master, 65536)
    os.close(master)
    assert process.wait(60) == 130
    [busy] = load(tmp_path / "r").sessions["busy"]
    assert set(busy) == {"interrupted"}  # its workers ended their epoch


def test_a_second_signal_stops_at_once_unless_it_is_of_a_closed_terminal(tmp_path: Path) -> None:
    before = {number: signal.getsignal(number) for number in STOP_SIGNALS}
    (tmp_path / "r").mkdir()
    store = Store(tmp_path / "r", PLAN)
    try:
        stop = Stop(store)
        assert not stop.asked
        for _ in range(2):
            signal.raise_signal(signal.SIGHUP)
        assert stop.asked
        assert store.stop_file.exists()
        with pytest.raises(Stopped) as stopped:
            signal.raise_signal(signal.SIGTERM)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        store.end()
    assert stopped.value.folder == tmp_path / "r"


def test_nohup_is_heeded(tmp_path: Path) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        process = start_cold(*LONG, "--workers", "1", "--run", "r", cwd=tmp_path)
    finally:
        signal.signal(signal.SIGHUP, before)
    wait_for(tmp_path / "r", "models/*/genome.json", 1, process)
    ignored = signals(process, "SigIgn")
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert signal.SIGHUP in ignored


FAILING = """
import sys
from functools import partial
from pathlib import Path
import evaluate.worker
from workers import serve_so_often
evaluate.worker.serve = partial(serve_so_often, Path.cwd(), int(sys.argv[1]))
import evolve
sys.exit(evolve.main(sys.argv[2:]))
"""


@pytest.mark.parametrize("workers", [1, 2])
def test_a_search_ends_without_devices_and_goes_on_with_one(tmp_path: Path, workers: int) -> None:
    """Each of its workers starts once; one of them dies."""
    count = str(workers)
    process = subprocess.Popen(
        [sys.executable, "-c", FAILING, count, *SHORT, *MORE, "--workers", count, "--run", "r"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for(tmp_path / "r", "models/*/curve.csv", 1, process)
    os.kill(workers_of(process)[0], signal.SIGKILL)
    output, errors = process.communicate(timeout=60)
    retired = (
        "is retired, its worker cannot be started again: its process ended with exit code 0 (CUDA error: no device)"
    )
    assert retired in output
    if workers == 2:
        assert (process.returncode, errors) == (0, "")
    else:
        assert (process.returncode, errors.count("\n")) == (2, 1)
        assert errors.startswith(f"evolve.py: error: --devices: no slot is left: slot 0 {retired}; check the devices")
        assert program("--resume", "r", cwd=tmp_path).returncode == 0
    assert list(load(tmp_path / "r").models["status"]) == ["ok"] * 6
