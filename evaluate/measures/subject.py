"""What a measure is given, and what it returns."""

from dataclasses import dataclass, field
from pathlib import Path

from torch import nn

from evaluate.data.images import Images
from evaluate.data.splits import Data
from evaluate.devices.numerics import Numerics


@dataclass(frozen=True)
class Subject:
    """A trained network with what it is measured on."""

    network: nn.Module  #: on its device
    data: Data
    numerics: Numerics
    folder: Path  #: where artifacts go

    def images(self, split: str) -> Images:
        """Return the images of `train`, `validation` or `test`, on the network's device."""
        return Images.of(self.data, (split,), self.numerics.device)


@dataclass(frozen=True)
class Measured:
    """Numbers by name, and the names of the files that were written."""

    metrics: dict[str, float]
    artifacts: list[str] = field(default_factory=list)
