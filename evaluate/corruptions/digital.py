"""What processing does: contrast, colour, compression, coarse pixels, stretching."""

import io

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from evaluate.corruptions.sampling import places, sampled, smooth, uniform

_CONTRAST = (0.75, 0.5, 0.4, 0.3, 0.15)
_BRIGHTNESS = (0.05, 0.1, 0.15, 0.2, 0.3)  # added to the value
_SATURATE = ((0.3, 0.0), (0.1, 0.0), (1.5, 0.0), (2.0, 0.1), (2.5, 0.2))  # saturation times, plus
_QUALITY = (80, 65, 58, 50, 40)
_PIXELATE = (0.95, 0.9, 0.85, 0.75, 0.65)  # of the size
_ELASTIC = ((0, 0, 0.08), (0.05, 0.2, 0.07), (0.08, 0.06, 0.06), (0.1, 0.04, 0.05), (0.1, 0.03, 0.03))  # x size: ...
_TRUNCATE = 3.0  # ... strength, smoothing (cut off at so many standard deviations), reach of the affine part


def contrast(x: Tensor, severity: int, generator: torch.Generator) -> Tensor:
    """Draw every value towards the mean of its channel."""
    mean = x.mean((2, 3), keepdim=True)
    return (x - mean) * _CONTRAST[severity - 1] + mean


def brightness(x: Tensor, severity: int, generator: torch.Generator) -> Tensor:
    """Raise the value of HSV."""
    value = x.amax(1, keepdim=True)
    raised = (value + _BRIGHTNESS[severity - 1]).clamp(0, 1)
    return torch.where(value > 0, x * raised / value.clamp(min=1e-9), raised)


def saturate(x: Tensor, severity: int, generator: torch.Generator) -> Tensor:
    """Change the saturation of HSV; what is grey turns red where that adds to it. Images of one channel stay."""
    if x.shape[1] != 3:
        return x
    times, plus = _SATURATE[severity - 1]
    value, chroma = x.amax(1, keepdim=True), x.amax(1, keepdim=True) - x.amin(1, keepdim=True)
    wanted = (chroma / value.clamp(min=1e-9) * times + plus).clamp(0, 1)
    red = torch.tensor((0.0, 1.0, 1.0), device=x.device, dtype=x.dtype).view(1, 3, 1, 1)
    missing = torch.where(chroma > 0, (value - x) / chroma.clamp(min=1e-9), red)  # 0..1, how far below the value
    return value * (1 - wanted * missing)


def jpeg_compression(x: Tensor, severity: int, generator: torch.Generator) -> Tensor:
    """Write and read each image as JPEG, on the CPU; channels that are not three, one by one."""
    pixels = (x.clamp(0, 1) * 255).round().to(torch.uint8).cpu()
    colour = pixels.shape[1] == 3
    flat = (pixels.permute(0, 2, 3, 1) if colour else pixels.flatten(0, 1)).numpy()
    read = torch.from_numpy(np.stack([_written_and_read(one, _QUALITY[severity - 1]) for one in flat]))
    found = read.permute(0, 3, 1, 2) if colour else read.view_as(pixels)
    return found.to(x.device, x.dtype) / 255


def _written_and_read(pixels: np.ndarray, quality: int) -> np.ndarray:
    written = io.BytesIO()
    Image.fromarray(pixels).save(written, "JPEG", quality=quality)
    with Image.open(written) as read:
        return np.asarray(read)


def pixelate(x: Tensor, severity: int, generator: torch.Generator) -> Tensor:
    """Shrink and enlarge again, each new pixel the mean of those under it."""
    for side in (2, 3):
        size = x.shape[side]
        small = max(1, int(size * _PIXELATE[severity - 1]))
        both = _boxes(size, small) @ _boxes(small, size)
        x = torch.tensordot(x, both.to(x.device, x.dtype), ([side], [0])).movedim(-1, side)
    return x


def _boxes(before: int, after: int) -> Tensor:
    """Return, as (before, after), the share of each pixel in each of a line that is resized by means."""
    ratio = before / after
    reach = max(ratio, 1.0) / 2
    shares = torch.zeros(before, after)
    for place in range(after):
        middle = (place + 0.5) * ratio
        first, last = max(int(middle - reach + 0.5), 0), min(int(middle + reach + 0.5), before)
        shares[first:last, place] = 1 / (last - first)
    return shares


def elastic_transform(x: Tensor, severity: int, generator: torch.Generator) -> Tensor:
    """Move three points a little and all others with them; then move each pixel, neighbours alike."""
    size = min(x.shape[-2:])
    strength, smoothing, reach = (constant * size for constant in _ELASTIC[severity - 1])
    x = _sheared(x, reach, generator)
    if strength == 0:
        return x
    shifts = uniform(x, (len(x), 2, *x.shape[-2:]), -1, 1, generator)
    shifts = strength * smooth(shifts, smoothing, _TRUNCATE)
    rows, columns = places(x)
    return sampled(x, rows + shifts[:, 0], columns + shifts[:, 1], "reflection")


def _sheared(x: Tensor, reach: float, generator: torch.Generator) -> Tensor:
    """Return what an affine map makes that moves three points around the middle by up to `reach` pixels."""
    height, width = x.shape[-2:]
    arm = min(height, width) // 3
    corners = ((arm, arm), (arm, -arm), (-arm, -arm))
    before = torch.tensor([(height // 2 + down, width // 2 + right, 1.0) for down, right in corners], device=x.device)
    after = before[None, :, :2] + uniform(x, (len(x), 3, 2), -reach, reach, generator)
    after = torch.cat([after, torch.ones_like(after[..., :1])], -1)
    back = torch.linalg.solve(after, before[None, :, :2].expand(len(x), -1, -1))  # where a pixel comes from
    rows, columns = places(x)
    from_rows, from_columns = (
        back[:, 0, n, None, None] * rows + back[:, 1, n, None, None] * columns + back[:, 2, n, None, None]
        for n in (0, 1)
    )
    return sampled(x, from_rows, from_columns, "reflection")
