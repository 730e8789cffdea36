"""`populations predict`: classes and probabilities of image files."""

import contextlib
import importlib.util
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

import populations.__main__ as cli
from evaluate.data.splits import load as load_data
from evaluate.job import DataSpec
from harness import make_images, populations, program
from populations import load
from populations.exporting.carried import carried


@pytest.fixture(scope="module")
def colour(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run on coloured photographs, the photographs, and some to be classified."""
    cwd = tmp_path_factory.mktemp("colour")
    make_images(cwd / "photos")
    flags = "--function-set conv_8_3,maxpool --num-min-depth 2 --num-max-depth 3 --population 2 --generations 1"
    done = program(*flags.split(), "--dataset", "folder:photos", "--epochs", "1", "--run", "r", cwd=cwd)
    assert done.returncode == 0, done.stderr
    (cwd / "new" / "deeper").mkdir(parents=True)
    for name, size, shade in (("b.png", (9, 10), 30), ("a.png", (40, 30), 220), ("deeper/c.jpg", (9, 10), 30)):
        Image.new("RGB", size, (shade, shade, shade + 9)).save(cwd / "new" / name)
    (cwd / "new" / "notes.txt").write_text("no image")
    return cwd


def said(*arguments: str, cwd: Path) -> str:
    out = io.StringIO()
    with contextlib.chdir(cwd), contextlib.redirect_stdout(out):
        assert cli.main(["predict", *arguments]) == 0
    return out.getvalue()


def rows(*arguments: str, cwd: Path) -> list[dict[str, Any]]:
    return list(json.loads(said(*arguments, "--format", "json", cwd=cwd)))


def test_folders_and_files_give_a_row_for_each_of_the_most_probable_classes(colour: Path) -> None:
    found = rows("r", "best", "new", "new/b.png", cwd=colour)
    assert [row["image"] for row in found[::2]] == ["new/a.png", "new/b.png", "new/deeper/c.jpg", "new/b.png"]
    assert {row["class"] for row in found} == {"dark", "light"}
    for first, second in zip(found[::2], found[1::2], strict=True):
        assert first["probability"] >= second["probability"]
        assert first["probability"] + second["probability"] == pytest.approx(1)
    assert found[2:4] == found[6:8]
    (best,) = rows("r", "best", "new/a.png", "--top", "1", cwd=colour)
    assert best == found[0]


def test_it_says_what_the_exported_network_says(colour: Path) -> None:
    with contextlib.chdir(colour):
        assert cli.main(["export", "r", "best", "--out", "net"]) == 0
    spec = importlib.util.spec_from_file_location("carried_model", colour / "net" / "model.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for name in ("new/a.png", "new/b.png", "new/deeper/c.jpg"):
        ours = {row["class"]: row["probability"] for row in rows("r", "best", name, cwd=colour)}
        assert ours == pytest.approx(module.predict(colour / name), abs=1e-6)


def test_csv_and_a_table_hold_the_same(colour: Path) -> None:
    csv = said("r", "best", "new/a.png", "--format", "csv", cwd=colour)
    table = populations("predict", "r", "best", "new/a.png", cwd=colour).stdout
    expected = rows("r", "best", "new/a.png", cwd=colour)
    assert pd.read_csv(io.StringIO(csv)).to_dict("records") == [
        row | {"probability": pytest.approx(row["probability"])} for row in expected
    ]
    assert table.split()[:3] == ["image", "class", "probability"]
    assert expected[0]["class"] in table


def test_grey_networks_take_files_of_any_kind(searched: Path, tmp_path: Path) -> None:
    """A grey image is the same in grey and in colour, and as the data have it."""
    data = load_data(DataSpec("digits", train_size=120, val_size="auto"))
    chosen = data.splits["validation"][:20]
    for n in chosen:
        pixels = np.asarray(data.images[n][0])
        for kind in ("L", "RGB"):
            (tmp_path / kind).mkdir(exist_ok=True)
            Image.fromarray(pixels).convert(kind).save(tmp_path / kind / f"{n:04d}.png")
    grey, colour = (rows(str(searched), "best", kind, "--top", "1", cwd=tmp_path) for kind in ("L", "RGB"))
    without = [{**row, "image": Path(row["image"]).name} for row in grey]
    assert without == [{**row, "image": Path(row["image"]).name} for row in colour]
    run = load(searched)
    network = carried(run, run.model("best"))
    answers = network.network(network.normalised(torch.from_numpy(data.images[chosen]))).argmax(1)
    assert [row["class"] for row in grey] == [str(answer) for answer in answers.tolist()]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("r best none.png", "none.png: no such file; expected an image, or a folder of images"),
        ("r best new/notes.txt", "new/notes.txt: cannot be read as an image"),
        ("r best empty", "empty: no images in this folder; expected .jpg"),
        ("r zzz new", "model 'zzz' of r: found none; expected `best` or the beginning of one id"),
        ("nowhere best new", "nowhere: no such run folder"),
        ("r best new --top 0", "--top: 0; expected at least 1"),
        ("r best", "the following arguments are required: PATH"),
    ],
)
def test_what_cannot_be_predicted_is_one_line(
    colour: Path, arguments: str, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (colour / "empty").mkdir(exist_ok=True)
    monkeypatch.chdir(colour)
    try:
        code: int | str | None = cli.main(["predict", *arguments.split()])
    except SystemExit as end:
        code = end.code
    shown = capsys.readouterr()
    assert (code, shown.out, shown.err.count("\n")) == (2, "", 1)
    assert said in shown.err
