"""Images on the device: normalised batches, and batched augmentation."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from evaluate.data.preprocessing import prepared, whitening_of
from evaluate.data.splits import Data

_ORDER, _SIDES = 0, 1  # kinds of random stream


@dataclass(frozen=True)
class Images:
    """One split: uint8 pixels until a batch is asked for, of a regression fp32.

    On a CPU `pixels` is the memory-mapped dataset itself, which all workers share, and `rows` picks the
    split; on a GPU the split alone lies in device memory.
    """

    pixels: Tensor  #: (all images, channels, height, width)
    labels: Tensor  #: (all images,) int64; of a regression values, (all images, outputs) fp32
    rows: Tensor  #: (count,) int64, the split's places in `pixels` and `labels`
    mean: Tensor  #: (1, channels, 1, 1)
    std: Tensor  #: (1, channels, 1, 1)
    flip: bool
    preprocess: str = "standard"  #: what is made of pixels, see `evaluate.data.preprocessing`
    whitening: Tensor | None = None  #: see `whitening_of`
    power: float | None = None  #: of the loss of a regression; None: there are classes

    @classmethod
    def of(cls, data: Data, splits: tuple[str, ...], device: str) -> "Images":
        """Return the images of `splits` of `data`, in their order, on `device`.

        Raises BadInput where they cannot be whitened, and are to be.
        """
        pixels, labels = torch.from_numpy(data.images), torch.from_numpy(data.labels)
        rows = torch.cat([torch.from_numpy(data.splits[name]) for name in splits])
        if device != "cpu":
            pixels, labels = pixels[rows].to(device), labels[rows].to(device)
            rows = torch.arange(len(rows), device=device)
        mean, std = (torch.tensor(values, device=device).view(1, -1, 1, 1) for values in (data.mean, data.std))
        whitening = whitening_of(data)
        if whitening is not None:
            whitening = whitening.to(device)
        return cls(pixels, labels, rows, mean, std, data.flip, data.preprocess, whitening, data.power)

    def __len__(self) -> int:
        """Number of images."""
        return len(self.rows)

    def batch(self, index: Tensor | slice) -> tuple[Tensor, Tensor]:
        """Return prepared images (batch, channels, height, width) and labels (batch,)."""
        rows = self.rows[index]
        x = prepared(self.pixels[rows], self.mean, self.std, self.preprocess, self.whitening)
        return x.contiguous(memory_format=torch.channels_last), self.labels[rows]

    def epoch(self, seed: int, epoch: int, batch: int, augment: bool) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield whole batches of `batch` images, in random order, as `batch()` returns them.

        With `augment` they are shifted by up to an eighth of their size and, where that is fair,
        mirrored: every image in every other epoch (the alternating flip of Jordan 2024, arXiv
        2404.00498). All randomness comes from (seed, epoch) and goes to the device once, so that
        nothing in an epoch waits for the device.
        """
        generator = _generator(seed, _ORDER, epoch)
        order = torch.randperm(len(self), generator=generator)[: len(self) // batch * batch]
        if not augment:
            yield from map(self.batch, order.to(self.labels.device).split(batch))
            return
        reach = self.pixels.shape[-1] // 8
        shifts = torch.randint(0, 2 * reach + 1, (2, len(order)), generator=generator)
        sides = torch.randint(0, 2, (len(self),), generator=_generator(seed, _SIDES, 0))
        mirrored = (sides[order] + epoch) % 2 == 1
        drawn = [values.to(self.labels.device).split(batch, -1) for values in (order, shifts, mirrored)]
        for index, shift, mirror in zip(*drawn, strict=True):
            x, labels = self.batch(index)
            x = _shifted(x, reach, shift)
            if self.flip:
                x = torch.where(mirror.view(-1, 1, 1, 1), x.flip(-1), x)
            yield x.contiguous(memory_format=torch.channels_last), labels


class OnDevice:
    """The images of a dataset on one device: a split is put there when it is first asked for, and stays."""

    def __init__(self, data: Data, device: str) -> None:
        """Hold `data`, and nothing on `device` (cpu or cuda) yet."""
        self.data, self.device = data, device
        self._there: dict[tuple[str, ...], Images] = {}

    def of(self, *splits: str) -> Images:
        """Return the images of `splits`, in their order."""
        if splits not in self._there:
            self._there[splits] = Images.of(self.data, splits, self.device)
        return self._there[splits]


def _generator(seed: int, kind: int, epoch: int) -> torch.Generator:
    state = np.random.SeedSequence([seed, kind, epoch]).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(state[0] >> 1))


def _shifted(x: Tensor, reach: int, shifts: Tensor) -> Tensor:
    """Pad by `reach` with the mean colour and cut out, per image, at `shifts` (2, batch)."""
    batch, _, height, width = x.shape
    padded = functional.pad(x, (reach, reach, reach, reach)).permute(0, 2, 3, 1)
    rows = shifts[0, :, None] + torch.arange(height, device=x.device)
    columns = shifts[1, :, None] + torch.arange(width, device=x.device)
    first = torch.arange(batch, device=x.device)
    return padded[first[:, None, None], rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
