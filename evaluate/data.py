"""Images as arrays that all workers share, with fixed train, validation and test indices.

A dataset is read and split once, into a cache of memory-mapped uint8; workers open the cache. The
split is stratified and depends on the dataset alone, never on the run's seed.
"""

import hashlib
import json
import tempfile
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cgp.errors import BadInput
from cgp.layers import Shape
from evaluate.datasets import Raw, dataset, sources
from evaluate.files import cache_root, sync
from evaluate.job import DataSpec

SPLIT_SEED = 0
CACHE_FORMAT = 1

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Data:
    """A dataset in memory-mapped form."""

    images: NDArray[np.uint8]  #: (count, channels, height, width)
    labels: NDArray[np.int64]  #: (count,)
    splits: dict[str, Indices]  #: train, validation, test
    classes: list[str]
    mean: tuple[float, ...]  #: per channel, of the training images, on the scale 0..255
    std: tuple[float, ...]
    flip: bool  #: whether mirrored images are fair augmentation
    fingerprint: str  #: SHA-256 of images, labels and splits

    @property
    def shape(self) -> Shape:
        """Shape of one image."""
        return Shape(*self.images.shape[1:])


@lru_cache(maxsize=1)
def load(spec: DataSpec, download: bool = False) -> Data:
    """Open the dataset's cache, made first where it is missing.

    Raises BadInput where the dataset is unknown, its files are missing, unreadable or do not match,
    `train_size` asks for more than there is, or the cache is damaged.
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
    )


def _key(spec: DataSpec) -> str:
    """Name of the cache folder: it changes with the request and with the source's files."""
    stats = [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in sources(spec)]
    text = json.dumps([CACHE_FORMAT, asdict(spec), stats])
    kind = spec.name.split(":")[0]
    return f"{kind}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"


def _split(raw: Raw, spec: DataSpec) -> dict[str, Indices]:
    """Return stratified indices by name of split.

    Test is the source's own or a fifth; validation a tenth of the rest, or a quarter of a small
    rest (below 10,000); train what remains, or `train_size` of it.
    """
    everything = np.arange(len(raw.labels))
    if raw.test_from is None:
        rest, test = _stratified(everything, raw, max(len(raw.classes), len(everything) // 5), spec)
    else:
        rest, test = everything[: raw.test_from], everything[raw.test_from :]
    held_out = len(rest) // (4 if len(rest) < 10_000 else 10)
    train, validation = _stratified(rest, raw, max(len(raw.classes), held_out), spec)
    if spec.train_size is not None and spec.train_size != len(train):
        if not len(raw.classes) <= spec.train_size <= len(train):
            raise BadInput(
                f"--train-size: {spec.train_size}; {spec.name} has {len(train)} training images, "
                f"expected {len(raw.classes)}..{len(train)}"
            )
        if len(train) - spec.train_size < len(raw.classes):  # too few left over to stratify
            train = train[: spec.train_size]
        else:
            _, train = _stratified(train, raw, spec.train_size, spec)
    return {"train": np.sort(train), "validation": np.sort(validation), "test": np.sort(test)}


def _stratified(indices: Indices, raw: Raw, count: int, spec: DataSpec) -> tuple[Indices, Indices]:
    """Part `indices` in (rest, `count` of them) with equal shares of every class."""
    from sklearn.model_selection import train_test_split

    try:
        rest, chosen = train_test_split(
            indices, test_size=count, stratify=raw.labels[indices], random_state=SPLIT_SEED
        )
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
    mean, std = moments(raw.images, splits["train"])
    meta = {
        "classes": raw.classes,
        "mean": mean.tolist(),
        "std": np.maximum(std, 1e-3).tolist(),
        "flip": flip,
        "fingerprint": digest.hexdigest(),
    }
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
