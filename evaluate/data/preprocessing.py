"""What is made of pixels before a network sees them: `--preprocess`.

standard  channels normalised by their mean and deviation over the training images
gcn       global contrast normalisation (Goodfellow et al. 2013): each image by its own mean and contrast
zca       ZCA whitening (Bell and Sejnowski 1997) of `standard`: (x - m) U (S + e)^-1/2 U'
gcn-zca   the same of `gcn`

The covariance is that of the training images. It is computed once, on the CPU in float64, so that the matrix is the
same for every device; it lies in the cache of the images, which all workers share, and in the folder of the run.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from cgp.errors import BadInput
from evaluate.data.preparation import CONTRAST
from evaluate.data.splits import Data
from evaluate.files import WHITENING, draft_of
from evaluate.job import PREPROCESSINGS

ZCA_EPSILON = 1e-3  #: is added to eigenvalues, of which a pixel has about 1
_LARGEST = 4096  # numbers of an image that is whitened: its covariance has so many rows, 128 MB of float64
_BATCH = 1024  # images


def prepared(pixels: Tensor, mean: Tensor, std: Tensor, preprocess: str, whitening: Tensor | None) -> Tensor:
    """Return images as a network reads them, from `pixels` (batch, channels, height, width) on the scale 0..255.

    `mean` and `std` are of channels, and have a shape that fits; `whitening` is what `whitening_of` returned.
    """
    contrast = PREPROCESSINGS[preprocess].contrast
    x = contrast_normalised(pixels.float()) if contrast else (pixels.float() - mean) / std
    if whitening is None:
        return x
    centre, matrix = whitening[0], whitening[1:]
    return ((x.flatten(1) - centre) @ matrix).view_as(x)


def contrast_normalised(x: Tensor) -> Tensor:
    """Return images (batch, channels, height, width) less their mean, divided by their contrast; see `CONTRAST`."""
    x = x - x.mean((1, 2, 3), keepdim=True)
    contrast = (CONTRAST.bias + x.square().mean((1, 2, 3), keepdim=True)).sqrt()
    return CONTRAST.scale * x / contrast.clamp(min=CONTRAST.least)


def whitening_of(data: Data) -> Tensor | None:
    """Return what whitens the images of `data`, memory-mapped; None where they are not whitened.

    Its shape is (numbers of an image + 1, numbers of an image), float32: the mean, and behind it the matrix. Raises
    BadInput for images that are too large or too few, and where the cache cannot be written or is damaged.
    """
    if not PREPROCESSINGS[data.preprocess].whitened:
        return None
    if data.whitening is not None:
        return read_whitening(data.whitening)
    _refuse(data)
    assert data.folder is not None  # only `load` makes data that are whitened
    path = data.folder / f"{data.preprocess}.npy"
    if not path.exists():
        _write(path, _whitening(data))
    return read_whitening(path)


def as_in_run(data: Data, run: Path) -> Data:
    """Return `data` whitened as the run in the folder `run` has kept it.

    A matrix that is computed anew, as by another number of threads, may differ in its last bits.
    """
    kept = run / WHITENING
    whitened = PREPROCESSINGS[data.preprocess].whitened
    return replace(data, whitening=kept) if whitened and kept.exists() else data


def restore(data: Data, run: Path) -> None:
    """Put what whitens the images in the run in the folder `run` back into their cache, where that has lost it."""
    kept = as_in_run(data, run).whitening
    if kept is not None and data.folder is not None and not (path := data.folder / f"{data.preprocess}.npy").exists():
        _write(path, read_whitening(kept))


def read_whitening(path: Path) -> Tensor:
    """Return the whitening in the file `path`, memory-mapped. Raises BadInput where that is damaged."""
    try:
        return torch.from_numpy(np.load(path, mmap_mode="c"))
    except (OSError, EOFError, ValueError) as error:
        raise BadInput(f"{path}: no whitening can be read ({error}); expected what --preprocess wrote") from error


def _refuse(data: Data) -> None:
    numbers, count = int(np.prod(data.shape)), len(data.splits["train"])
    flag = f"--preprocess {data.preprocess}"
    if numbers > _LARGEST:
        raise BadInput(
            f"{flag}: images of {' x '.join(map(str, data.shape))} have {numbers:,} numbers, too many to whiten; "
            f"expected at most {_LARGEST:,}: give a smaller --image-size, or gcn"
        )
    if count < numbers:
        raise BadInput(
            f"{flag}: {count:,} training images are fewer than the {numbers:,} numbers of each, which leaves "
            "directions unseen; expected at least as many: raise --train-size, or give gcn"
        )


@torch.no_grad()
def _whitening(data: Data) -> Tensor:
    pixels, rows = torch.from_numpy(data.images), torch.from_numpy(data.splits["train"])
    mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (data.mean, data.std))
    parts = rows.split(_BATCH)

    def numbers(part: Tensor) -> Tensor:
        return prepared(pixels[part], mean, std, data.preprocess, None).flatten(1).double()

    centre = torch.stack([numbers(part).sum(0) for part in parts]).sum(0) / len(rows)
    covariance = torch.zeros(len(centre), len(centre), dtype=torch.float64)
    for part in parts:
        deviations = numbers(part) - centre
        covariance.addmm_(deviations.T, deviations)
    values, vectors = torch.linalg.eigh(covariance / len(rows))
    matrix = (vectors * (values.clamp(min=0) + ZCA_EPSILON).rsqrt()) @ vectors.T
    return torch.cat([centre[None], matrix]).float()


def _write(path: Path, whitening: Tensor) -> None:
    """Write beside `path` and move there: another process may read it, or write the same."""
    draft = draft_of(path)
    try:
        with draft.open("wb") as file:
            np.save(file, whitening.numpy())
        draft.replace(path)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise BadInput(
            f"{path.parent}: cannot keep the whitening of the images there ({error.strerror}); "
            "free some space or set XDG_CACHE_HOME to a writable folder"
        ) from error
