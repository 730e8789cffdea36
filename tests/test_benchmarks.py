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


@pytest.mark.parametrize("name", ["activations", "footprint", "overhead", "report", "sampling", "store", "trainer"])
def test_a_quick_run_shows_every_arm_and_writes_nothing(name: str) -> None:
    before = {path: path.read_bytes() for path in RESULTS.iterdir()}
    done = benchmark(name, "--quick")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{name}: ")
    assert " / " in done.stdout
    assert {path: path.read_bytes() for path in RESULTS.iterdir()} == before


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("peer", "CGP_DATA: no {}/MNIST/raw/train-images-idx3-ubyte; expected torchvision's unpacked MNIST files: "),
        ("ranking", "--data-dir: no {}/train/airplane; expected CIFAR-10 as images in class folders "),
    ],
    ids=["peer", "ranking"],
)
def test_missing_images_are_said_in_one_line(tmp_path: Path, name: str, said: str) -> None:
    done = benchmark(name, "--quick", CGP_DATA=str(tmp_path))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"benchmarks: error: {said.format(tmp_path)}")
    assert done.stderr.endswith(" folder by --data-dir DIR or CGP_DATA\n")
    assert done.stderr.count("\n") == 1


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
