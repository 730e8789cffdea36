"""Datasets: their splits, their cache, and what is said of files that cannot be used."""

import errno
import hashlib
import json
import os
import pickle
import random
import re
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from cgp.errors import BadInput
from evaluate.data.splits import Data, load, moments
from evaluate.job import DataSpec

Pixels = NDArray[np.uint8]


def refused(spec: DataSpec, *parts: str, download: bool = False) -> str:
    """Return the one line with which `spec` is refused; it has all `parts`."""
    with pytest.raises(BadInput) as caught:
        load(spec, download)
    message = str(caught.value)
    assert "\n" not in message
    assert [part for part in parts if part not in message] == [], message
    return message


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Make this process look for datasets in a new cache, and return its folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    load.cache_clear()
    yield tmp_path / "cache" / "cgp-evolve"
    load.cache_clear()


def shares(data: Data, split: str) -> NDArray[np.float64]:
    """Return the share of each class in `split`."""
    labels = data.labels[data.splits[split]]
    return np.array([np.mean(labels == n) for n in range(len(data.classes))])


# Digits and their splits


def test_digits_are_uint8_images_over_the_whole_range() -> None:
    data = load(DataSpec("digits"))
    assert data.images.dtype == np.uint8
    assert data.shape == (1, 8, 8)
    assert (data.images.min(), data.images.max()) == (0, 255)
    assert data.classes == list("0123456789")
    assert not data.flip


def test_splits_are_disjoint_and_cover_everything() -> None:
    splits = load(DataSpec("digits")).splits
    assert {name: len(split) for name, split in splits.items()} == {"train": 1079, "validation": 359, "test": 359}
    assert np.array_equal(np.sort(np.concatenate(list(splits.values()))), np.arange(1797))


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_splits_are_stratified(split: str) -> None:
    data = load(DataSpec("digits"))
    everywhere = np.bincount(data.labels) / len(data.labels)
    assert np.abs(shares(data, split) - everywhere).max() < 0.003


def test_splits_depend_on_no_random_state(empty_cache: Path) -> None:
    found = []
    for seed in (1, 2):
        random.seed(seed)
        np.random.seed(seed)
        torch.manual_seed(seed)
        load.cache_clear()
        found.append(load(DataSpec("digits")))
        shutil.rmtree(empty_cache)
    assert found[0].fingerprint == found[1].fingerprint
    assert all(np.array_equal(found[0].splits[name], found[1].splits[name]) for name in found[0].splits)


def test_fingerprint_tells_splits_apart() -> None:
    assert len({load(DataSpec("digits", train_size=size)).fingerprint for size in (None, 100, 200)}) == 3


@pytest.mark.parametrize("size", [10, 200, 1070, 1075, 1079])
def test_train_size_takes_exactly_that_many_of_the_training_images(size: int) -> None:
    full, part = load(DataSpec("digits")), load(DataSpec("digits", train_size=size))
    assert len(part.splits["train"]) == size
    assert set(part.splits["train"]) <= set(full.splits["train"])
    for held_out in ("validation", "test"):
        assert np.array_equal(part.splits[held_out], full.splits[held_out])


def test_train_size_is_stratified() -> None:
    data = load(DataSpec("digits", train_size=200))
    assert np.abs(200 * (shares(data, "train") - shares(data, "validation"))).max() <= 1.5


@pytest.mark.parametrize("size", [-1, 0, 9, 1080, 10**9])
def test_train_size_out_of_range_is_refused(size: int) -> None:
    refused(DataSpec("digits", train_size=size), "--train-size", f"{size};", "10..1079")


def test_splits_are_those_of_every_version() -> None:
    """Runs are resumed and replayed on the images that they began with, whichever version recorded them."""
    assert load(DataSpec("digits")).fingerprint.startswith("4a56032cac6b1e5a")
    assert load(DataSpec("digits", train_size=200)).fingerprint.startswith("b3033a3aa38ab578")


@pytest.mark.parametrize(("train", "validation"), [(600, 200), (200, 100), (10, 100), (1079, 359), (None, 359)])
def test_validation_in_proportion_has_the_training_images_share_and_ten_a_class(
    train: int | None, validation: int
) -> None:
    data = load(DataSpec("digits", train_size=train, val_size="auto"))
    assert len(data.splits["validation"]) == validation
    full = load(DataSpec("digits", train_size=train))
    assert set(data.splits["validation"]) <= set(full.splits["validation"])
    for untouched in ("train", "test"):
        assert np.array_equal(data.splits[untouched], full.splits[untouched])


def test_val_size_takes_exactly_that_many_stratified_and_always_the_same(empty_cache: Path) -> None:
    found = list[Data]()
    for _ in range(2):
        load.cache_clear()
        found.append(load(DataSpec("digits", val_size=100)))
        shutil.rmtree(empty_cache)
    assert [len(data.splits["validation"]) for data in found] == [100, 100]
    assert np.abs(100 * (shares(found[0], "validation") - shares(found[0], "train"))).max() <= 1.5
    assert found[0].fingerprint == found[1].fingerprint


@pytest.mark.parametrize("size", [-1, 0, 9, 360])
def test_val_size_out_of_range_is_refused(size: int) -> None:
    refused(DataSpec("digits", val_size=size), "--val-size", f"{size};", "10..359")


def test_mean_and_std_are_those_of_the_training_images() -> None:
    rng = np.random.default_rng(0)
    spread = np.array([1, 40, 256])[:, None, None]
    coloured = rng.integers(0, spread, (2500, 3, 4, 5)).astype(np.uint8)
    for images, chosen in ((coloured, np.arange(2100)), (coloured[:30], np.array([7, 4]))):
        mean, std = moments(images, chosen)
        assert mean.tolist() == images[chosen].mean((0, 2, 3), dtype=np.float64).tolist()
        assert std == pytest.approx(images[chosen].std((0, 2, 3)))
    data = load(DataSpec("digits"))
    train = data.images[data.splits["train"]]
    assert data.mean == pytest.approx([train.mean()])
    assert data.std == pytest.approx([train.std()])


# The cache


def test_a_second_process_maps_the_cache_and_loads_no_scikit_learn(cache_root: Path) -> None:
    data = load(DataSpec("digits"))
    before = {path: path.stat().st_mtime_ns for path in cache_root.rglob("*")}
    code = (
        "import json, sys; from evaluate.data.splits import load; from evaluate.job import DataSpec\n"
        "data = load(DataSpec('digits'))\n"
        "print(json.dumps([data.fingerprint, type(data.images).__name__, 'sklearn' in sys.modules]))"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    out = subprocess.run([sys.executable, "-c", code], env=environment, check=True, capture_output=True)
    assert json.loads(out.stdout) == [data.fingerprint, "memmap", False]
    assert {path: path.stat().st_mtime_ns for path in cache_root.rglob("*")} == before


def test_writing_to_the_images_does_not_reach_the_cache() -> None:
    load.cache_clear()
    data = load(DataSpec("digits"))
    data.images[:] = 7
    load.cache_clear()
    assert load(DataSpec("digits")).images.max() == 255


def test_a_cache_that_cannot_be_written_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file" / "cache"))
    load.cache_clear()
    refused(DataSpec("digits"), str(tmp_path / "file" / "cache"), "XDG_CACHE_HOME")


def test_a_full_disk_is_refused_and_leaves_nothing_behind(empty_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, array: Any) -> None:
        path.write_bytes(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(np, "save", full)
    refused(DataSpec("digits"), "No space left on device", str(empty_cache))
    assert list(empty_cache.iterdir()) == []


def test_two_processes_may_write_the_cache_at_once(empty_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rename = Path.rename

    def too_late(draft: Path, folder: Path) -> Path:
        shutil.copytree(draft, folder)
        return rename(draft, folder)

    monkeypatch.setattr(Path, "rename", too_late)
    assert len(load(DataSpec("digits")).labels) == 1797
    assert len(list(empty_cache.iterdir())) == 1


@pytest.mark.parametrize(
    ("name", "closest"),
    [("digit", "digits"), ("cifr10", "cifar10"), ("fashion-mnist", "fashion_mnist"), ("folder", "folder:PATH")],
)
def test_unknown_dataset_suggests_the_closest(name: str, closest: str) -> None:
    refused(DataSpec(name), "--dataset", f"unknown {name!r} (did you mean {closest!r}?)", "svhn")


# folder:PATH


def paint(
    root: Path, classes: str = "ab", count: int = 10, size: tuple[int, int] = (8, 8), mode: str = "RGB"
) -> Path:
    """Write `count` random images, (width, height) in `size`, for each of the one-letter `classes`."""
    rng = np.random.default_rng(0)
    for name in classes:
        (root / name).mkdir(parents=True)
        for n in range(count):
            shape = (size[1], size[0], 3)[: 3 if mode == "RGB" else 2]
            Image.fromarray(rng.integers(0, 256, shape, np.uint8)).save(root / name / f"{n}.png")
    return root


def folder(root: Path, image_size: int | None = None) -> DataSpec:
    return DataSpec(f"folder:{root}", image_size=image_size)


def test_one_tree_of_class_folders_is_split_in_three(tmp_path: Path) -> None:
    data = load(folder(paint(tmp_path, "cab", 20)))
    assert data.classes == ["a", "b", "c"]
    assert {name: len(split) for name, split in data.splits.items()} == {"train": 36, "validation": 12, "test": 12}
    assert np.array_equal(np.sort(np.concatenate(list(data.splits.values()))), np.arange(60))
    assert data.flip


def test_a_test_folder_is_the_test_split(tmp_path: Path) -> None:
    paint(tmp_path / "train", count=10)
    paint(tmp_path / "test", count=3)
    data = load(folder(tmp_path))
    assert {name: len(split) for name, split in data.splits.items()} == {"train": 15, "validation": 5, "test": 6}
    first = np.asarray(Image.open(tmp_path / "test" / "a" / "0.png"))
    assert np.array_equal(data.images[data.splits["test"][0]], first.transpose(2, 0, 1))
    assert data.labels[data.splits["test"]].tolist() == [0, 0, 0, 1, 1, 1]


@pytest.mark.parametrize(("mode", "channels"), [("L", 1), ("RGB", 3)])
def test_grey_images_have_one_channel(tmp_path: Path, mode: str, channels: int) -> None:
    assert load(folder(paint(tmp_path, mode=mode, size=(6, 4)))).shape == (channels, 4, 6)


def test_image_size_brings_images_to_one_square(tmp_path: Path) -> None:
    paint(tmp_path, "a", size=(12, 8))
    paint(tmp_path, "b", size=(5, 9))
    assert load(folder(tmp_path, image_size=4)).shape == (3, 4, 4)


def test_images_of_different_sizes_are_refused(tmp_path: Path) -> None:
    Image.new("RGB", (9, 8)).save(paint(tmp_path) / "b" / "5.png")
    refused(folder(tmp_path), str(tmp_path / "b" / "5.png"), "9x8", "8x8", "--image-size")


def test_different_class_folders_in_train_and_test_are_refused(tmp_path: Path) -> None:
    paint(tmp_path / "train", "abc")
    paint(tmp_path / "test", "abd")
    refused(folder(tmp_path), "train and test differ in ['c', 'd']")


def test_a_rare_class_is_validated_on_though_others_are_many(tmp_path: Path) -> None:
    paint(tmp_path, "a", 100)
    paint(tmp_path, "b", 5)
    data = load(DataSpec(f"folder:{tmp_path}", train_size=40, val_size="auto"))
    assert set(data.labels[data.splits["validation"]]) == {0, 1}


def test_hidden_files_and_folders_are_no_images(tmp_path: Path, empty_cache: Path) -> None:
    seen = load(folder(paint(tmp_path / "photos"))).fingerprint
    for hidden in (".thumb.jpg", "a/.thumb.jpg", "b/.cache/3.png", ".thumbnails/4.png"):
        (tmp_path / "photos" / hidden).parent.mkdir(exist_ok=True)
        (tmp_path / "photos" / hidden).write_bytes(b"of a viewer of images")
    load.cache_clear()
    data = load(folder(tmp_path / "photos"))
    assert (data.fingerprint, data.classes) == (seen, ["a", "b"])
    assert len(list(empty_cache.iterdir())) == 1


def test_images_are_turned_as_the_camera_was_held(tmp_path: Path) -> None:
    pixels = np.zeros((4, 6, 3), np.uint8)
    pixels[0, :] = 255
    turned = Image.Exif()
    turned[0x0112] = 6  # a quarter clockwise shows it upright
    for name in "ab":
        (tmp_path / name).mkdir()
        for n in range(8):
            Image.fromarray(pixels).save(tmp_path / name / f"{n}.png", exif=turned)
    data = load(folder(tmp_path))
    assert data.shape == (1, 6, 4)
    assert (data.images[:, 0, :, -1] == 255).all()
    assert (data.images[:, 0, :, :-1] == 0).all()


def test_a_cache_from_before_images_were_turned_is_not_used(tmp_path: Path, empty_cache: Path) -> None:
    spec = folder(paint(tmp_path / "photos"))
    stats = [(str(p), p.stat().st_size, p.stat().st_mtime_ns) for p in sorted((tmp_path / "photos").glob("*/*"))]
    asked = {"name": spec.name, "data_dir": "data", "train_size": None, "image_size": None}
    key = hashlib.sha256(json.dumps([1, asked, stats]).encode()).hexdigest()[:16]
    (empty_cache / f"folder-{key}").mkdir(parents=True)
    (empty_cache / f"folder-{key}" / "meta.json").write_text("of the old reader")
    assert load(spec).classes == ["a", "b"]


def test_all_corrupt_images_are_counted_and_five_named(tmp_path: Path) -> None:
    paint(tmp_path)
    for n in range(2, 9):
        (tmp_path / "b" / f"{n}.png").write_bytes(b"broken")
    message = refused(folder(tmp_path), "7 of 20 files cannot be read", "and 2 more", "remove or replace them")
    assert [f"{n}.png" in message for n in range(10)] == [2 <= n <= 6 for n in range(10)]


@pytest.mark.parametrize("damage", ["garbage", "empty", "truncated", "chunk of another length"])
def test_a_corrupt_image_is_named(tmp_path: Path, damage: str) -> None:
    path = paint(tmp_path, size=(30, 30)) / "b" / "7.png"
    whole = path.read_bytes()
    pixels = whole.index(b"IDAT")
    broken = {
        "garbage": b"GIF89a of old",
        "empty": b"",
        "truncated": whole[: len(whole) // 2],
        "chunk of another length": whole[: pixels - 4] + struct.pack(">I", 100) + whole[pixels:],
    }
    path.write_bytes(broken[damage])
    refused(folder(tmp_path), str(path), "cannot be read as an image")


def test_an_empty_class_is_named(tmp_path: Path) -> None:
    (paint(tmp_path) / "empty").mkdir()
    refused(folder(tmp_path), f"--dataset folder:{tmp_path}", "empty")


def test_a_folder_without_classes_or_without_test_is_refused(tmp_path: Path) -> None:
    refused(folder(tmp_path), f"--dataset folder:{tmp_path}", "class folder")
    paint(tmp_path / "train")
    refused(folder(tmp_path), f"--dataset folder:{tmp_path}", str(tmp_path / "test"))


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    refused(folder(tmp_path / "nowhere"), str(tmp_path / "nowhere"), "no such folder", "PATH/train/CLASS/*")


@pytest.mark.parametrize("count", [1, 2])
def test_too_few_images_to_split_are_refused(tmp_path: Path, count: int) -> None:
    refused(folder(paint(tmp_path, count=count)), "too few to split", "at least 5 of each")


def test_a_changed_image_is_noticed(tmp_path: Path) -> None:
    path = paint(tmp_path) / "a" / "0.bmp"
    found = set()
    for second, colour in enumerate(("red", "green")):
        Image.new("RGB", (8, 8), colour).save(path)  # of the same length
        os.utime(path, (second, second))
        load.cache_clear()
        found.add(load(folder(tmp_path)).fingerprint)
    assert len(found) == 2


def test_a_damaged_cache_names_the_folder_to_remove(empty_cache: Path) -> None:
    load(DataSpec("digits"))
    (cache,) = empty_cache.iterdir()
    for name in ("images.npy", "labels.npy", "train.npy", "meta.json"):
        whole = (cache / name).read_bytes()
        for part in (b"", whole[: len(whole) // 2]):
            (cache / name).write_bytes(part)
            load.cache_clear()
            refused(DataSpec("digits"), str(cache), "remove that folder")
        (cache / name).write_bytes(whole)
    assert load(DataSpec("digits")).classes == [str(n) for n in range(10)]


def test_the_image_size_is_of_folders_alone() -> None:
    refused(DataSpec("digits", image_size=16), "--image-size: 16", "folder:PATH")


# torchvision's datasets, with made files


def idx(array: Pixels) -> bytes:
    """Return `array` in MNIST's own format."""
    header = struct.pack(f">{array.ndim + 1}I", 0x0800 | array.ndim, *array.shape)
    return header + array.tobytes()


def write_mnist(root: Path, name: str, labels: int = 60) -> Pixels:
    """Write 60 training images with `labels` labels, and 20 for test; return all images."""
    raw = root / name / "raw"
    raw.mkdir(parents=True)
    images = np.random.default_rng(0).integers(0, 256, (80, 28, 28), np.uint8)
    for half, own, count in (("train", images[:60], labels), ("t10k", images[60:], 20)):
        (raw / f"{half}-images-idx3-ubyte").write_bytes(idx(own))
        (raw / f"{half}-labels-idx1-ubyte").write_bytes(idx(np.arange(count, dtype=np.uint8) % 10))
    return images


def write_cifar(root: Path, folder: str, files: list[str], key: str, meta: tuple[str, str], classes: int) -> Pixels:
    """Write 2 images of each class to each of `files`; return all images."""
    (root / folder).mkdir()
    count = 2 * classes
    images = np.random.default_rng(0).integers(0, 256, (len(files) * count, 3, 32, 32), np.uint8)
    for n, name in enumerate(files):
        rows = images[n * count : (n + 1) * count].reshape(count, -1)
        labels = [k % classes for k in range(count)]
        (root / folder / name).write_bytes(pickle.dumps({"data": rows, key: labels}))
    names = [f"class {n}" for n in range(classes)]
    (root / folder / meta[0]).write_bytes(pickle.dumps({meta[1]: names}))
    return images


def write_svhn(root: Path, labels: int = 60) -> Pixels:
    """Write 60 training images with `labels` labels 1..10, and 20 for test; return all images."""
    from scipy.io import savemat

    images = np.random.default_rng(0).integers(0, 256, (80, 3, 32, 32), np.uint8)
    for half, own, count in (("train", images[:60], labels), ("test", images[60:], 20)):
        y = np.arange(count, dtype=np.uint8)[:, None] % 10 + 1
        savemat(root / f"{half}_32x32.mat", {"X": own.transpose(2, 3, 1, 0), "y": y})
    return images


CIFAR10 = ("cifar-10-batches-py", [*(f"data_batch_{n}" for n in range(1, 6)), "test_batch"], "labels")
CIFAR100 = ("cifar-100-python", ["train", "test"], "fine_labels")
WRITERS: dict[str, Callable[[Path], Pixels]] = {
    "mnist": lambda root: write_mnist(root, "MNIST")[:, None],
    "fashion_mnist": lambda root: write_mnist(root, "FashionMNIST")[:, None],
    "kmnist": lambda root: write_mnist(root, "KMNIST")[:, None],
    "cifar10": lambda root: write_cifar(root, *CIFAR10, ("batches.meta", "label_names"), 10),
    "cifar100": lambda root: write_cifar(root, *CIFAR100, ("meta", "fine_label_names"), 100),
    "svhn": write_svhn,
}


@pytest.fixture
def unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let torchvision take files of any content for the real ones, as long as they are there."""
    for module in ("cifar", "svhn"):
        monkeypatch.setattr(
            f"torchvision.datasets.{module}.check_integrity", lambda path, md5=None: Path(path).is_file()
        )


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("name", "test", "flip"),
    [
        *(("mnist", 20, False), ("fashion_mnist", 20, True), ("kmnist", 20, False)),
        *(("cifar10", 20, True), ("cifar100", 200, True), ("svhn", 20, False)),
    ],
)
def test_torchvision_files_are_read_with_their_own_test_split(
    tmp_path: Path, name: str, test: int, flip: bool
) -> None:
    images = WRITERS[name](tmp_path)
    data = load(DataSpec(name, str(tmp_path)))
    assert np.array_equal(data.images, images)
    assert np.array_equal(data.splits["test"], np.arange(len(images) - test, len(images)))
    assert len(data.classes) == (100 if name == "cifar100" else 10)
    first = 1 if name == "svhn" else 0  # SVHN's labels are 1..10, of which 10 is the digit 0
    assert data.labels[-test:].tolist() == [(n + first) % len(data.classes) for n in range(test)]
    assert data.flip == flip


def test_another_dataset_beside_it_leaves_its_cache_valid(tmp_path: Path, empty_cache: Path) -> None:
    for name in ("MNIST", "KMNIST"):
        write_mnist(tmp_path, name)
        load.cache_clear()
        load(DataSpec("mnist", str(tmp_path)))
    assert len(list(empty_cache.iterdir())) == 1


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("name", WRITERS)
def test_new_files_of_a_dataset_are_noticed(tmp_path: Path, empty_cache: Path, name: str) -> None:
    WRITERS[name](tmp_path)
    for second in (1, 2):
        for path in tmp_path.rglob("*"):
            os.utime(path, (second, second))
        load.cache_clear()
        load(DataSpec(name, str(tmp_path)))
    assert len(list(empty_cache.iterdir())) == 2


@pytest.mark.parametrize("name", WRITERS)
def test_missing_files_ask_for_download(tmp_path: Path, name: str) -> None:
    refused(DataSpec(name, str(tmp_path)), f"--dataset {name}", str(tmp_path), "--download")


def test_labels_without_a_class_are_refused(tmp_path: Path) -> None:
    write_mnist(tmp_path, "MNIST")
    (tmp_path / "MNIST" / "raw" / "train-labels-idx1-ubyte").write_bytes(idx(np.full(60, 14, np.uint8)))
    refused(DataSpec("mnist", str(tmp_path)), "labels 0..14", "expected 0..9")


@pytest.mark.usefixtures("unchecked")
def test_images_and_labels_that_do_not_match_are_refused(tmp_path: Path) -> None:
    write_mnist(tmp_path, "MNIST", labels=51)
    refused(DataSpec("mnist", str(tmp_path)), "60 training images but 51 labels")
    write_svhn(tmp_path, labels=52)
    refused(DataSpec("svhn", str(tmp_path)), "60 training images but 52 labels")


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("damage", ["empty", "garbage", "truncated"])
@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("mnist", "MNIST/raw/train-images-idx3-ubyte"),
        ("mnist", "MNIST/raw/t10k-labels-idx1-ubyte"),
        ("cifar10", "cifar-10-batches-py/data_batch_2"),
        ("cifar100", "cifar-100-python/meta"),
        ("svhn", "test_32x32.mat"),
    ],
)
def test_damaged_files_are_refused(tmp_path: Path, name: str, file: str, damage: str) -> None:
    WRITERS[name](tmp_path)
    whole = (tmp_path / file).read_bytes()
    (tmp_path / file).write_bytes({"empty": b"", "garbage": b"spam" * 100, "truncated": whole[:-5]}[damage])
    refused(DataSpec(name, str(tmp_path)), f"--dataset {name}", str(tmp_path), "--download")


def test_a_download_is_kept(tmp_path: Path, empty_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "data"

    def download(self: object) -> None:
        if not root.exists():
            write_mnist(root, "MNIST")

    monkeypatch.setattr("torchvision.datasets.MNIST.download", download)
    downloaded = load(DataSpec("mnist", str(root)), download=True)
    load.cache_clear()
    assert load(DataSpec("mnist", str(root))).fingerprint == downloaded.fingerprint
    assert len(list(empty_cache.iterdir())) == 1


def test_a_failed_download_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: object) -> None:
        raise RuntimeError("Error downloading train-images:\nTried mirror, got:\nHTTP Error 404: Not Found\n")

    monkeypatch.setattr("torchvision.datasets.MNIST.download", fail)
    message = refused(DataSpec("mnist", str(tmp_path)), "--dataset mnist", "HTTP Error 404", download=True)
    assert re.search("Tried mirror, got: HTTP", message)
