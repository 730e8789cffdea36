"""The examples run as they are: each is a plain script (`search.py` is run in test_python.py)."""

import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

import populations.__main__ as cli
from harness import ROOT
from populations import load
from test_export import APART
from test_finetune import grey_images

EXAMPLES = ROOT / "examples"


@pytest.fixture
def said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> "pytest.CaptureFixture[str]":
    """What a script prints that runs in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return capsys


def runs(name: str, *arguments: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
    runpy.run_path(str(EXAMPLES / name), run_name="__main__")


def test_every_example_is_run() -> None:
    tested = {"search.py", "population.py", "finetune.py", "pyramid.py", "elsewhere.py"}
    assert {path.name for path in EXAMPLES.glob("*.py")} == tested


def test_a_population_in_pandas(
    searched: Path, said: "pytest.CaptureFixture[str]", monkeypatch: pytest.MonkeyPatch
) -> None:
    runs("population.py", searched, monkeypatch=monkeypatch)
    parts = said.readouterr().out.split("\n\n")
    assert [part.partition("?")[0].split()[0] for part in parts] == ["Do", "What", "Which"]
    models = load(searched).models.query("status == 'ok' and same_as.isna()")
    assert models.sort_values(["val_accuracy", "params"], ascending=[False, True])["id"].iloc[0] in parts[2]


def test_fine_tuning_on_a_folder_of_ones_own(
    searched: Path, said: "pytest.CaptureFixture[str]", tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    grey_images(tmp_path / "own")
    runs("finetune.py", searched, tmp_path / "own", monkeypatch=monkeypatch)
    modes = ["finetune", "from-scratch"]
    lines = said.readouterr().out.splitlines()
    accuracies = [load(tmp_path / "runs" / f"own-{mode}").models["val_accuracy"].max() for mode in modes]
    assert lines == [
        f"{mode}: val_accuracy {accuracy:.4f} in runs/own-{mode}"
        for mode, accuracy in zip(modes, accuracies, strict=True)
    ]


def test_a_pyramid_for_a_detector(
    searched: Path, said: "pytest.CaptureFixture[str]", monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    runs("pyramid.py", searched, monkeypatch=monkeypatch)
    lines = said.readouterr().out.splitlines()
    assert lines[0].startswith("maps are smaller than the image by [")
    losses = [float(line.split()[-1]) for line in lines[1:4]]
    assert losses[-1] < losses[0]


def test_the_exported_network_in_a_folder_without_our_packages(searched: Path, tmp_path: Path) -> None:
    assert cli.main(["export", str(searched), "best", "--out", str(tmp_path / "net")]) == 0
    (tmp_path / "net" / "elsewhere.py").write_text((EXAMPLES / "elsewhere.py").read_text())
    Image.new("L", (20, 20), 90).save(tmp_path / "net" / "photo.png")
    site = repr(str(Path(torch.__file__).parents[1]))
    alone = APART.partition("from model")[0].replace("SITE", site) + "import runpy; runpy.run_path('elsewhere.py')"
    command = [sys.executable, "-I", "-S", "-c", alone, "photo.png"]
    done = subprocess.run(command, cwd=tmp_path / "net", capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[0] == "reads 8 x 8 pixels, tells apart 10 classes"
    assert done.stdout.splitlines()[1].startswith("photo.png: ")
