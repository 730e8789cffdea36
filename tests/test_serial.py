"""A search in one process: a debugger stops in its trainings, Ctrl-C ends them after their epoch."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from harness import ROOT, TINY, everyone, start, wait_for
from populations import load

STOPPING = """
import sys
from evaluate.training import trained
train = trained.train
def stopping(network, *others):
    breakpoint()
    return train(network, *others)
trained.train = stopping
import evolve
sys.exit(evolve.main(sys.argv[1:]))
"""


def test_a_breakpoint_in_a_training_is_met(tmp_path: Path) -> None:
    one = ("--population", "1", "--offspring", "1", "--generations", "1", "--executor", "serial", "--run", "r")
    done = subprocess.run(
        [sys.executable, "-c", STOPPING, *TINY, *one],
        input="p 'it is', type(network).__name__\nc\n",
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "(Pdb) ('it is', 'Network')" in done.stdout
    assert list(load(tmp_path / "r").models["status"]) == ["ok"]


def test_it_starts_no_process_and_stops_after_an_epoch_when_asked(tmp_path: Path) -> None:
    process = start(*TINY, "--epochs", "5000", "--executor", "serial", "--run", "r", cwd=tmp_path)
    wait_for(tmp_path / "r", "models/*/curve.csv", 1, process)
    assert everyone(process) == [process.pid]
    os.kill(process.pid, signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130, output
    assert output.endswith("stopped; go on with: " + output.rpartition("go on with: ")[2])
    assert "--resume r" in output.splitlines()[-1]
    [session] = load(tmp_path / "r").sessions.to_dict("records")
    assert set(session["busy"]) == {"interrupted"}
