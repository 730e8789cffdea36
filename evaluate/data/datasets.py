"""The datasets by name, and how each is read from its files into uint8 arrays.

To add one: write a reader `(spec, download) -> Raw` and enter it in `DATASETS`, with the files it reads. torchvision,
scikit-learn and joblib are imported in the readers alone: neither `--help`, which names the datasets, nor workers,
which read a cache, wait for them.
"""

import contextlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cgp.errors import BadInput, did_you_mean
from evaluate.data.synthetic import SYNTHETIC, Synthetic
from evaluate.job import DataSpec


class Raw(NamedTuple):
    """Images (count, channels, height, width) uint8 and labels (count,) int64, as read.

    `test_from` is where the test images begin; None where the source has no test split of its own. A regression has
    a `power`, that of its loss |y - prediction|^power: its images are float32, as a network reads them, its labels
    are the values, float32 (count, outputs), and its classes name the outputs.
    """

    images: NDArray[Any]
    labels: NDArray[Any]
    classes: list[str]
    test_from: int | None
    power: float | None = None


@dataclass(frozen=True)
class Dataset:
    """A reader, where its files lie, and whether a mirrored image still shows its class."""

    read: Callable[[DataSpec, bool], Raw]
    files: str  #: pattern of its files in `sources`; empty where it has none
    flip: bool
    regression: bool = False  #: whether there are values to be told instead of classes
    format: int = 1  #: raised when the reader makes other images of the same files: caches are made anew


def _digits(spec: DataSpec, download: bool) -> Raw:
    from sklearn.datasets import load_digits

    found = load_digits()
    images = np.rint(found.images * (255 / 16)).astype(np.uint8)[:, None]
    return Raw(images, found.target.astype(np.int64), [str(digit) for digit in range(10)], None)


def _synthetic(spec: DataSpec, download: bool) -> Raw:
    asked = Synthetic.parsed(spec.name)
    x, y = asked.points()
    return Raw(x[:, :, None, None], y, ["y"], None, asked.p)


def _torchvision(spec: DataSpec, download: bool, name: str, arguments: tuple[Any, Any]) -> Raw:
    """Read both splits of `torchvision.datasets.NAME`; `arguments` tell train from test."""
    from torchvision import datasets

    parts = []
    for argument in arguments:
        try:
            parts.append(getattr(datasets, name)(spec.data_dir, **argument, download=download))
        except Exception as error:  # what torchvision, pickle and scipy raise for damaged files is legion
            if "not found" in str(error).lower() and not download:
                raise BadInput(
                    f"--dataset {spec.name}: its files are not in --data-dir {spec.data_dir!r}; "
                    "add --download, or put torchvision's files there"
                ) from error
            reason = " ".join([f"{type(error).__name__}:", *str(error).split()])
            raise BadInput(
                f"--dataset {spec.name}: cannot read its files in --data-dir {spec.data_dir!r}: {reason}; "
                "check them, or remove them and add --download"
            ) from error
    images = [_channels_first(np.asarray(part.data)) for part in parts]
    labels = [np.asarray(getattr(part, "targets", getattr(part, "labels", None))) for part in parts]
    for half, own, given in zip(("training", "test"), images, labels, strict=True):
        if len(own) != len(given):
            raise BadInput(
                f"--dataset {spec.name}: {len(own)} {half} images but {len(given)} labels in "
                f"--data-dir {spec.data_dir!r}; expected as many"
            )
    classes = [str(c) for c in getattr(parts[0], "classes", range(int(labels[0].max()) + 1))]
    stacked = np.concatenate(labels).astype(np.int64)
    if not 0 <= stacked.min() <= stacked.max() < len(classes):
        raise BadInput(
            f"--dataset {spec.name}: labels {stacked.min()}..{stacked.max()} in --data-dir {spec.data_dir!r}; "
            f"expected 0..{len(classes) - 1}, one for each of its classes"
        )
    return Raw(np.concatenate(images), stacked, classes, len(images[0]))


def _channels_first(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return (count, channels, height, width) of grey, channels-last or channels-first images."""
    if images.ndim == 3:
        return images[:, None]
    return images if images.shape[1] in (1, 3) else images.transpose(0, 3, 1, 2)


def _folder(spec: DataSpec, download: bool) -> Raw:
    """Read class folders: `train/CLASS/*` and `test/CLASS/*`, or one tree `CLASS/*` to be split."""
    root = folder_path(spec)
    halves = [root / "train", root / "test"] if (root / "train").is_dir() else [root]
    found = [_class_folders(half, spec) for half in halves]
    for half, names in zip(halves, found, strict=True):
        if names.keys() != found[0].keys():
            odd = sorted(names.keys() ^ found[0].keys())
            raise BadInput(
                f"--dataset {spec.name}: class folders of {halves[0].name} and {half.name} differ in {odd}; "
                "expected the same"
            )
    paths = [path for names in found for files in names.values() for path in files]
    labels = [label for names in found for label, files in enumerate(names.values()) for _ in files]
    images = _decoded(paths, spec)
    stack = np.stack(images)
    if (stack == stack[..., :1]).all():
        stack = stack[..., :1]  # grey images, however they were stored
    test_from = sum(map(len, found[0].values())) if found[1:] else None
    return Raw(stack.transpose(0, 3, 1, 2), np.array(labels, dtype=np.int64), list(found[0]), test_from)


def _class_folders(root: Path, spec: DataSpec) -> dict[str, list[str]]:
    """Return the image files of each class in `root`, hidden files and folders left out, in order of their names."""
    try:
        names = sorted(path.name for path in root.iterdir() if path.is_dir() and not _hidden(path.name))
    except OSError as error:
        raise BadInput(f"--dataset {spec.name}: cannot read {root} ({error.strerror})") from error
    if not names:
        raise BadInput(f"--dataset {spec.name}: no class folder in {root}; expected one for each class")
    found = {name: image_files(root / name) for name in names}
    if empty := [name for name, files in found.items() if not files]:
        raise BadInput(
            f"--dataset {spec.name}: no images in class folders {empty} of {root}; expected {', '.join(SUFFIXES)}"
        )
    return found


def image_files(root: Path) -> list[str]:
    """Return the image files below `root`, hidden files and folders left out, in order of their names."""
    walked = sorted(os.walk(root, followlinks=True))
    visible = [(folder, files) for folder, _, files in walked if not _hidden(os.path.relpath(folder, root))]
    return [
        str(Path(folder, name))
        for folder, files in visible
        for name in sorted(files)
        if name.lower().endswith(SUFFIXES) and not _hidden(name)
    ]


def _hidden(path: str) -> bool:
    """Whether a file or folder on the way to `path` has a name that begins with a dot."""
    return any(part.startswith(".") for part in Path(path).parts)


def _decoded(paths: Sequence[str], spec: DataSpec) -> list[NDArray[np.uint8]]:
    """Return all images, of one size. Raises BadInput that names those which cannot be read."""
    import joblib

    decoding = joblib.delayed(partial(decode, size=(spec.image_size,) * 2 if spec.image_size else None))
    images = joblib.Parallel(n_jobs=-1, prefer="threads")(decoding(path) for path in paths)
    broken = [f"{path} ({image})" for path, image in zip(paths, images, strict=True) if isinstance(image, str)]
    if broken:
        more = f" and {len(broken) - _NAMED} more" if len(broken) > _NAMED else ""
        raise BadInput(
            f"--dataset {spec.name}: {len(broken)} of {len(paths)} files cannot be read as an image: "
            f"{', '.join(broken[:_NAMED])}{more}; remove or replace them"
        )
    for path, image in zip(paths, images, strict=True):
        if image.shape[:2] != images[0].shape[:2]:
            raise BadInput(
                f"{path}: {image.shape[1]}x{image.shape[0]} pixels, but {paths[0]} has "
                f"{images[0].shape[1]}x{images[0].shape[0]}; give --image-size to bring them to one size"
            )
    return list(images)


def sources(spec: DataSpec) -> list[Path]:
    """Return the files that the dataset is read from. Raises BadInput as `dataset` and `folder_path` do."""
    pattern = dataset(spec).files
    root = folder_path(spec) if spec.name.startswith("folder:") else Path(spec.data_dir)
    found = root.glob(pattern) if pattern else []
    return sorted(path for path in found if path.is_file() and not _hidden(str(path.relative_to(root))))


def folder_path(spec: DataSpec) -> Path:
    """Return the folder that `folder:PATH` names. Raises BadInput where there is none."""
    path = Path(spec.name.removeprefix("folder:"))
    with contextlib.suppress(RuntimeError):  # ~ of nobody
        path = path.expanduser()
    if not path.is_dir():
        raise BadInput(
            f"--dataset {spec.name}: no such folder; expected PATH/train/CLASS/* and PATH/test/CLASS/*, "
            "or PATH/CLASS/*"
        )
    return path


def decode(path: str, size: tuple[int, int] | None) -> NDArray[np.uint8] | str:
    """Return one image as (height, width, 3), or in words why it cannot be read.

    It is turned as its camera was held (EXIF), and where `size` (width, height) is given cropped to the centre, in
    the proportions of that, and scaled to it.
    """
    from PIL import Image, ImageOps

    try:
        with Image.open(path) as opened:
            image = ImageOps.exif_transpose(opened).convert("RGB")
            return np.asarray(ImageOps.fit(image, size) if size else image)
    except Exception as error:  # what Pillow and its decoders raise for damaged files is legion
        return " ".join(str(error).split()) or type(error).__name__


_NAMED = 5  # broken files; a folder of ten thousand would fill the screen
SUFFIXES = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
_FASHION = "FashionMNIST"
_HALVES = ({"train": True}, {"train": False})
_SVHN = ({"split": "train"}, {"split": "test"})

DATASETS: dict[str, Dataset] = {
    "digits": Dataset(_digits, "", flip=False),
    "mnist": Dataset(partial(_torchvision, name="MNIST", arguments=_HALVES), "MNIST/raw/*", flip=False),
    "fashion_mnist": Dataset(partial(_torchvision, name=_FASHION, arguments=_HALVES), f"{_FASHION}/raw/*", flip=True),
    "kmnist": Dataset(partial(_torchvision, name="KMNIST", arguments=_HALVES), "KMNIST/raw/*", flip=False),
    "cifar10": Dataset(partial(_torchvision, name="CIFAR10", arguments=_HALVES), "cifar-10-batches-py/*", flip=True),
    "cifar100": Dataset(partial(_torchvision, name="CIFAR100", arguments=_HALVES), "cifar-100-python/*", flip=True),
    "svhn": Dataset(partial(_torchvision, name="SVHN", arguments=_SVHN), "*_32x32.mat", flip=False),
    **dict.fromkeys(SYNTHETIC, Dataset(_synthetic, "", flip=False, regression=True)),
    "folder": Dataset(_folder, "**/*", flip=True, format=2),
}


def dataset_names() -> list[str]:
    """Return what `--dataset` may be."""
    return [*list(DATASETS)[:-1], "folder:PATH"]


def dataset(spec: DataSpec) -> Dataset:
    """Return the dataset that `spec` names. Raises BadInput for an unknown name."""
    kind = spec.name.partition(":")[0]
    optioned = kind in ("folder", *SYNTHETIC)
    if kind not in DATASETS or spec.name == "folder" or (":" in spec.name and not optioned):
        names = dataset_names()
        raise BadInput(f"--dataset: unknown {spec.name!r}{did_you_mean(spec.name, names)}; one of {', '.join(names)}")
    if spec.image_size is not None and kind != "folder":
        raise BadInput(f"--image-size: {spec.image_size} goes with --dataset folder:PATH, not {kind}; leave it out")
    if kind in SYNTHETIC:
        Synthetic.parsed(spec.name)
    return DATASETS[kind]
