"""Images as arrays that all workers share, with fixed train, validation and test indices.

A dataset is read and split once, into a cache of memory-mapped uint8; workers open the cache. The
split is stratified and depends on the dataset alone, never on the run's seed.
"""

import hashlib
import json
import tempfile
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cgp.errors import BadInput
from cgp.layers import Shape
from evaluate.data.datasets import Raw, dataset, sources
from evaluate.files import cache_root, sync
from evaluate.job import DataSpec

SPLIT_SEED = 0

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Data:
    """A dataset in memory-mapped form."""

    images: NDArray[Any]  #: (count, channels, height, width) uint8; of a regression float32
    labels: NDArray[Any]  #: (count,) int64; of a regression values, (count, outputs) float32
    splits: dict[str, Indices]  #: train, validation, test
    classes: list[str]  #: of a regression names of the outputs
    mean: tuple[float, ...]  #: per channel, of the training images, on the scale 0..255
    std: tuple[float, ...]
    flip: bool  #: whether mirrored images are fair augmentation
    fingerprint: str  #: SHA-256 of images, labels and splits
    preprocess: str = "standard"  #: as of a `DataSpec`
    folder: Path | None = None  #: of its cache
    power: float | None = None  #: of the loss of a regression; None: there are classes
    whitening: Path | None = None  #: of a run whose images were whitened by this file; None: of the cache

    @property
    def shape(self) -> Shape:
        """Shape of one image."""
        return Shape(*self.images.shape[1:])


@lru_cache(maxsize=1)
def load(spec: DataSpec, download: bool = False) -> Data:
    """Open the dataset's cache, made first where it is missing.

    Raises BadInput where the dataset is unknown, its files are missing, unreadable or do not match,
    `train_size` or `val_size` asks for more than there is, or the cache is damaged.
    """
    entry = dataset(spec)
    folder = cache_root() / _key(spec)
    if not (folder / "meta.json").exists():
        raw = entry.read(spec, download)
        folder = cache_root() / _key(spec)  # a download has changed the files the key speaks of
        _write(folder, raw, _split(raw, spec), entry.flip)
    try:
        meta = json.loads((folder / "meta.json").read_text())
        # Mode "c" is shared and read-only on disk, yet writable to torch, which warns otherwise.
        images, labels = (np.load(folder / f"{name}.npy", mmap_mode="c") for name in ("images", "labels"))
        splits = {name: np.load(folder / f"{name}.npy") for name in ("train", "validation", "test")}
    except (OSError, EOFError, ValueError) as error:
        raise BadInput(f"{folder}: damaged cache of {spec.name} ({error}); remove that folder, then again") from error
    return Data(
        images,
        labels,
        splits,
        meta["classes"],
        tuple(meta["mean"]),
        tuple(meta["std"]),
        meta["flip"],
        meta["fingerprint"],
        spec.preprocess,
        folder,
        meta.get("power"),
    )


def _key(spec: DataSpec) -> str:
    """Name of the cache folder: it changes with the request and with the source's files."""
    stats = [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in sources(spec)]
    kept = replace(spec, preprocess="standard")  # what is made of the pixels changes nothing of them
    text = json.dumps([dataset(spec).format, kept.about(), stats])
    kind = spec.name.split(":")[0]
    return f"{kind}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"


def _split(raw: Raw, spec: DataSpec) -> dict[str, Indices]:
    """Return stratified indices by name of split.

    Test is the source's own or a fifth; validation a tenth of the rest, or a quarter of a small
    rest (below 10,000); train what remains, or `train_size` of it. With `val_size`, validation is a part of
    that: so many images, or as large a share as is trained on, but at least ten for each class.
    """
    everything = np.arange(len(raw.labels))
    if raw.test_from is None:
        rest, test = _stratified(everything, raw, max(len(raw.classes), len(everything) // 5), spec)
    else:
        rest, test = everything[: raw.test_from], everything[raw.test_from :]
    held_out = len(rest) // (4 if len(rest) < 10_000 else 10)
    train, validation = _stratified(rest, raw, max(len(raw.classes), held_out), spec)
    whole, size = len(train), spec.val_size
    if spec.train_size is not None:
        train = _subset("training", train, spec.train_size, raw, spec)
    if size == "auto":
        size = _in_proportion(validation, len(train) / whole, raw)
    if size is not None:
        validation = _subset("validation", validation, size, raw, spec)
    return {"train": np.sort(train), "validation": np.sort(validation), "test": np.sort(test)}


def _in_proportion(indices: Indices, share: float, raw: Raw) -> int:
    """Return how many of `indices` are `share`, at least ten a class; all, where a class has a single one."""
    if raw.power is None and np.bincount(raw.labels[indices], minlength=len(raw.classes)).min() < 2:
        return len(indices)  # stratifying would refuse less
    return min(len(indices), max(10 * len(raw.classes), round(share * len(indices))))


def _subset(kind: str, indices: Indices, count: int, raw: Raw, spec: DataSpec) -> Indices:
    """Return `count` of `indices`, stratified. Raises BadInput where there are fewer, or fewer than classes."""
    fewest, flag = max(2, len(raw.classes)), "--train-size" if kind == "training" else "--val-size"
    if not fewest <= count <= len(indices):
        raise BadInput(
            f"{flag}: {count}; {spec.name} has {len(indices)} {kind} images, expected {fewest}..{len(indices)}"
        )
    if len(indices) - count < fewest:  # too few left over to stratify
        return indices[:count]
    return _stratified(indices, raw, count, spec)[1]


def _stratified(indices: Indices, raw: Raw, count: int, spec: DataSpec) -> tuple[Indices, Indices]:
    """Part `indices` in (rest, `count` of them) with equal shares of every class, where there are classes."""
    from sklearn.model_selection import train_test_split

    classes = raw.labels[indices] if raw.power is None else None
    try:
        rest, chosen = train_test_split(indices, test_size=count, stratify=classes, random_state=SPLIT_SEED)
    except ValueError as error:
        fewest = int(np.bincount(raw.labels[indices], minlength=len(raw.classes)).min())
        raise BadInput(
            f"--dataset {spec.name}: {len(indices)} images of {len(raw.classes)} classes, the smallest "
            f"with {fewest}, are too few to split; expected at least 5 of each"
        ) from error
    return rest, chosen


def _write(folder: Path, raw: Raw, splits: dict[str, Indices], flip: bool) -> None:
    """Write the cache beside its place and move it there, so that a killed write leaves nothing."""
    digest = hashlib.sha256()
    for array in (raw.images, raw.labels, *splits.values()):
        digest.update(np.ascontiguousarray(array).data)
    if raw.power is None:
        mean, std = moments(raw.images, splits["train"])
    else:
        mean, std = (fill(raw.images.shape[1]) for fill in (np.zeros, np.ones))  # they are as a network reads them
    meta = {
        "classes": raw.classes,
        "mean": mean.tolist(),
        "std": np.maximum(std, 1e-3).tolist(),
        "flip": flip,
        "fingerprint": digest.hexdigest(),
    } | ({} if raw.power is None else {"power": raw.power})
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as beside:
            draft = Path(beside) / folder.name
            draft.mkdir()
            for name, array in {"images": raw.images, "labels": raw.labels, **splits}.items():
                np.save(draft / f"{name}.npy", np.ascontiguousarray(array))
            (draft / "meta.json").write_text(json.dumps(meta))
            for path in draft.iterdir():
                sync(path)
            draft.rename(folder)
    except OSError as error:
        if (folder / "meta.json").exists():  # another process was quicker
            return
        raise BadInput(
            f"{folder.parent}: cannot keep the dataset's cache there ({error.strerror}); "
            "free some space or set XDG_CACHE_HOME to a writable folder"
        ) from error


def moments(images: NDArray[np.uint8], chosen: Indices) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return mean and standard deviation of each channel of the `chosen` images, from exact sums."""
    channels = images.shape[1]
    counts = np.zeros((channels, 256), dtype=np.int64)  # of each level
    for part in np.array_split(chosen, -(-len(chosen) // 1024)):  # counting takes eight bytes a pixel
        for channel in range(channels):
            counts[channel] += np.bincount(images[part, channel].ravel(), minlength=256)
    levels, pixels = np.arange(256), counts.sum(1)
    mean = counts @ levels / pixels
    return mean, np.sqrt(counts @ levels**2 / pixels - mean**2)
