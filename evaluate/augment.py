"""Images on the device: normalised batches, and batched augmentation."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from evaluate.data import Data


@dataclass(frozen=True)
class Images:
    """One split on one device: uint8 pixels until a batch is asked for."""

    pixels: Tensor  #: (count, channels, height, width) uint8
    labels: Tensor  #: (count,) int64
    mean: Tensor  #: (1, channels, 1, 1)
    std: Tensor  #: (1, channels, 1, 1)
    flip: bool

    @classmethod
    def of(cls, data: Data, splits: tuple[str, ...], device: str) -> "Images":
        """Put the images of `splits` of `data`, in their order, on `device`."""
        indices = torch.cat([torch.from_numpy(data.splits[name]) for name in splits])
        return cls(
            torch.from_numpy(data.images)[indices].to(device),
            torch.from_numpy(data.labels)[indices].to(device),
            torch.tensor(data.mean, device=device).view(1, -1, 1, 1),
            torch.tensor(data.std, device=device).view(1, -1, 1, 1),
            data.flip,
        )

    def __len__(self) -> int:
        """Number of images."""
        return len(self.labels)

    def batch(self, index: Tensor | slice) -> tuple[Tensor, Tensor]:
        """Return normalised images (batch, channels, height, width) and labels (batch,)."""
        x = (self.pixels[index].float() - self.mean) / self.std
        return x.contiguous(memory_format=torch.channels_last), self.labels[index]

    def augmented(self, index: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return a batch as `batch` does, shifted by up to an eighth of its size and perhaps mirrored."""
        x, labels = self.batch(index)
        reach = x.shape[-1] // 8
        shifts = torch.randint(0, 2 * reach + 1, (2, len(index)), generator=generator).to(x.device)
        mirrored = (torch.rand(len(index), generator=generator) < 0.5).to(x.device)
        x = _shifted(x, reach, shifts)
        if self.flip:
            x = torch.where(mirrored.view(-1, 1, 1, 1), x.flip(-1), x)
        return x.contiguous(memory_format=torch.channels_last), labels


def _shifted(x: Tensor, reach: int, shifts: Tensor) -> Tensor:
    """Pad by `reach` with the mean colour and cut out, per image, at `shifts` (2, batch)."""
    batch, _, height, width = x.shape
    padded = functional.pad(x, (reach, reach, reach, reach)).permute(0, 2, 3, 1)
    rows = shifts[0, :, None] + torch.arange(height, device=x.device)
    columns = shifts[1, :, None] + torch.arange(width, device=x.device)
    first = torch.arange(batch, device=x.device)
    return padded[first[:, None, None], rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
