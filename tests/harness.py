"""Helpers of the tests that run the program as its user does: tiny searches, and how to compare them."""

import atexit
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TypeAlias

import pandas as pd
from PIL import Image
from safetensors.torch import load_file

from populations import Run, load

ROOT = Path(__file__).parents[1]
DRAWN = (
    *("--function-set", "conv_8_3,conv_4_3,res_8_3,maxpool,sum", "--num-min-depth", "1", "--num-max-depth", "4"),
    *("--train-size", "120", "--epochs", "2", "--population", "3", "--generations", "3"),
    "--no-racing",
)
TINY = (*DRAWN, "--offspring", "3")
Process: TypeAlias = "Started | subprocess.Popen[str]"
TIMES = ["seconds", "peak_memory_mb"]  # what a repetition may not repeat


class Started:
    """A process that `warm` has started; its output and its errors go to files in memory."""

    def __init__(self, program: Path, arguments: Sequence[str | Path], cwd: Path, apart: bool = False) -> None:
        """Start `program` in `cwd`; `apart` keeps its errors apart from its output."""
        self._files = [os.memfd_create(name) for name in ("output", "errors")[: 1 + apart]]
        self.returncode: int | None = None
        self._news = socket.socket(socket.AF_UNIX)
        self._news.connect(_warm())
        asked = {
            "program": str(program),
            "arguments": [str(argument) for argument in arguments],
            "cwd": str(cwd),
            "environment": dict(os.environ),
        }
        socket.send_fds(self._news, [json.dumps(asked).encode()], [self._files[0], self._files[-1]])
        self._lines = self._news.makefile()
        self.pid = int(self._lines.readline())

    def poll(self) -> int | None:
        """Return the exit code; None while it runs."""
        if self.returncode is None and select.select([self._news], [], [], 0)[0]:
            self.returncode = int(self._lines.readline())
            self._lines.close()
            self._news.close()
        return self.returncode

    @property
    def said(self) -> str:
        """What it has written so far, unless it was communicated with."""
        return os.pread(self._files[0], 1 << 24, 0).decode()

    def communicate(self, timeout: float = 240) -> tuple[str, str]:
        """Wait for its end, and return what it wrote; once. Raises TimeoutError where it does not end in time."""
        late = self.returncode is None and not select.select([self._news], [], [], timeout)[0]
        if late:
            os.killpg(self.pid, signal.SIGKILL)
            select.select([self._news], [], [], 60)
        self.poll()
        output, *errors = [os.pread(file, 1 << 24, 0).decode() for file in self._files]
        for file in self._files:
            os.close(file)
        if late:
            raise TimeoutError(f"not done after {timeout} s: {output} {errors}")
        return output, "".join(errors)


@cache
def _warm() -> str:
    """Start the process that forks the others (see `warm`); it ends with this one. Return where it listens."""
    address = f"{tempfile.mkdtemp(prefix='warm-', dir='/tmp')}/socket"
    environment = os.environ | {"OMP_NUM_THREADS": "1"}  # a process that forks has one thread
    command: list[str | Path] = [sys.executable, ROOT / "tests" / "warm.py", address]
    # Never waited for: it ends when the pipe that is held here does.
    process = subprocess.Popen(command, stdin=subprocess.PIPE, env=environment)
    atexit.register(shutil.rmtree, Path(address).parent)
    atexit.register(process.communicate)
    while not Path(address).exists():
        assert process.poll() is None
        time.sleep(0.05)
    return address


def _done(started: Started, command: Sequence[str | Path]) -> "subprocess.CompletedProcess[str]":
    output, errors = started.communicate()
    assert started.returncode is not None
    return subprocess.CompletedProcess(command, started.returncode, output, errors)


def program(*arguments: str | Path, cwd: Path) -> "subprocess.CompletedProcess[str]":
    """Run `evolve.py` and wait for it."""
    return _done(Started(ROOT / "evolve.py", arguments, cwd, apart=True), arguments)


def start(*arguments: str | Path, cwd: Path) -> Started:
    """Start `evolve.py` in a process group of its own."""
    return Started(ROOT / "evolve.py", arguments, cwd)


def start_cold(*arguments: str | Path, cwd: Path) -> "subprocess.Popen[str]":
    """Start `evolve.py` as a shell does, with its imports, in a process group of its own."""
    return subprocess.Popen(
        [sys.executable, ROOT / "evolve.py", *arguments],
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def populations(*arguments: str | Path, cwd: Path) -> "subprocess.CompletedProcess[str]":
    """Run `python -m populations` and wait for it."""
    return _done(Started(ROOT / "populations" / "__main__.py", arguments, cwd, apart=True), arguments)


def studies(*arguments: str | Path, cwd: Path) -> "subprocess.CompletedProcess[str]":
    """Run `python -m studies` and wait for it."""
    return _done(Started(ROOT / "studies" / "__main__.py", arguments, cwd, apart=True), arguments)


def wait_for(path: Path, pattern: str, count: int, process: Process) -> None:
    """Wait until `count` files match `pattern` below `path`."""
    deadline = time.monotonic() + 120
    while len(list(path.glob(pattern))) < count:
        assert time.monotonic() < deadline, f"no {count} x {pattern} in {path}"
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.02)


def workers_of(process: Process) -> list[int]:
    """Return the process ids of a driver's workers, which are children of its fork server."""
    return [pid for server in _children(process.pid) if _is_server(server) for pid in _children(server)]


def _is_server(pid: int) -> bool:
    named, started = (Path(f"/proc/{pid}/{name}").read_text() for name in ("comm", "cmdline"))
    return named == "forkserver\n" or "forkserver" in started


def everyone(process: Process) -> list[int]:
    """Return the driver's process and all below it, the lowest first."""
    found = [process.pid]
    for pid in found:
        found += _children(pid)
    return found[::-1]


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def kill_hard(process: Process) -> None:
    """kill -9 of the driver alone."""
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)


def killed_and_resumed(arguments: tuple[str, ...], cwd: Path, files: str, count: int) -> Path:
    """Search with two workers, kill -9 the driver once `count` `files` are there, resume; return the run."""
    process = start(*arguments, "--workers", "2", "--run", "r", cwd=cwd)
    wait_for(cwd / "r", files, count, process)
    kill_hard(process)
    done = program("--resume", "r", "--workers", "2", cwd=cwd)
    assert done.returncode == 0, done.stderr
    return cwd / "r"


def facts(run: Run) -> pd.DataFrame:
    """Return the table of models without what a clock or the system decides, and the name of the run."""
    return run.models.drop(columns=[*TIMES, "run"])


def assert_same_run(one: Path, other: Path) -> None:
    """Two run folders hold the same records, curves, snapshots and weights, to the bit."""
    a, b = load(one), load(other)
    pd.testing.assert_frame_equal(facts(a), facts(b), check_exact=True)
    curves_a, curves_b = (run.curves.drop(columns="seconds") for run in (a, b))
    pd.testing.assert_frame_equal(curves_a, curves_b, check_exact=True)
    pd.testing.assert_frame_equal(a.generations, b.generations, check_exact=True)
    assert (one / "best").readlink() == (other / "best").readlink()
    weights = sorted(path.relative_to(one) for path in one.glob("models/*/*.safetensors"))
    assert weights
    assert weights == sorted(path.relative_to(other) for path in other.glob("models/*/*.safetensors"))
    for path in weights:
        mine, theirs = load_file(one / path), load_file(other / path)
        assert mine.keys() == theirs.keys()
        assert all(mine[name].equal(theirs[name]) for name in mine), path
    snapshots = sorted(path.name for path in (one / "snapshots").iterdir())
    assert snapshots == sorted(path.name for path in (other / "snapshots").iterdir())


def make_images(folder: Path) -> None:
    """Write two class folders of 60 small images each."""
    for label, shade in (("dark", 40), ("light", 200)):
        (folder / label).mkdir(parents=True)
        for n in range(60):
            Image.new("RGB", (9, 10), (shade, shade + n % 20, shade)).save(folder / label / f"{n}.png")


def old_runs(folder: Path, number: int = 2) -> Path:
    """Unpack the runs of format `number` into `folder`: see fixtures/README.md."""
    with tarfile.open(ROOT / "tests" / "fixtures" / f"format-{number}.tar.gz") as archive:
        archive.extractall(folder, filter="data")
    return folder


def on_read_only_media(folder: Path, *command: str | Path) -> "subprocess.CompletedProcess[str]":
    """Run a command while `folder` is mounted so that nobody, not even root, can write to it."""
    mount = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && ! touch "$0/x" 2>&- && cd "$0" && exec "$@"'
    return subprocess.run(
        ["unshare", "-rm", "sh", "-c", mount, folder, *command],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=240,
    )
