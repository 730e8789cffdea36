"""Noise, pixel by pixel and channel by channel."""

import torch
from torch import Tensor

from evaluate.corruptions.sampling import normal, uniform

_GAUSSIAN = (0.04, 0.06, 0.08, 0.09, 0.10)  # standard deviation
_SHOT = (500, 250, 100, 75, 50)  # photons of a white pixel
_IMPULSE = (0.01, 0.02, 0.03, 0.05, 0.07)  # share of the values that become 0 or 1
_SPECKLE = (0.06, 0.1, 0.12, 0.16, 0.2)  # standard deviation, as a share of the value


def gaussian_noise(x: Tensor, severity: int, generator: torch.Generator) -> Tensor:
    """Add noise of one strength everywhere."""
    return x + _GAUSSIAN[severity - 1] * normal(x, tuple(x.shape), generator)


def shot_noise(x: Tensor, severity: int, generator: torch.Generator) -> Tensor:
    """Count photons."""
    photons = _SHOT[severity - 1]
    return torch.poisson(x * photons, generator) / photons


def impulse_noise(x: Tensor, severity: int, generator: torch.Generator) -> Tensor:
    """Set values to 0 or 1, one as often as the other."""
    share = _IMPULSE[severity - 1]
    drawn = uniform(x, tuple(x.shape), 0, 1, generator)
    return torch.where(drawn < share, (drawn < share / 2).to(x.dtype), x)


def speckle_noise(x: Tensor, severity: int, generator: torch.Generator) -> Tensor:
    """Add noise that is stronger where it is bright."""
    return x + x * _SPECKLE[severity - 1] * normal(x, tuple(x.shape), generator)
