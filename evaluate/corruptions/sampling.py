"""What several corruptions need: smoothing, sampling at other places, random fields. Images are (n, c, h, w)."""

import math

import torch
from torch import Tensor
from torch.nn import functional

_SIDE = 32  #: pixels, for which the constants are


def scale(x: Tensor) -> float:
    """Return by how much lengths are those of larger images than 32 x 32."""
    return min(x.shape[-2:]) / _SIDE


def uniform(x: Tensor, shape: tuple[int, ...], low: float, high: float, generator: torch.Generator) -> Tensor:
    """Return numbers of `shape` between `low` and `high`, on the device of `x`."""
    return low + (high - low) * torch.rand(shape, generator=generator, device=x.device)


def normal(x: Tensor, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Return standard normal numbers of `shape`, on the device of `x`."""
    return torch.randn(shape, generator=generator, device=x.device)


def smooth(x: Tensor, sd: float, truncate: float = 4.0) -> Tensor:
    """Blur by a Gaussian of `sd` pixels, cut off at `truncate` of them; the edge is repeated outwards."""
    reach = int(truncate * sd + 0.5)
    if reach == 0:
        return x
    places = torch.arange(-reach, reach + 1, device=x.device, dtype=x.dtype)
    weights = torch.exp(-0.5 * (places / sd) ** 2)
    weights = (weights / weights.sum()).expand(x.shape[1], 1, 1, -1)
    for taps, pad in ((weights, (reach, reach, 0, 0)), (weights.transpose(2, 3), (0, 0, reach, reach))):
        x = functional.conv2d(functional.pad(x, pad, mode="replicate"), taps, groups=x.shape[1])
    return x


def sampled(x: Tensor, rows: Tensor, columns: Tensor, padding: str) -> Tensor:
    """Return the pixels of `x` at `rows` and `columns`, (n, h, w): bilinear, and `padding` beyond the edge."""
    height, width = x.shape[-2:]
    grid = torch.stack([2 * columns / max(width - 1, 1) - 1, 2 * rows / max(height - 1, 1) - 1], -1)
    return functional.grid_sample(x, grid, padding_mode=padding, align_corners=True)


def places(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return the row and the column of each pixel, (1, h, w) each."""
    sides = [torch.arange(size, device=x.device, dtype=x.dtype) for size in x.shape[-2:]]
    rows, columns = torch.meshgrid(*sides, indexing="ij")
    return rows[None], columns[None]


def zoomed(x: Tensor, factor: float) -> Tensor:
    """Return the middle of `x`, `factor` times as large."""
    rows, columns = places(x)
    middle_row, middle_column = ((size - 1) / 2 for size in x.shape[-2:])
    rows, columns = (middle_row + (rows - middle_row) / factor, middle_column + (columns - middle_column) / factor)
    return sampled(x, rows.expand(len(x), -1, -1), columns.expand(len(x), -1, -1), "border")


def moved(x: Tensor, radius: float, sd: float, degrees: Tensor) -> Tensor:
    """Blur each image along a line of its own, at `degrees` (n,): a Gaussian to one side, 2 `radius` + 1 long."""
    taps = 2 * round(radius) + 1
    weights = [math.exp(-0.5 * (tap / max(sd, 1e-3)) ** 2) for tap in range(taps)]
    angle = torch.deg2rad(degrees)[:, None, None]
    rows, columns = places(x)
    found = torch.zeros_like(x)
    for tap, weight in enumerate(weights):
        if weight > 1e-6 * weights[0]:
            down, right = (tap * torch.sin(angle)).round(), (tap * torch.cos(angle)).round()
            found += weight / sum(weights) * sampled(x, rows + down, columns + right, "border")
    return found


def plasma(x: Tensor, decay: float, generator: torch.Generator) -> Tensor:
    """Return a random cloudy field on 0..1 for each image, (n, 1, h, w), by diamond-square on a torus.

    The random part of each finer level is `decay` squared times smaller.
    """
    side = 2 ** math.ceil(math.log2(max(x.shape[-2:])))
    field = torch.zeros(len(x), side, side, device=x.device)
    step, reach = side, 1.0
    while step >= 2:
        half = step // 2
        corners = field[:, ::step, ::step]
        sums = corners + corners.roll(-1, 1)
        field[:, half::step, half::step] = _disturbed(x, sums + sums.roll(-1, 2), reach, generator)
        middles = field[:, half::step, half::step]
        beside = middles + middles.roll(1, 1) + corners + corners.roll(-1, 2)
        field[:, ::step, half::step] = _disturbed(x, beside, reach, generator)
        above = middles + middles.roll(1, 2) + corners + corners.roll(-1, 1)
        field[:, half::step, ::step] = _disturbed(x, above, reach, generator)
        step, reach = half, reach / decay**2
    field -= field.amin((1, 2), keepdim=True)
    field /= field.amax((1, 2), keepdim=True)
    return field[:, None, : x.shape[-2], : x.shape[-1]]


def _disturbed(x: Tensor, four: Tensor, reach: float, generator: torch.Generator) -> Tensor:
    return four / 4 + uniform(x, tuple(four.shape), -reach, reach, generator)
