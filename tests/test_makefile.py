"""`make evolve`: what a newcomer types first ends with a page to open."""

import os
import subprocess
import sys
from pathlib import Path

from harness import ROOT, TINY


def made(cwd: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run make in `cwd`, as in a checkout whose environment is installed already."""
    for name in ("Makefile", "evolve.py", "setup.cfg", "pyproject.toml"):
        (cwd / name).symlink_to(ROOT / name)
    (cwd / ".venv").mkdir()
    (cwd / ".venv" / "installed").touch()
    # `make test` tells what it starts that it is one of its own makes, which then says more.
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    environment |= {"PYTHONPATH": str(ROOT)}
    command = ["make", f"BIN={Path(sys.executable).parent}", *arguments]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=240)


def test_make_evolve_ends_with_a_report_to_open(tmp_path: Path) -> None:
    (tmp_path / "runs" / "digits-1").mkdir(parents=True)  # another search has this name
    few = ("--population", "1", "--generations", "1", "--epochs", "1", "--executor", "serial")
    done = made(tmp_path, "evolve", f"ARGS={' '.join((*TINY, '--offspring', '1', *few))}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "\nbest: runs/digits-2/best" in done.stdout
    assert done.stdout.splitlines()[-1].startswith("Open runs/digits-2/report.html in a browser")
    assert "<html" in (tmp_path / "runs" / "digits-2" / "report.html").read_text()[:200]
    assert list((tmp_path / "runs" / "digits-1").iterdir()) == []


def test_a_search_that_fails_leaves_no_report(tmp_path: Path) -> None:
    done = made(tmp_path, "evolve", "ARGS=--epochs 0")
    assert done.returncode != 0
    assert "Open" not in done.stdout
    assert not (tmp_path / "runs").exists()
