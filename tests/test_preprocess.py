"""What is made of pixels before a network sees them, in training and wherever it is carried."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import evolve
import populations.__main__ as cli
from cgp.errors import BadInput
from evaluate.data.images import Images
from evaluate.data.preparation import Preparation
from evaluate.data.preprocessing import ZCA_EPSILON, contrast_normalised, whitening_of
from evaluate.data.splits import load as load_data
from evaluate.job import DataSpec
from evaluate.training.checkpoint import read_tensors
from harness import make_images
from populations import Run, create_model, load
from populations.commands.measure import measure
from populations.exporting.carried import carried
from populations.reading.replay import rescore, retrain
from populations.setup.config import Config

SMALL: dict[str, Any] = {
    "num_min_depth": 1, "num_max_depth": 3, "population": 2, "generations": 1, "epochs": 1, "train_size": 100,
    "precision": "fp32", "executor": "serial",
}  # fmt: skip


def test_contrast_is_normalised_image_by_image() -> None:
    pixels = torch.randint(0, 256, (3, 2, 4, 5), generator=torch.Generator().manual_seed(0)).float()
    pixels[2] = 7  # without any contrast
    found = contrast_normalised(pixels)
    for image, given in zip(found, pixels.double().numpy(), strict=True):
        centred = given - given.mean()
        np.testing.assert_allclose(image, centred / np.sqrt(10 + (centred**2).mean()), atol=1e-6)
    assert (found[2] == 0).all()


@pytest.mark.parametrize("preprocess", ["zca", "gcn-zca"])
def test_training_images_are_whitened_and_nothing_else_decides_how(preprocess: str) -> None:
    data = load_data(DataSpec("digits", preprocess=preprocess))
    unwhitened = load_data(DataSpec("digits", preprocess={"zca": "standard", "gcn-zca": "gcn"}[preprocess]))
    plain, white = (
        Images.of(each, ("train",), "cpu").batch(slice(None))[0].flatten(1).double().numpy()
        for each in (unwhitened, data)
    )
    before, after = (np.linalg.eigvalsh(np.cov(x.T, bias=True)) for x in (plain, white))
    np.testing.assert_allclose(white.mean(0), 0, atol=1e-4)
    np.testing.assert_allclose(after, before / (before + ZCA_EPSILON), atol=1e-3)
    whitening = whitening_of(data)
    assert whitening is not None
    torch.testing.assert_close(whitening[1:], whitening[1:].T)
    validation = Images.of(data, ("validation",), "cpu")
    assert validation.whitening is not None
    assert torch.equal(validation.whitening, whitening)


def test_pixels_lie_in_one_cache_whatever_is_made_of_them() -> None:
    one, other = (load_data(DataSpec("digits", preprocess=name)) for name in ("standard", "gcn"))
    assert one.folder == other.folder
    assert one.fingerprint == other.fingerprint
    assert "preprocess" not in DataSpec("digits").about()
    assert DataSpec("digits", preprocess="gcn").about()["preprocess"] == "gcn"


@pytest.fixture(scope="module", params=["gcn", "gcn-zca"])
def prepared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run whose images are prepared in another way than by their channels."""
    folder = tmp_path_factory.mktemp("prepared") / "r"
    return evolve.run(run=str(folder), preprocess=request.param, **SMALL)


def test_a_run_prepares_its_images_alike_wherever_they_are_asked_for(
    prepared: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    preprocess = prepared.config["preprocess"]
    best = prepared.model("best")
    assert rescore(prepared, best).identical
    assert retrain(prepared, best).identical
    images = Preparation.from_json(read_tensors(best.folder / "best.safetensors")[1]["images"])
    assert images.preprocess == preprocess
    found = carried(prepared, best)
    data = load_data(DataSpec("digits", train_size=100, val_size="auto", preprocess=preprocess))
    pixels = torch.from_numpy(data.images[data.splits["validation"][:5]])
    engine = Images.of(data, ("validation",), "cpu").batch(slice(0, 5))[0]
    torch.testing.assert_close(found.normalised(pixels), engine, rtol=0, atol=1e-6)
    assert cli.main(["export", str(prepared.folder), "best", "--out", str(tmp_path / "net")]) == 0
    names: dict[str, Any] = {"__name__": "model", "__file__": str(tmp_path / "net" / "model.py")}
    exec((tmp_path / "net" / "model.py").read_text(), names)
    for image, wanted in zip(pixels, engine, strict=True):
        torch.testing.assert_close(names["prepare"](image), wanted, rtol=0, atol=1e-5)
    assert cli.main(["export", str(prepared.folder), "best", "--out", str(tmp_path / "net"), "--force"]) == 0
    assert create_model(prepared.folder).default_cfg["preprocess"] == preprocess
    assert (prepared.folder / "whitening.npy").exists() == images.whitened
    capsys.readouterr()
    out = tmp_path / "net.safetensors"
    code = cli.main(["export", str(prepared.folder), "best", "--format", "safetensors", "--out", str(out)])
    assert (code, out.exists()) == ((2, False) if images.whitened else (0, True))
    if images.whitened:
        assert "and this format cannot carry the matrix; expected --format source" in capsys.readouterr().err


@pytest.fixture(scope="module")
def whitened(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run of one network whose images are whitened."""
    folder = tmp_path_factory.mktemp("whitened") / "r"
    return evolve.run(run=str(folder), preprocess="zca", **SMALL | {"population": 1, "train_size": 90})


@pytest.fixture
def run(whitened: Run, tmp_path: Path) -> Run:
    """A copy of it."""
    shutil.copytree(whitened.folder, tmp_path / "r", symlinks=True)
    return load(tmp_path / "r")


def test_a_replay_whitens_as_its_run_did_whatever_the_cache_holds(run: Run) -> None:
    cached = load_data(Config.of(run.config, run.folder).data()).folder
    assert cached is not None
    other = np.load(cached / "zca.npy") * 0
    np.save(cached / "zca.npy", other)
    best = run.model("best")
    assert rescore(run, best).identical
    assert measure(run, "clean", [("best", {"split": "validation"})], ["--executor", "serial"])
    found = load(run.folder).measures.set_index("metric")["value"]
    assert found["validation_loss"] == best.scored.metrics["val_loss"]  # a worker's, too
    (cached / "zca.npy").unlink()
    evolve.run(resume=str(run.folder))
    assert (cached / "zca.npy").read_bytes() == (run.folder / "whitening.npy").read_bytes()


def test_a_network_without_what_whitens_its_images_is_one_line(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (run.folder / "whitening.npy").unlink()
    assert cli.main(["export", str(run.folder), "best", "--out", str(tmp_path / "net")]) == 2
    said = capsys.readouterr().err
    assert "whitening.npy: no whitening can be read" in said
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({"preprocess": "gnc"}, "--preprocess: unknown 'gnc' (did you mean 'gcn'?); one of standard, gcn, zca"),
        ({"preprocess": "zca", "train_size": 40}, "--preprocess zca: 40 training images are fewer than the 64"),
        ({"preprocess": "gcn-zca", "dataset": "folder:images", "image_size": 48},
         "images of 3 x 48 x 48 have 6,912 numbers, too many to whiten"),
    ],
)  # fmt: skip
def test_images_that_cannot_be_prepared_so_are_one_line(
    flags: dict[str, Any], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make_images(tmp_path / "images")
    with pytest.raises(BadInput) as error:
        evolve.run(run="r", **SMALL | {"train_size": None} | flags)
    assert said in str(error.value)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "r").exists()


def test_a_finetuned_network_sees_images_as_before(prepared: Run, tmp_path: Path) -> None:
    arguments = ["finetune", str(prepared.folder), "best", "--dataset", "digits", "--epochs", "1", "--recipe", "fast"]
    given = ["--executor", "serial", "--train-size", "70", "--run", str(tmp_path / "tuned")]
    assert cli.main([*arguments, *given]) == 0
    assert load(tmp_path / "tuned").config["preprocess"] == prepared.config["preprocess"]
