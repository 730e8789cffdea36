"""What the pages below docs show can be typed: every command is run, with searches made small."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.browser import CHROMIUM
from documents import blocks, commands, flags, is_search, left_out, run, small
from harness import ROOT
from populations.setup.config import parse
from test_data import write_mnist

DOCS = ROOT / "docs"
PAGES = (ROOT / "README.md", *sorted(DOCS.glob("*.md")))
STARTS = ("python ", "python3 ", ".venv/", "make ", "pip ", "dask ", "srun ", "cgp-", "$ ")


def photographs(folder: Path) -> None:
    """Write ten small photographs of each of two classes, to train on and to test."""
    rng = np.random.default_rng(0)
    for part, name in ((part, name) for part in ("train", "test") for name in ("cat", "ship")):
        (folder / part / name).mkdir(parents=True)
        for n in range(1, 61 if part == "train" else 11):
            Image.fromarray(rng.integers(0, 256, (16, 16, 3), np.uint8)).save(folder / part / name / f"{n:04}.jpg")


RUN = ("gallery", "real-run")


@pytest.mark.parametrize("page", RUN)
def test_every_command_of_a_page_is_run(page: str, tmp_path: Path) -> None:
    photographs(tmp_path / "cifar")
    write_mnist(tmp_path / "data", "MNIST")
    (tmp_path / "docs" / "gallery").mkdir(parents=True)
    lines = commands(DOCS / f"{page}.md")
    assert len(lines) >= 10
    for words in lines:
        if words[1] == "docs/gallery.py" and CHROMIUM is None:
            continue
        done = run(small(words) if is_search(words) else words, tmp_path)
        assert done.returncode == 0, f"{words}: {done.stderr}"
    made = {path.name for path in (tmp_path / "docs").rglob("*.*")}
    assert made
    assert made <= {path.name for path in DOCS.rglob("*.*")}  # they have the names of the pictures that are kept


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_command_is_run_or_stands_behind_a_dollar(page: Path) -> None:
    for language, lines in blocks(page):
        for line in lines.splitlines():
            if language not in ("", "bash"):
                assert line.startswith("$ ") == (language == "console" and line.startswith(STARTS)), line
    assert page.stem in ("README", *RUN) or not commands(page)
    for words in filter(is_search, left_out(page)):
        assert parse(flags(words))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pictures_and_pages_that_are_shown_are_there(page: Path) -> None:
    shown = re.findall(r"(?:\]\(|src=\"|href=\")([^)\":#]+)[)\"#]", page.read_text())
    assert [name for name in shown if not (page.parent / name).exists()] == []
