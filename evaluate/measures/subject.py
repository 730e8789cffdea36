"""What a measure is given, and what it returns."""

from dataclasses import dataclass, field
from pathlib import Path

from torch import nn

from evaluate.data.images import OnDevice
from evaluate.devices.numerics import Numerics


@dataclass(frozen=True)
class Subject:
    """A trained network with what it is measured on."""

    network: nn.Module  #: on its device
    images: OnDevice  #: `images.of("test")`, on the same device
    numerics: Numerics
    folder: Path  #: where artifacts go


@dataclass(frozen=True)
class Measured:
    """Numbers by name, and the names of the files that were written."""

    metrics: dict[str, float]
    artifacts: list[str] = field(default_factory=list)
