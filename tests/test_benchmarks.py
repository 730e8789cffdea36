"""The benchmarks run as their README says, and its tables are those of the result files."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.__main__ import NAMES
from benchmarks.measure import RESULTS, readme
from harness import ROOT


def benchmark(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Run `python -m benchmarks`."""
    command = [sys.executable, "-m", "benchmarks", *arguments]
    return subprocess.run(
        command, cwd=ROOT, env=os.environ | environment, capture_output=True, text=True, timeout=240
    )


@pytest.mark.parametrize("name", ["overhead", "sampling", "trainer"])
def test_a_quick_run_shows_every_arm_and_writes_nothing(name: str) -> None:
    before = {path: path.read_bytes() for path in RESULTS.iterdir()}
    done = benchmark(name, "--quick")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{name}: ")
    assert " / " in done.stdout
    assert {path: path.read_bytes() for path in RESULTS.iterdir()} == before


def test_missing_images_are_said_in_one_line(tmp_path: Path) -> None:
    done = benchmark("peer", "--quick", CGP_DATA=str(tmp_path))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        f"benchmarks: error: CGP_DATA: no {tmp_path}/MNIST/raw/train-images-idx3-ubyte; expected torchvision's "
        "unpacked MNIST files: name their folder by --data-dir DIR or CGP_DATA\n"
    )


def test_the_readme_is_made_from_the_results() -> None:
    assert (RESULTS.parent / "README.md").read_text() == readme()


@pytest.mark.parametrize("path", sorted(RESULTS.glob("*.json")), ids=lambda path: path.stem)
def test_a_result_can_be_checked(path: Path) -> None:
    result = json.loads(path.read_text())
    assert result["benchmark"] in NAMES
    assert {"hardware", "versions", "date", "command", "what", "unit"} <= result.keys()
    assert {len(samples) for samples in result["arms"].values()} == {result["n"]}
    low, high = result["ratio"]["interval"]
    assert low <= result["ratio"]["median"] <= high
