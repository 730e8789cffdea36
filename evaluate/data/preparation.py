"""How images are prepared for a network, and what its classes are called: every checkpoint says it. No torch."""

from dataclasses import dataclass
from typing import Any

from cgp.errors import BadInput
from cgp.layers import Shape
from evaluate.data.splits import Data
from evaluate.job import DataSpec


@dataclass(frozen=True)
class Preparation:
    """What turns an image into what a network was trained on, and its answer into a name."""

    shape: Shape
    mean: tuple[float, ...]  #: per channel, on the scale 0..255
    std: tuple[float, ...]
    classes: tuple[str, ...]
    files: str  #: in words, how image files became pixels
    fingerprint: str  #: of the images; see `Data`

    @classmethod
    def of(cls, data: Data, spec: DataSpec) -> "Preparation":
        """Return how the images of `data`, which `spec` names, were prepared."""
        files = _FOLDER if spec.name.startswith("folder:") else f"as {spec.name} has them"
        if spec.image_size:
            files += f", cropped to the centre square and scaled to {spec.image_size} pixels a side (bicubic)"
        return cls(data.shape, data.mean, data.std, tuple(data.classes), files, data.fingerprint)

    def to_json(self) -> dict[str, Any]:
        """Return a plain value that `from_json` reads."""
        return {
            **self.shape._asdict(),
            "mean": list(self.mean),
            "std": list(self.std),
            "classes": list(self.classes),
            "files": self.files,
            "fingerprint": self.fingerprint,
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Preparation":
        """Read what `to_json` made. Raises BadInput for anything else."""
        try:
            shape = Shape(*(int(value[name]) for name in Shape._fields))
            mean, std = (tuple(map(float, value[name])) for name in ("mean", "std"))
            classes = tuple(map(str, value["classes"]))
            return cls(shape, mean, std, classes, str(value["files"]), str(value["fingerprint"]))
        except (KeyError, TypeError, ValueError) as error:
            raise BadInput(f"not how images are prepared: {error!r}; expected what a training wrote") from error


_FOLDER = "turned as the camera was held (EXIF) and read as RGB, or as grey where all were"
