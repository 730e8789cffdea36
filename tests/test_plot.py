"""Figures for papers: what `plot` writes, and what it refuses."""

import shutil
import sqlite3
import sys
from pathlib import Path

import pytest
from PIL import Image

import populations.__main__ as cli
from harness import populations
from populations.plotting.plots import PLOTS
from populations.plotting.style import DPI, HEIGHT, WIDTH


@pytest.mark.parametrize("what", PLOTS)
def test_every_figure_is_vector_with_its_letters(what: str, searched: Path, tmp_path: Path) -> None:
    out = tmp_path / "figure.svg"
    assert cli.main(["plot", str(searched), what, "--out", str(out)]) == 0
    drawn = out.read_text()
    assert "<image" not in drawn  # of few networks each is drawn
    assert "validation accuracy" in drawn or "share of networks" in drawn
    assert cli.main(["plot", str(searched), what, "--out", str(out), "--force"]) == 0
    assert out.read_text() == drawn


def test_a_figure_is_as_wide_as_a_column(searched: Path, tmp_path: Path) -> None:
    assert populations("plot", searched, "depth", "--out", "depth.png", cwd=tmp_path).stdout == "depth.png\n"
    with Image.open(tmp_path / "depth.png") as image:
        assert image.size == (round(WIDTH * DPI), round(HEIGHT * DPI))
    assert cli.main(["plot", str(searched), "pareto", "--out", str(tmp_path / "pareto.pdf")]) == 0
    assert (tmp_path / "pareto.pdf").read_bytes().startswith(b"%PDF")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ("{run}", "dept", "--out", "f.svg"),
            "plot: no figure 'dept' (did you mean 'depth'?); expected one of progress, ",
        ),
        (("{run}", "depth", "--out", "f.gif"), "--out: f.gif is of no known kind"),
        (("nowhere", "depth", "--out", "f.svg"), "nowhere: no such run folder"),
        (("{barren}", "depth", "--out", "f.svg"), "barren: no network is trained to its end yet; "),
    ],
    ids=["figure", "kind", "run", "barren"],
)
def test_bad_input_is_one_line(
    searched: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...], said: str,
) -> None:  # fmt: skip
    barren = tmp_path / "barren"
    shutil.copytree(searched, barren, symlinks=True)
    with sqlite3.connect(barren / "run.sqlite") as db:
        db.execute("update results set status = 'pruned'")
    db.close()
    monkeypatch.chdir(tmp_path)
    assert cli.main(["plot", *(argument.format(run=searched, barren=barren) for argument in arguments)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert error.startswith(f"populations: error: {said}")
    assert [path.name for path in tmp_path.iterdir()] == ["barren"]


def test_without_matplotlib_a_line_says_what_to_install(
    searched: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert cli.main(["plot", str(searched), "depth", "--out", str(tmp_path / "f.svg")]) == 2
    assert capsys.readouterr().err == (
        "populations: error: plot: needs matplotlib, which is not installed: pip install 'cgp-evolve[report]'\n"
    )
