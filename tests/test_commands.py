"""The installed commands: they are there, and what a search says to type next works as it is said."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from harness import DRAWN, ROOT
from populations.terminal.programs import populations_command, search_command


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program, installed without its requirements in a folder of its own."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("target")
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE", "evolve.py"):
        shutil.copy(ROOT / name, source)
    for name in ("cgp", "evaluate", "populations"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    alone = ("--no-deps", "--no-build-isolation", "--no-compile", "--no-index", "--quiet")
    command = [sys.executable, "-m", "pip", "install", *alone, "--target", str(target), str(source)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return target


def run(line: list[str], installed: Path, cwd: Path) -> "subprocess.CompletedProcess[str]":
    environment = os.environ | {
        "PYTHONPATH": str(installed),
        "PATH": f"{installed / 'bin'}{os.pathsep}{os.environ['PATH']}",
    }
    return subprocess.run(line, cwd=cwd, env=environment, capture_output=True, text=True, timeout=240)


def test_what_an_installed_search_says_to_type_next_works(installed: Path, tmp_path: Path) -> None:
    few = ("--population", "1", "--generations", "1", "--epochs", "1", "--workers", "1", "--run", "r")
    done = run(["cgp-evolve", *DRAWN, *few], installed, tmp_path)
    assert done.returncode == 0, done.stderr
    said = [line.removeprefix("next:").split() for line in done.stdout.partition("\nnext:")[2].splitlines()]
    assert [words[0] for words in said] == ["cgp-populations", "cgp-populations", "cgp-populations", "cgp-evolve"]
    looked = run(said[0], installed, tmp_path)
    assert looked.returncode == 0, looked.stderr
    assert "val_accuracy" in looked.stdout
    reported = run(said[2], installed, tmp_path)
    assert (reported.returncode, reported.stdout) == (0, "r.html\n"), reported.stderr


def test_an_installed_command_goes_by_its_name(installed: Path, tmp_path: Path) -> None:
    done = run(["cgp-evolve", "--generatoins", "3"], installed, tmp_path)
    assert (done.returncode, done.stderr.partition(":")[0]) == (2, "cgp-evolve")
    text = run(["cgp-evolve", "--help"], installed, tmp_path).stdout
    assert text.startswith("usage: cgp-evolve")
    assert "Inspect a run: cgp-populations show RUN" in " ".join(text.split())


def test_a_command_that_is_not_on_the_path_is_named_with_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [".venv/bin/cgp-evolve"])
    assert (search_command(), populations_command()) == (".venv/bin/cgp-evolve", ".venv/bin/cgp-populations")
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(sys, "argv", [f"{tmp_path}/cgp-populations"])
    assert (search_command(), populations_command()) == (f"{tmp_path}/cgp-evolve", f"{tmp_path}/cgp-populations")


def test_a_script_is_named_with_the_folder_it_is_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["evolve.py"])
    for folder, script in ((ROOT, "evolve.py"), (tmp_path, str(ROOT / "evolve.py"))):
        monkeypatch.chdir(folder)
        assert search_command().split()[-1] == script
