"""The source of a network with all that it takes to name what an image shows: one module that needs torch alone.

What comes from a run (the names of classes) is written as literals, so that it is never code.
"""

from collections.abc import Sequence

from cgp.source import IMPORTS, definition
from evaluate.data.preparation import CONTRAST, Preparation
from populations.exporting.carried import Carried

MODEL, WEIGHTS = "model.py", "weights.safetensors"  # names of the files
WHITENING = "whitening.safetensors"  # of what whitens the images, where it is there

_HEAD = '''"""Classifies images with a network that evolution found (cgp-evolve).

    python {name} IMAGE ...

`predict(image)` returns the probability of each class. Needs torch, {weights} beside it, and Pillow to read
image files.
"""

import json
import math
import sys
from functools import cache
from os import PathLike
from pathlib import Path
from typing import Any

{imports}
MODEL = {id!r}
PREPARED = {files!r}  # how the files it was trained on became pixels
INPUT = {input}  # channels, height and width of an image
MEAN = {mean}  # of each channel, on the scale 0..255
STD = {std}
CLASSES = {classes}


'''
_USE = '''

def load() -> Network:
    """Return the network with its trained weights, ready to predict."""
    network = Network()
    network.load_state_dict(read_weights(Path(__file__).with_name({weights!r})))
    return network.eval()


def read_weights(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a safetensors file: eight bytes hold the length of its header, which is JSON."""
    data = bytearray(path.read_bytes())
    start = 8 + int.from_bytes(data[:8], "little")
    kinds = {{"F32": torch.float32, "I64": torch.int64}}
    tensors = {{}}
    for name, about in json.loads(data[8:start]).items():
        if name != "__metadata__":
            kind, shape, begin = kinds[about["dtype"]], about["shape"], about["data_offsets"][0]
            flat = torch.frombuffer(data, dtype=kind, count=math.prod(shape), offset=start + begin)
            tensors[name] = flat.reshape(shape)
    return tensors


def predict(image: Any) -> dict[str, float]:
    """Return the probability of each class, the most probable first; `image` is what `prepare` takes."""
    with torch.inference_mode():
        found = _loaded()(prepare(image)[None]).softmax(1)[0]
    return {{CLASSES[n]: float(found[n]) for n in found.argsort(descending=True).tolist()}}


@cache
def _loaded() -> Network:
    return load()


def prepare(image: Any) -> Tensor:
    """Return an image as the network reads it, normalised.

    `image` is the path of a file, an image of Pillow's, or a uint8 tensor of the shape INPUT.
    """
    pixels = image if isinstance(image, Tensor) else _pixels(image)
    if pixels.dtype != torch.uint8 or tuple(pixels.shape) != INPUT:
        raise ValueError(f"pixels are {{pixels.dtype}} of shape {{tuple(pixels.shape)}}; expected uint8 of {{INPUT}}")
{prepare}


def _pixels(image: Any) -> Tensor:
    """Return the pixels of a file or image: turned as its camera was held, cropped to the centre, scaled to INPUT."""
    from PIL import Image, ImageOps

    if isinstance(image, str | PathLike):
        with Image.open(image) as opened:
            return _pixels(opened)
    channels, height, width = INPUT
    fitted = ImageOps.fit(ImageOps.exif_transpose(image).convert("RGB"), (width, height))
    if channels == 1:
        fitted = fitted.convert("L")
    flat = torch.frombuffer(bytearray(fitted.tobytes()), dtype=torch.uint8)
    return flat.reshape(height, width, channels).permute(2, 0, 1)


if __name__ == "__main__":
    for path in sys.argv[1:]:
        name, probability = next(iter(predict(path).items()))
        print(f"{{path}}: {{name}} ({{probability:.3f}})")
'''


_STANDARD = """    mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (MEAN, STD))
    x = (pixels.float() - mean) / std"""
_CONTRAST = """    x = pixels.float() - pixels.float().mean()  # its own mean and contrast, not MEAN and STD
    x = {scale} * x / ({bias} + x.square().mean()).sqrt().clamp(min={least})"""
_WHITENED = '''    whitening = _whitening()
    return ((x.flatten() - whitening[0]) @ whitening[1:]).view(INPUT)


@cache
def _whitening() -> Tensor:
    """Return the mean of the training images, and behind it the matrix that whitens them."""
    return read_weights(Path(__file__).with_name({whitening!r}))["whitening"]'''


def standalone(carried: Carried) -> str:
    """Return the source of a module with the network of `carried`, `load()` and `predict(image)`.

    The module reads the weights beside it, see `WEIGHTS`.
    """
    images = carried.images
    head = _HEAD.format(
        id=carried.id, name=MODEL, weights=WEIGHTS, files=images.files, imports=IMPORTS, input=tuple(images.shape),
        mean=list(images.mean), std=list(images.std), classes=_listed(images.classes),
    )  # fmt: skip
    return head + definition(carried.graph) + _USE.format(weights=WEIGHTS, prepare=_prepare(images))


def _prepare(images: Preparation) -> str:
    """Return the last lines of `prepare`: what is made of `pixels`."""
    made = _CONTRAST.format(**CONTRAST._asdict()) if images.contrast else _STANDARD
    return f"{made}\n{_WHITENED.format(whitening=WHITENING) if images.whitened else '    return x'}"


def _listed(names: Sequence[str]) -> str:
    """Return the literal of a list, on one line where it fits."""
    line = repr(list(names))
    return line if len(line) <= _ROOM else "[\n" + "".join(f"    {name!r},\n" for name in names) + "]"


_ROOM = 100
