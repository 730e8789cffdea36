"""How images are prepared for a network, and what its classes are called: every checkpoint says it. No torch."""

from dataclasses import dataclass
from typing import Any, NamedTuple

from cgp.errors import BadInput
from cgp.layers import Shape
from evaluate.data.splits import Data
from evaluate.job import PREPROCESSINGS, DataSpec


class Contrast(NamedTuple):
    """Constants of global contrast normalisation, for pixels on the scale 0..255."""

    scale: float = 1.0  #: of what comes out
    bias: float = 10.0  #: is added to the mean of squares, lambda
    least: float = 1e-8  #: that images are divided by, epsilon


CONTRAST = Contrast()


@dataclass(frozen=True)
class Preparation:
    """What turns an image into what a network was trained on, and its answer into a name."""

    shape: Shape
    mean: tuple[float, ...]  #: per channel, on the scale 0..255
    std: tuple[float, ...]
    classes: tuple[str, ...]
    files: str  #: in words, how image files became pixels
    fingerprint: str  #: of the images; see `Data`
    preprocess: str = "standard"  #: as of a `DataSpec`

    @classmethod
    def of(cls, data: Data, spec: DataSpec) -> "Preparation":
        """Return how the images of `data`, which `spec` names, were prepared."""
        files = _FOLDER if spec.name.startswith("folder:") else f"as {spec.name} has them"
        if spec.image_size:
            files += f", cropped to the centre square and scaled to {spec.image_size} pixels a side (bicubic)"
        return cls(data.shape, data.mean, data.std, tuple(data.classes), files, data.fingerprint, data.preprocess)

    @property
    def contrast(self) -> bool:
        """Whether each image is normalised by its own mean and contrast, instead of all by their channels'."""
        return PREPROCESSINGS[self.preprocess].contrast

    @property
    def whitened(self) -> bool:
        """Whether images are whitened, by a matrix that is too large to be said here."""
        return PREPROCESSINGS[self.preprocess].whitened

    def to_json(self) -> dict[str, Any]:
        """Return a plain value that `from_json` reads."""
        return {
            **self.shape._asdict(),
            "mean": list(self.mean),
            "std": list(self.std),
            "classes": list(self.classes),
            "files": self.files,
            "fingerprint": self.fingerprint,
            **({} if self.preprocess == "standard" else {"preprocess": self.preprocess}),
            **({"contrast": CONTRAST._asdict()} if self.contrast else {}),
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Preparation":
        """Read what `to_json` made. Raises BadInput for anything else."""
        try:
            shape = Shape(*(int(value[name]) for name in Shape._fields))
            mean, std = (tuple(map(float, value[name])) for name in ("mean", "std"))
            classes = tuple(map(str, value["classes"]))
            preprocess = str(value.get("preprocess", "standard"))
            return cls(shape, mean, std, classes, str(value["files"]), str(value["fingerprint"]), preprocess)
        except (KeyError, TypeError, ValueError) as error:
            raise BadInput(f"not how images are prepared: {error!r}; expected what a training wrote") from error


_FOLDER = "turned as the camera was held (EXIF) and read as RGB, or as grey where all were"
