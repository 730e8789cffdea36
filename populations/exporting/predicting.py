"""What a network says of image files, prepared as those were that it was trained on."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from cgp.errors import BadInput
from evaluate.data.datasets import SUFFIXES, decode, image_files
from evaluate.data.preparation import Preparation
from populations.exporting.carried import Carried

_BATCH = 64  # images


def found_images(paths: Sequence[Path]) -> list[Path]:
    """Return the image files that `paths` name, those of a folder in order of their names.

    Raises BadInput, naming it, for a path that is not there, and for a folder without images.
    """
    found = list[Path]()
    for path in paths:
        if path.is_dir():
            inside = image_files(path)
            if not inside:
                raise BadInput(f"{path}: no images in this folder; expected {', '.join(SUFFIXES)}")
            found += map(Path, inside)
        elif path.exists():
            found.append(path)
        else:
            raise BadInput(f"{path}: no such file; expected an image, or a folder of images")
    return found


@torch.inference_mode()
def probabilities(carried: Carried, files: Sequence[Path]) -> Tensor:
    """Return the probability of each class for each of `files`, (files, classes).

    Images are turned as their camera was held, cropped to the centre and scaled to what the network reads. Raises
    BadInput, naming the file, for one that cannot be read.
    """
    found = list[Tensor]()
    for start in range(0, len(files), _BATCH):
        pixels = torch.stack([_pixels(path, carried.images) for path in files[start : start + _BATCH]])
        found.append(carried.network(carried.normalised(pixels)).softmax(1))
    return torch.cat(found)


def _pixels(path: Path, images: Preparation) -> Tensor:
    """Return the pixels of a file (channels, height, width), uint8."""
    image = decode(str(path), (images.shape.width, images.shape.height))
    if isinstance(image, str):
        raise BadInput(f"{path}: cannot be read as an image ({image}); remove or replace it")
    if images.shape.channels == 1:
        image = np.asarray(Image.fromarray(image).convert("L"))[:, :, None]
    return torch.from_numpy(np.array(image.transpose(2, 0, 1), order="C"))
