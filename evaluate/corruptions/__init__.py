"""The 19 corruptions of CIFAR-10-C at five severities (Hendrycks and Dietterich 2019, arXiv 1903.12261), in batches.

noise     of the sensor           blur      of the lens, of motion, of glass
weather   fog, frost, snow, water  digital   contrast, colour, compression, pixels, elastic
sampling  shifts, zooms, smoothing and random fields that several of them need

Constants are those for 32 x 32 pixels; lengths grow with the side of the image. A corruption is a function of images
(count, channels, height, width) on 0..1, a severity and a generator on their device, from which all randomness comes.
To add one: write it in its file, and enter it in `CORRUPTIONS`.
"""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from evaluate.corruptions import blur, digital, noise, weather

SEVERITIES = (1, 2, 3, 4, 5)

#: By name, in the alphabetical order of the published files.
CORRUPTIONS: Mapping[str, Callable[[Tensor, int, torch.Generator], Tensor]] = {
    "brightness": digital.brightness,
    "contrast": digital.contrast,
    "defocus_blur": blur.defocus_blur,
    "elastic_transform": digital.elastic_transform,
    "fog": weather.fog,
    "frost": weather.frost,
    "gaussian_blur": blur.gaussian_blur,
    "gaussian_noise": noise.gaussian_noise,
    "glass_blur": blur.glass_blur,
    "impulse_noise": noise.impulse_noise,
    "jpeg_compression": digital.jpeg_compression,
    "motion_blur": blur.motion_blur,
    "pixelate": digital.pixelate,
    "saturate": digital.saturate,
    "shot_noise": noise.shot_noise,
    "snow": weather.snow,
    "spatter": weather.spatter,
    "speckle_noise": noise.speckle_noise,
    "zoom_blur": blur.zoom_blur,
}


def corrupted(images: Tensor, name: str, severity: int, generator: torch.Generator) -> Tensor:
    """Return `images`, uint8 (count, channels, height, width), corrupted by `name` at `severity`, 1 to 5, as uint8.

    Values are clipped, then rounded. `generator` is on the device of the images; the same one gives the same images.
    Raises KeyError for an unknown name and ValueError for a severity that is none.
    """
    if severity not in SEVERITIES:
        raise ValueError(f"severity {severity}; expected 1 to 5")
    changed = CORRUPTIONS[name](images.float() / 255, severity, generator)
    return (changed.clamp(0, 1) * 255).round().to(torch.uint8)
