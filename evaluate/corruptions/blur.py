"""Blur: of a lens, of motion, of coming closer, of ribbed glass."""

import torch
from torch import Tensor
from torch.nn import functional

from evaluate.corruptions.sampling import moved, scale, smooth, uniform, zoomed

_GAUSSIAN = (0.4, 0.6, 0.7, 0.8, 1.0)  # standard deviation, in pixels
_GLASS = ((0.05, 1, 1), (0.25, 1, 1), (0.4, 1, 1), (0.25, 1, 2), (0.4, 1, 2))  # standard deviation, reach, rounds
_DEFOCUS = ((0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1.0, 0.2), (1.5, 0.1))  # radius of the disk, blur of its edge
_MOTION = ((6, 1.0), (6, 1.5), (6, 2.0), (8, 2.0), (9, 2.5))  # radius, standard deviation
_ZOOMS = (5, 10, 15, 20, 25)  # hundredths, the greatest
_TURN = 45.0  # degrees, the most


def gaussian_blur(x: Tensor, severity: int, generator: torch.Generator) -> Tensor:
    """Blur by a Gaussian."""
    return smooth(x, _GAUSSIAN[severity - 1] * scale(x))


def glass_blur(x: Tensor, severity: int, generator: torch.Generator) -> Tensor:
    """Blur, swap each pixel with a neighbour up to `reach` above and to the left of it, blur.

    The neighbours are those of the published files, which were drawn from -reach to reach - 1.
    """
    sd, pixels, rounds = _GLASS[severity - 1]
    sd, reach = sd * scale(x), max(1, round(pixels * scale(x)))
    x = smooth(x, sd)
    height, width = x.shape[-2:]
    every = torch.arange(len(x), device=x.device)
    order = torch.arange(height * width, device=x.device).repeat(len(x), 1)  # which pixel is where
    for _ in range(rounds):
        shape = (2, len(x), height, width)
        drawn = torch.randint(-reach, reach, shape, generator=generator, device=x.device)
        partners = drawn[0] * width + drawn[1]
        for row in range(height - reach, reach, -1):
            for column in range(width - reach, reach, -1):
                here = row * width + column
                there = here + partners[:, row, column]
                kept = order[:, here].clone()
                order[:, here] = order[every, there]
                order[every, there] = kept
    swapped = x.flatten(2).gather(2, order[:, None].expand(-1, x.shape[1], -1)).view_as(x)
    return smooth(swapped, sd)


def defocus_blur(x: Tensor, severity: int, generator: torch.Generator) -> Tensor:
    """Let every point become a disk with a soft edge."""
    radius, edge = (constant * scale(x) for constant in _DEFOCUS[severity - 1])
    reach = int(radius) + 2
    line = torch.arange(-reach, reach + 1, device=x.device, dtype=x.dtype)
    disk = (line[:, None] ** 2 + line**2 <= radius**2).to(x.dtype)
    soft = torch.exp(-0.5 * (torch.arange(-1, 2, device=x.device) / edge) ** 2)
    soft = torch.outer(soft, soft)
    taps = functional.conv2d((disk / disk.sum())[None, None], (soft / soft.sum())[None, None], padding=1)
    padded = functional.pad(x, (reach,) * 4, mode="reflect")
    return functional.conv2d(padded, taps.expand(x.shape[1], -1, -1, -1), groups=x.shape[1])


def motion_blur(x: Tensor, severity: int, generator: torch.Generator) -> Tensor:
    """Blur along a line, which is turned by up to 45 degrees from the horizontal."""
    radius, sd = (constant * scale(x) for constant in _MOTION[severity - 1])
    return moved(x, radius, sd, uniform(x, (len(x),), -_TURN, _TURN, generator))


def zoom_blur(x: Tensor, severity: int, generator: torch.Generator) -> Tensor:
    """Average zooms from 1 on in steps of a hundredth, and the image."""
    zooms = [zoomed(x, 1 + hundredths / 100) for hundredths in range(_ZOOMS[severity - 1] + 1)]
    return (x + sum(zooms)) / (1 + len(zooms))
