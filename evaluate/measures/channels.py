"""How the channels of each convolution vary together over images: seen by hooks, which change nothing."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from evaluate.data.images import Images
from evaluate.devices.numerics import EVALUATION_BATCH, Numerics


@dataclass
class Covariance:
    """The covariance of vectors that come in batches, without a sum of squares that rounding would spoil.

    Batches are merged as in Chan, Golub and LeVeque 1983; all is float64.
    """

    mean: Tensor  #: (channels,)
    scatter: Tensor  #: (channels, channels), the sum of products of deviations from the mean
    count: int = 0

    @classmethod
    def empty(cls, channels: int, device: torch.device) -> "Covariance":
        """Return that of no vectors."""
        mean = torch.zeros(channels, dtype=torch.float64, device=device)
        return cls(mean, torch.outer(mean, mean))

    def add(self, batch: Tensor) -> None:
        """Take in vectors, (count, channels) in float64."""
        total, mean = self.count + len(batch), batch.mean(0)
        deviations, step = batch - mean, mean - self.mean
        self.scatter += deviations.T @ deviations + torch.outer(step, step) * (self.count * len(batch) / total)
        self.mean += step * (len(batch) / total)
        self.count = total

    @property
    def matrix(self) -> Tensor:
        """The covariance, (channels, channels), of a sample. Of a single vector there is none: ValueError."""
        if self.count < 2:
            raise ValueError(f"{self.count} samples have no covariance; expected at least 2")
        return self.scatter / (self.count - 1)


@torch.no_grad()
def covariances(network: nn.Module, images: Images, numerics: Numerics, rows: Sequence[int]) -> list[Covariance]:
    """Return the covariance of the channels of each convolution's output, in the order in which they compute.

    Each output is averaged over space, which leaves a vector for each of `images` at `rows`. The network is in
    evaluation mode, and keeps no hook.
    """
    found = dict[nn.Module, Covariance]()
    chosen = torch.tensor(rows, device=images.labels.device)
    network.eval()
    with ExitStack() as hooks:
        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                hooks.callback(module.register_forward_hook(partial(_note, found)).remove)
        for part in chosen.split(EVALUATION_BATCH):
            x, _ = images.batch(part)
            with numerics.autocast():
                network(x)
    return list(found.values())


def _note(found: dict[nn.Module, Covariance], module: nn.Module, _: tuple[Tensor], output: Tensor) -> None:
    vectors = output.mean((2, 3), dtype=torch.float64)
    found.setdefault(module, Covariance.empty(vectors.shape[1], vectors.device)).add(vectors)
