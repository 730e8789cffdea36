"""CIFAR-10 in class folders, which the benchmarks on photographs want."""

import os
from pathlib import Path

from cgp import BadInput


def folder() -> Path:
    """Return the folder that CGP_DATA names. Raises BadInput when CIFAR-10's class folders are not there."""
    found = Path(os.environ.get("CGP_DATA", "data"))
    if not (found / "train" / "airplane").is_dir():
        raise BadInput(
            f"--data-dir: no {found / 'train' / 'airplane'}; expected CIFAR-10 as images in class folders "
            "train/CLASS and test/CLASS: name the folder by --data-dir DIR or CGP_DATA"
        )
    return found.absolute()


def link_some(folder: Path, into: Path, train: int, test: int) -> None:
    """Link the first `train` and `test` images of each class of `folder`, by name, in folders of `into`."""
    for split, count in (("train", train), ("test", test)):
        for images in sorted((folder / split).iterdir()):
            (into / split / images.name).mkdir(parents=True)
            for image in sorted(images.iterdir())[:count]:
                (into / split / images.name / image.name).symlink_to(image)
