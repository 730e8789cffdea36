"""Helpers of the tests that run the program as its user does: tiny searches, and how to compare them."""

import os
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

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
TIMES = ["seconds", "peak_memory_mb"]  # what a repetition may not repeat


def program(*arguments: str | Path, cwd: Path) -> "subprocess.CompletedProcess[str]":
    """Run `evolve.py` and wait for it."""
    return subprocess.run(
        [sys.executable, ROOT / "evolve.py", *arguments], cwd=cwd, capture_output=True, text=True, timeout=240
    )


def start(*arguments: str | Path, cwd: Path) -> "subprocess.Popen[str]":
    """Start `evolve.py` in a process group of its own."""
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
    return subprocess.run(
        [sys.executable, "-m", "populations", *arguments],
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=240,
    )


def wait_for(path: Path, pattern: str, count: int, process: "subprocess.Popen[str]") -> None:
    """Wait until `count` files match `pattern` below `path`."""
    deadline = time.monotonic() + 120
    while len(list(path.glob(pattern))) < count:
        assert time.monotonic() < deadline, f"no {count} x {pattern} in {path}"
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.02)


def workers_of(process: "subprocess.Popen[str]") -> list[int]:
    """Return the process ids of a driver's workers, which are children of its fork server."""
    servers = [pid for pid in _children(process.pid) if b"forkserver" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    return [pid for server in servers for pid in _children(server)]


def everyone(process: "subprocess.Popen[str]") -> list[int]:
    """Return the driver's process and all below it, the lowest first."""
    found = [process.pid]
    for pid in found:
        found += _children(pid)
    return found[::-1]


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def kill_hard(process: "subprocess.Popen[str]") -> None:
    """kill -9 of the driver alone."""
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()


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


def old_runs(folder: Path) -> Path:
    """Unpack the runs `plain` and `inherited` of format 2 into `folder`: see fixtures/README.md."""
    with tarfile.open(ROOT / "tests" / "fixtures" / "format-2.tar.gz") as archive:
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
