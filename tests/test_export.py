"""Networks carried away: each format gives the network's own answers, and `model.py` does so without our packages."""

import dataclasses
import importlib.util
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnxruntime
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor

import populations.__main__ as cli
from cgp.errors import BadInput
from cgp.graph import Graph
from cgp.layers import Shape
from cgp.network import build
from evaluate.data.preparation import Preparation
from evaluate.data.splits import load as load_data
from evaluate.files import BEST, LAST
from evaluate.job import DataSpec, Job
from evaluate.training.checkpoint import read_tensors, read_weights
from evaluate.worker import evaluate
from harness import DRAWN, TINY, make_images, old_runs, populations, program
from populations import load
from populations.exporting import export as exporting
from populations.exporting.carried import Carried, carried
from populations.exporting.formats import FORMATS
from populations.setup.config import Config

CLASSES = ['da"""rk', "l'ight\n\\x"]  # what would be code, were it not written as a literal
SHORT = ("--population", "2", "--offspring", "1", "--generations", "1", "--epochs", "1", "--workers", "1")
APART = """
import importlib.util, json, sys
sys.path[:0] = [SITE, "."]
assert importlib.util.find_spec("cgp") is None
sys.modules.update(dict.fromkeys(("safetensors", "torchvision")))
from model import CLASSES, load, predict
assert not load().training
print(json.dumps([CLASSES, *map(predict, sys.argv[1:])]))
"""


def colour(folder: Path) -> DataSpec:
    """Class folders of colour images, one of them turned by its EXIF tag."""
    make_images(folder)
    turned = Image.effect_noise((30, 20), 90).convert("RGB")
    turned.putpixel((0, 0), (255, 0, 0))
    (folder / "dark" / "7.png").unlink()
    tags = Image.Exif()
    tags[0x0112] = 6
    turned.save(folder / "dark" / "7.jpg", exif=tags)
    for name, new in zip(("dark", "light"), CLASSES, strict=True):
        (folder / name).rename(folder / new)
    return DataSpec(f"folder:{folder}", image_size=8)


def grey(folder: Path) -> DataSpec:
    """Class folders of grey images of one size, kept in three ways."""
    for n, mode in enumerate(("L", "RGB", "P", "LA") * 5):
        (folder / f"class {n % 2}").mkdir(parents=True, exist_ok=True)
        Image.effect_noise((7, 9), 50 + n).convert(mode).save(folder / f"class {n % 2}" / f"{n}.png")
    return DataSpec(f"folder:{folder}")


def paths_of(folder: Path) -> list[Path]:
    """The image files, in the order in which the engine reads them."""
    return [path for each in sorted(folder.iterdir()) for path in sorted(each.iterdir())]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `images` and the run `r` on them."""
    cwd = tmp_path_factory.mktemp("export")
    colour(cwd / "images")
    asked = ("--dataset", "folder:images", "--image-size", "8", "--num-min-depth", "4", "--train-size", "60")
    done = program(*DRAWN, *SHORT, *asked, "--run", "r", cwd=cwd)
    assert done.returncode == 0, done.stderr
    return cwd


@pytest.fixture(scope="module")
def exported(folder: Path) -> Path:
    """The best network of the run `r`, as source."""
    done = populations("export", "r", "--out", "net", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "net: loaded again, its logits differ by at most " in done.stdout
    assert sorted(path.name for path in (folder / "net").iterdir()) == ["model.py", "weights.safetensors"]
    return folder / "net"


def in_engine(run: Path, images: Tensor) -> Tensor:
    """What the best network of `run` says of normalised images."""
    model = load(run).model("best")
    network = build(model.model).eval()
    read_weights(model.folder / BEST, network)
    with torch.inference_mode():
        logits: Tensor = network(images)
    return logits


def validation(run: Path, count: int) -> tuple[list[int], Tensor]:
    """The first images of the run's validation split: their numbers, and as the engine normalises them."""
    data = load_data(Config.of(load(run).config, run).data())
    rows = data.splits["validation"][:count]
    mean, std = (torch.tensor(values).view(1, -1, 1, 1) for values in (data.mean, data.std))
    return rows.tolist(), (torch.from_numpy(data.images[rows]).float() - mean) / std


def make_carried(spec: DataSpec) -> Carried:
    data = load_data(spec)
    graph = Graph.chain(["conv_4_3"], data.shape, len(data.classes))
    return Carried("made", graph, build(graph).eval(), Preparation.of(data, spec))


def as_module(path: Path) -> dict[str, Any]:
    names: dict[str, Any] = {"__name__": "model", "__file__": str(path / "model.py")}
    exec((path / "model.py").read_text(), names)
    return names


# -- source


def test_the_source_classifies_without_our_packages(exported: Path, folder: Path) -> None:
    rows, images = validation(folder / "r", 3)
    paths = [str(paths_of(folder / "images")[row]) for row in rows]
    script = APART.replace("SITE", repr(str(Path(torch.__file__).parents[1])))
    command = [sys.executable, "-I", "-S", "-B", "-W", "error", "-c", script, *paths]
    done = subprocess.run(command, cwd=exported, capture_output=True, text=True, timeout=240)
    assert (done.returncode, done.stderr) == (0, "")
    classes, *found = json.loads(done.stdout)
    assert classes == CLASSES
    for given, logits in zip(found, in_engine(folder / "r", images), strict=True):
        assert [given[name] for name in CLASSES] == pytest.approx(logits.softmax(0).tolist(), abs=1e-6)
        assert list(given.values()) == sorted(given.values(), reverse=True)


def test_the_source_is_a_program_too(exported: Path, folder: Path) -> None:
    image = paths_of(folder / "images")[0]
    done = subprocess.run([sys.executable, exported / "model.py", image], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    name, probability = next(iter(as_module(exported)["predict"](image).items()))
    assert done.stdout == f"{image}: {name} ({probability:.3f})\n"


@pytest.mark.parametrize("make", [colour, grey])
def test_images_are_prepared_to_the_bit_as_the_engine_does(make: Callable[[Path], DataSpec], tmp_path: Path) -> None:
    spec = make(tmp_path / "images")
    data, paths = load_data(spec), paths_of(tmp_path / "images")
    made = make_carried(spec)
    assert made.images.shape.channels == (3 if make is colour else 1)
    FORMATS["source"].write(made, tmp_path / "net")
    names = as_module(tmp_path / "net")
    mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (data.mean, data.std))
    for path, pixels in zip(paths, torch.from_numpy(data.images[:]), strict=True):
        expected = (pixels.float() - mean) / std
        with Image.open(path) as opened:
            for image in (path, str(path), opened, pixels):
                assert torch.equal(names["prepare"](image), expected), path


def test_pixels_of_another_shape_or_type_are_refused(exported: Path) -> None:
    predict = as_module(exported)["predict"]
    for pixels in (torch.zeros(3, 9, 9, dtype=torch.uint8), torch.zeros(3, 8, 8)):
        with pytest.raises(ValueError, match=r"expected uint8 of \(3, 8, 8\)"):
            predict(pixels)


def test_the_source_is_clean(exported: Path) -> None:
    command = [sys.executable, "-m", "ruff", "check", "--isolated", "--select", "E,F,W,I", "--ignore", "E501"]
    done = subprocess.run([*command, exported / "model.py"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_what_a_run_says_is_never_code(tmp_path: Path) -> None:
    made = make_carried(colour(tmp_path / "images"))
    evil = '"""\nraise SystemExit("ran")\n"""'
    images = dataclasses.replace(made.images, files=evil, classes=(evil, "\udcff"))
    FORMATS["source"].write(dataclasses.replace(made, id=evil, images=images), tmp_path / "net")
    assert as_module(tmp_path / "net")["CLASSES"] == [evil, "\udcff"]


# -- the other formats


@pytest.fixture(scope="module", params=[name for name in FORMATS if name != "source"])
def file(request: pytest.FixtureRequest, folder: Path) -> Path:
    """The best network of the run `r` in each format that is a file; its name ends as the format's does."""
    path = folder / f"{request.param}{FORMATS[request.param].suffix}"
    done = populations("export", "r", "best", "--format", request.param, "--out", path.name, cwd=folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"{path.name}: loaded again, its logits differ by at most " in done.stdout
    return path


def test_a_file_gives_the_networks_answers(file: Path, folder: Path) -> None:
    classify = FORMATS[file.stem].load(file)
    for batch in (1, 3):
        _, images = validation(folder / "r", batch)
        torch.testing.assert_close(classify(images), in_engine(folder / "r", images), rtol=0, atol=1e-4)


def said(file: Path) -> dict[str, Any]:
    """What a file says of its network."""
    if file.suffix == ".safetensors":
        return read_tensors(file)[1]
    if file.suffix == ".onnx":
        session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
        assert [item.shape for item in session.get_inputs()] == [["batch", 3, 8, 8]]
        texts = session.get_modelmeta().custom_metadata_map
    else:
        texts = dict.fromkeys(("model.json", "graph.json", "images.json"), "")
        torch.export.load(file, extra_files=texts)
    return {name.removesuffix(".json"): json.loads(text) for name, text in texts.items()}


def test_a_file_says_what_it_is_of_and_how_images_are_prepared(file: Path, folder: Path) -> None:
    run = load(folder / "r")
    model = run.model("best")
    found = said(file)
    assert found == carried(run, model).about
    assert (found["model"], found["images"]["classes"]) == (model.id, CLASSES)
    assert Graph.from_json(found["graph"]) == model.model


# -- what a checkpoint says of its images


def test_every_checkpoint_says_how_images_are_prepared(make_job: Callable[..., Job]) -> None:
    job = make_job()
    assert evaluate(job).status == "ok"
    data = load_data(job.train.data)
    for name in (BEST, LAST):
        found = Preparation.from_json(read_tensors(Path(job.folder) / name)[1]["images"])
        assert found == Preparation.of(data, job.train.data)
        assert (found.shape, found.mean, found.classes) == (Shape(1, 8, 8), data.mean, tuple("0123456789"))
    assert found.files == "as digits has them"


def without_images(path: Path) -> None:
    """Make a checkpoint one of an older program, which did not say how images are prepared."""
    tensors, description = read_tensors(path)
    del description["images"]
    save_file(tensors, path, {"description": json.dumps(description)})


def test_a_training_goes_on_from_a_checkpoint_that_says_nothing_of_images(make_job: Callable[..., Job]) -> None:
    job = make_job(epochs=2)
    assert evaluate(dataclasses.replace(job, until=1)).status == "paused"
    begun = (Path(job.folder) / "curve.csv").read_text()
    for name in (BEST, LAST):
        without_images(Path(job.folder) / name)
    assert evaluate(job).status == "ok"
    assert (Path(job.folder) / "curve.csv").read_text().startswith(begun)  # with the seconds of then
    assert "images" in read_tensors(Path(job.folder) / LAST)[1]


def test_an_older_checkpoint_gets_it_from_the_images_while_they_are_the_same(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("r", "images"):
        shutil.copytree(folder / name, name, symlinks=True)
    config = json.loads(Path("r/config.json").read_text())
    Path("r/config.json").write_text(json.dumps(config | {"dataset": f"folder:{tmp_path / 'images'}"}))
    run = load("r")
    model = run.model("best")
    before = carried(run, model).images
    without_images(model.folder / BEST)
    assert carried(run, model).images == before
    paths_of(tmp_path / "images")[0].unlink()
    load_data.cache_clear()
    assert "have changed since, their fingerprint is" in refused("r", "--out", "net", capsys=capsys)
    (tmp_path / "images").rename(tmp_path / "gone")
    load_data.cache_clear()
    line = refused("r", "--out", "net", capsys=capsys)
    assert "an older program trained it, whose weights do not say how images are prepared; --dataset" in line
    assert "no such folder" in line
    assert not (tmp_path / "net").exists()


def test_a_run_of_the_oldest_format_is_exported(tmp_path: Path) -> None:
    old_runs(tmp_path)
    assert cli.main(["export", str(tmp_path / "plain"), "--out", str(tmp_path / "net")]) == 0
    assert as_module(tmp_path / "net")["CLASSES"] == list("0123456789")


# -- what cannot be


def refused(*words: str, capsys: pytest.CaptureFixture[str]) -> str:
    """The one line of an export that was refused."""
    capsys.readouterr()
    assert cli.main(["export", *words]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    return err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nowhere", "--out", "new"], "nowhere: no such run folder"),
        (["r", "zzz", "--out", "new"], "model 'zzz' of r: found none"),
        (["r"], "the following arguments are required: --out"),
        (
            ["r", "--out", "new", "--format", "onxx"],
            "--format: unknown 'onxx' (did you mean 'onnx'?); one of source,",
        ),
        (["r", "--out", "r"], "--out r: exists already; name another, or replace it by --force"),
        (["r", "--out", "r", "--force"], "--out r: --force replaces an earlier export alone, a folder of model.py,"),
        (["r", "--out", "r", "--force", "--format", "onnx"], "--out r: is a folder; expected a file"),
        (["r", "--out", "r/config.json", "--force"], "--force replaces an earlier export alone"),
        (["r", "--out", "no/new"], "--out no/new: there is no folder no; make it first"),
    ],
)
def test_bad_input_is_one_line(
    words: list[str], said: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    assert said in refused(*words, capsys=capsys)
    assert not (folder / "new").exists()


def test_without_the_extra_the_line_says_what_to_install(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    known = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "onnx" else known(name))
    line = refused(str(folder / "r"), "--format", "onnx", "--out", str(folder / "new"), capsys=capsys)
    assert line.endswith("needs onnx, not installed here; install: pip install 'cgp-evolve[onnx]'\n")


def test_a_difference_leaves_nothing_behind(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = FORMATS["source"]
    off = dataclasses.replace(found, load=lambda path: lambda images: found.load(path)(images) + 2e-4)
    monkeypatch.setitem(FORMATS, "source", off)
    line = refused(str(folder / "r"), "--out", str(tmp_path / "net"), capsys=capsys)
    assert "loaded again, its logits differ by up to 0.0002; expected 0.0001" in line
    monkeypatch.setattr(exporting, "difference", lambda *arguments: float("nan"))
    assert "differ by up to nan" in refused(str(folder / "r"), "--out", str(tmp_path / "net"), capsys=capsys)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["source", "safetensors"])
def test_force_replaces_an_earlier_export(name: str, folder: Path, tmp_path: Path) -> None:
    words = ["export", str(folder / "r"), "--format", name, "--out", str(tmp_path / "net")]
    assert cli.main(words) == 0
    spoiled = tmp_path / "net" / "model.py" if name == "source" else tmp_path / "net"
    whole = spoiled.read_bytes()
    spoiled.write_text("spoiled")
    assert cli.main(words) == 2
    assert spoiled.read_text() == "spoiled"
    assert cli.main([*words, "--force"]) == 0
    assert spoiled.read_bytes() == whole
    assert [path.name for path in tmp_path.iterdir()] == ["net"]


def test_what_is_no_graph_is_refused(folder: Path) -> None:
    run = load(folder / "r")
    other: Any = object()
    with pytest.raises(BadInput, match="is of type object; expected a graph"):
        carried(run, dataclasses.replace(run.model("best"), model=other))


def test_a_model_without_weights_says_how_to_get_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    done = program(*TINY, *SHORT, "--keep", "best", "--run", "r", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    run = load("r")
    other = next(name for name in run.models["id"] if not (run.folder / "models" / name / BEST).exists())
    line = refused("r", other, "--out", "net", capsys=capsys)
    assert "its weights are gone (--keep best keeps those of the best alone); train it again: " in line
    words = line.partition("-m populations ")[2].split()
    assert words == ["replay", "r", other, "--recipe", "retrain"]
    assert populations(*words, "--epochs", "1", cwd=tmp_path).returncode == 0
    polished = load("r").polished["polished"][0]
    assert cli.main(["export", "r", polished, "--out", "net"]) == 0
    unfinished = dataclasses.replace(run.model(other), result=None)
    with pytest.raises(BadInput, match="has no weights, its status is open; expected a trained model"):
        carried(run, unfinished)
