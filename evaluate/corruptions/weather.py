"""Fog, frost, snow, and what splashes on a lens."""

import torch
from torch import Tensor

from evaluate.corruptions.sampling import moved, normal, plasma, scale, smooth, uniform, zoomed

_FOG = ((0.2, 3.0), (0.5, 3.0), (0.75, 2.5), (1.0, 2.0), (1.5, 1.75))  # strength, decay
_FROST = ((1.0, 0.2), (1.0, 0.3), (0.9, 0.4), (0.85, 0.4), (0.75, 0.45))  # of the image, of the frost
_RIDGES = 1.5  # decay of the field whose ridges are the frost's
_SNOW = (  # mean, standard deviation, zoom, threshold, radius and deviation of the motion, share of the image
    (0.1, 0.2, 1.0, 0.6, 8, 3, 0.95),
    (0.1, 0.2, 1.0, 0.5, 10, 4, 0.9),
    (0.15, 0.3, 1.75, 0.55, 10, 4, 0.9),
    (0.25, 0.3, 2.25, 0.6, 12, 6, 0.85),
    (0.3, 0.3, 1.25, 0.65, 14, 12, 0.8),
)
_SPATTER = (  # mean, standard deviation, blur, threshold, strength, whether it is mud
    (0.62, 0.1, 0.7, 0.7, 0.5, False),
    (0.65, 0.1, 0.8, 0.7, 0.5, False),
    (0.65, 0.3, 1.0, 0.69, 0.5, False),
    (0.65, 0.1, 0.7, 0.69, 0.6, True),
    (0.65, 0.1, 0.5, 0.68, 0.6, True),
)
_WATER, _MUD = (175 / 255, 238 / 255, 238 / 255), (63 / 255, 42 / 255, 20 / 255)  # red, green, blue
_ICE = (0.85, 0.92, 1.0)


def fog(x: Tensor, severity: int, generator: torch.Generator) -> Tensor:
    """Add clouds, and darken so that what was brightest stays so."""
    strength, decay = _FOG[severity - 1]
    brightest = x.amax((1, 2, 3), keepdim=True)
    return (x + strength * plasma(x, decay, generator)) * brightest / (brightest + strength)


def frost(x: Tensor, severity: int, generator: torch.Generator) -> Tensor:
    """Lay frost over the image.

    It is not that of the published files, six photographs: the crystals are the ridges of a random field.
    """
    image, ice = _FROST[severity - 1]
    ridges = 1 - (2 * plasma(x, _RIDGES, generator) - 1).abs()
    return image * x + ice * ridges**2 * _ink(x, _ICE)


def snow(x: Tensor, severity: int, generator: torch.Generator) -> Tensor:
    """Whiten the image, and let flakes fall through it from two sides."""
    mean, sd, zoom, threshold, radius, blur, share = _SNOW[severity - 1]
    shape = (len(x), 1, *x.shape[-2:])
    flakes = zoomed(mean + sd * normal(x, shape, generator), zoom)
    flakes = torch.where(flakes < threshold, 0.0, flakes).clamp(0, 1)
    angles = uniform(x, (len(x),), -135, -45, generator)
    flakes = moved(flakes, radius * scale(x), blur * scale(x), angles)
    white = torch.maximum(x, 1.5 * _grey(x) + 0.5)
    return share * x + (1 - share) * white + flakes + flakes.rot90(2, (2, 3))


def spatter(x: Tensor, severity: int, generator: torch.Generator) -> Tensor:
    """Splash water or mud on the image.

    Drops of water are as bright as their liquid is thick; the published files emboss their edges, too.
    """
    mean, sd, blur, threshold, strength, mud = _SPATTER[severity - 1]
    shape = (len(x), 1, *x.shape[-2:])
    liquid = smooth(mean + sd * normal(x, shape, generator), blur * scale(x))
    if mud:
        covered = smooth((liquid > threshold).to(x.dtype), strength * scale(x))
        covered = torch.where(covered < 0.8, 0.0, covered)
        return x * (1 - covered) + covered * _ink(x, _MUD)
    drops = torch.where(liquid < threshold, 0.0, liquid)
    thickest = drops.amax((1, 2, 3), keepdim=True).clamp(min=1e-6)
    return x + strength * drops / thickest * _ink(x, _WATER)


def _ink(x: Tensor, colour: tuple[float, float, float]) -> Tensor:
    """Return `colour` as the channels of `x`: where these are not three, its brightness in each."""
    channels = colour if x.shape[1] == 3 else (sum(colour) / 3,) * x.shape[1]
    return torch.tensor(channels, device=x.device, dtype=x.dtype).view(1, -1, 1, 1)


def _grey(x: Tensor) -> Tensor:
    """Return the brightness of images, (n, 1, h, w): of red, green and blue as eyes weigh them."""
    if x.shape[1] != 3:
        return x.mean(1, keepdim=True)
    weights = torch.tensor((0.299, 0.587, 0.114), device=x.device, dtype=x.dtype)
    return (x * weights.view(1, 3, 1, 1)).sum(1, keepdim=True)
