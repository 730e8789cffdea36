"""The 19 corruptions: their constants, what each does to images, and the study that asks for them."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter
from torch import Tensor

import studies.__main__ as cli
from evaluate.corruptions import CORRUPTIONS, SEVERITIES, blur, corrupted, digital, noise, weather
from evaluate.data.splits import load as load_images
from evaluate.job import DataSpec
from evaluate.measures.corruptions import _computed
from populations import load

HERE = ("--executor", "serial")


def images(count: int = 64, channels: int = 3, side: int = 32) -> Tensor:
    """Smooth images with all levels."""
    field = torch.rand(count, channels, 5, 5, generator=torch.Generator().manual_seed(0))
    wide = torch.nn.functional.interpolate(field, (side, side), mode="bilinear")
    return (wide * 255).to(torch.uint8)


def changed(x: Tensor, name: str, severity: int) -> Tensor:
    return corrupted(x, name, severity, torch.Generator().manual_seed(severity))


def test_the_constants_are_those_of_cifar_10_c() -> None:
    assert noise._GAUSSIAN == (0.04, 0.06, 0.08, 0.09, 0.10)
    assert noise._SHOT == (500, 250, 100, 75, 50)
    assert noise._IMPULSE == (0.01, 0.02, 0.03, 0.05, 0.07)
    assert noise._SPECKLE == (0.06, 0.1, 0.12, 0.16, 0.2)
    assert blur._GAUSSIAN == (0.4, 0.6, 0.7, 0.8, 1)
    assert blur._GLASS == ((0.05, 1, 1), (0.25, 1, 1), (0.4, 1, 1), (0.25, 1, 2), (0.4, 1, 2))
    assert blur._DEFOCUS == ((0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1))
    assert blur._MOTION == ((6, 1), (6, 1.5), (6, 2), (8, 2), (9, 2.5))
    assert blur._ZOOMS == (5, 10, 15, 20, 25)
    assert weather._FOG == ((0.2, 3), (0.5, 3), (0.75, 2.5), (1, 2), (1.5, 1.75))
    assert weather._FROST == ((1, 0.2), (1, 0.3), (0.9, 0.4), (0.85, 0.4), (0.75, 0.45))
    assert digital._CONTRAST == (0.75, 0.5, 0.4, 0.3, 0.15)
    assert digital._BRIGHTNESS == (0.05, 0.1, 0.15, 0.2, 0.3)
    assert digital._SATURATE == ((0.3, 0), (0.1, 0), (1.5, 0), (2, 0.1), (2.5, 0.2))
    assert digital._QUALITY == (80, 65, 58, 50, 40)
    assert digital._PIXELATE == (0.95, 0.9, 0.85, 0.75, 0.65)
    assert digital._ELASTIC == (
        (0, 0, 0.08),
        (0.05, 0.2, 0.07),
        (0.08, 0.06, 0.06),
        (0.1, 0.04, 0.05),
        (0.1, 0.03, 0.03),
    )
    assert weather._SNOW[4] == (0.3, 0.3, 1.25, 0.65, 14, 12, 0.8)
    assert weather._SPATTER[3] == (0.65, 0.1, 0.7, 0.69, 0.6, True)
    assert len(CORRUPTIONS) == 19
    assert list(CORRUPTIONS) == sorted(CORRUPTIONS)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_a_corruption_is_a_function_of_its_arguments(name: str) -> None:
    for channels, side in ((3, 32), (1, 28), (1, 8)):
        x = images(4, channels, side)
        kept = x.clone()
        found = [changed(x, name, severity) for severity in SEVERITIES]
        assert all((one.shape, one.dtype) == (x.shape, torch.uint8) for one in found)
        assert torch.equal(x, kept)
        assert torch.equal(changed(x, name, 5), found[4])
        if side > 8 and (name, channels) != ("saturate", 1):
            assert not torch.equal(found[4], x)
    with pytest.raises(ValueError, match="severity 6"):
        changed(x, name, 6)


def test_noise_is_as_strong_as_its_constant() -> None:
    grey = torch.full((64, 3, 32, 32), 128, dtype=torch.uint8)
    value = 128 / 255
    for severity in SEVERITIES:
        k = severity - 1
        for name, expected in (
            ("gaussian_noise", noise._GAUSSIAN[k]),
            ("shot_noise", (value / noise._SHOT[k]) ** 0.5),
            ("speckle_noise", value * noise._SPECKLE[k]),
        ):
            assert changed(grey, name, severity).double().std() / 255 == pytest.approx(expected, rel=0.02)
        salted = changed(grey, "impulse_noise", severity)
        assert (salted != 128).double().mean() == pytest.approx(noise._IMPULSE[k], rel=0.05)
        assert (salted == 255).double().mean() == pytest.approx(noise._IMPULSE[k] / 2, rel=0.08)


@pytest.mark.parametrize("severity", SEVERITIES)
def test_what_others_can_compute_is_equal_to_theirs(severity: int) -> None:
    x = images(3)
    k, pixels = severity - 1, images(3).numpy().astype(np.float64)

    def near(name: str, expected: "np.ndarray", most: float) -> None:
        found = changed(x, name, severity).numpy().astype(np.float64)
        assert np.abs(found - np.clip(expected, 0, 255)).max() <= most

    def each(function: Callable[[Image.Image], Image.Image]) -> "np.ndarray":
        made = [np.asarray(function(Image.fromarray(one.transpose(1, 2, 0)))) for one in x.numpy()]
        return np.stack(made).transpose(0, 3, 1, 2).astype(np.float64)

    def jpeg(image: Image.Image) -> Image.Image:
        written = io.BytesIO()
        image.save(written, "JPEG", quality=digital._QUALITY[k])
        return Image.open(written)

    def boxes(image: Image.Image) -> Image.Image:
        small = int(32 * digital._PIXELATE[k])
        return image.resize((small, small), Image.Resampling.BOX).resize((32, 32), Image.Resampling.BOX)

    mean = pixels.mean((2, 3), keepdims=True)
    near("gaussian_blur", gaussian_filter(pixels, (0, 0, *[blur._GAUSSIAN[k]] * 2), mode="nearest"), 0.51)
    near("contrast", (pixels - mean) * digital._CONTRAST[k] + mean, 0.51)
    near("jpeg_compression", each(jpeg), 0)
    near("pixelate", each(boxes), 2)  # Pillow rounds after each of its four passes
    hsv = torch.from_numpy(pixels / 255).amax(1)
    brighter = changed(x, "brightness", severity).amax(1).double() / 255
    assert torch.allclose(brighter, (hsv + digital._BRIGHTNESS[k]).clamp(0, 1), atol=1 / 255)


def test_saturation_is_that_of_hsv() -> None:
    x = torch.tensor([100, 50, 60], dtype=torch.uint8).view(1, 3, 1, 1).expand(1, 3, 8, 8)
    assert changed(x, "saturate", 1)[0, :, 0, 0].tolist() == [100, 85, 88]  # saturation .5 x .3
    assert changed(x, "saturate", 4)[0, :, 0, 0].tolist() == [100, 0, 20]  # .5 x 2 + .1, clipped to 1
    grey = torch.full((1, 3, 8, 8), 100, dtype=torch.uint8)
    assert changed(grey, "saturate", 5)[0, :, 0, 0].tolist() == [100, 80, 80]


def test_what_moves_pixels_leaves_a_plain_image_as_it_is() -> None:
    plain = torch.full((2, 3, 32, 32), 77, dtype=torch.uint8)
    moving = (
        "defocus_blur",
        "elastic_transform",
        "gaussian_blur",
        "glass_blur",
        "motion_blur",
        "pixelate",
        "zoom_blur",
    )
    for name in moving:
        assert (changed(plain, name, 5).int() - 77).abs().max() <= 1


def test_fog_keeps_what_is_brightest() -> None:
    x = images(8)
    assert (changed(x, "fog", 3).amax((1, 2, 3)) <= x.amax((1, 2, 3))).all()


# The study


def files(folder: Path) -> Path:
    """Write the corrupted test images of digits as CIFAR-10-C has its own."""
    data = load_images(DataSpec("digits", train_size=120, val_size="auto"))
    test = torch.from_numpy(data.images[data.splits["test"]])
    folder.mkdir()
    for name in CORRUPTIONS:
        pixels = torch.cat([_computed(test, name, severity) for severity in SEVERITIES])
        np.save(folder / f"{name}.npy", pixels.permute(0, 2, 3, 1).numpy())
    np.save(folder / "labels.npy", np.tile(data.labels[data.splits["test"]], 5))
    return folder


def test_networks_are_scored_on_what_is_computed_or_read(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["corruptions", str(run), *HERE, "--top", "2"]) == 0
    computed = load(run).study("corruptions")
    assert "Spearman of relative and depth" in capsys.readouterr().out
    cells = computed["cells"]
    assert len(cells) == 2 * 19 * 5
    assert cells["relative"].equals(cells["accuracy"] / cells["clean"])
    assert set(computed["corruptions"]["n"]) == {2}
    assert cells.groupby("id")["accuracy"].mean().sort_index().tolist() == pytest.approx(
        computed["networks"].set_index("id")["accuracy"].sort_index().tolist()
    )
    assert cli.main(["measure", str(run)]) == 2  # it is no study
    assert cli.main(["corruptions", str(run), *HERE, "--top", "2", "--files", str(files(tmp_path / "c"))]) == 0
    read = load(run).study("corruptions")["cells"]
    assert read["accuracy"].equals(cells["accuracy"])


def test_files_of_another_form_are_one_line(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = files(tmp_path / "c")

    def refused(said: str) -> None:
        assert cli.main(["corruptions", str(run), "--files", str(folder)]) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        assert said in error
        assert not (run / "studies").exists()

    labels = np.load(folder / "labels.npy")
    np.save(folder / "labels.npy", labels[::-1])
    refused("labels.npy: are not the labels of the test images, in order, five times")
    np.save(folder / "snow.npy", np.zeros((5, 8, 8, 1), np.uint8))
    refused(f"snow.npy: uint8 of shape (5, 8, 8, 1); expected uint8 of shape ({len(labels)}, 8, 8, 1)")
    (folder / "fog.npy").write_bytes(b"spam")
    refused("fog.npy: no array of numpy (")
    (folder / "contrast.npy").unlink()
    refused("contrast.npy is not there; expected one for each of 19 corruptions, and labels.npy")
    assert cli.main(["corruptions", str(run), "--images", "0"]) == 2
    assert "--images: 0; there are 359 test images" in capsys.readouterr().err
