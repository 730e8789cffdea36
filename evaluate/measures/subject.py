"""What a measure is given, and what it returns."""

from dataclasses import dataclass, field
from pathlib import Path

from torch import nn

from cgp.model import Model
from evaluate.data.images import OnDevice
from evaluate.devices.numerics import Numerics


@dataclass(frozen=True)
class Subject:
    """A trained network with what it is measured on."""

    model: Model  #: what the network was built from
    network: nn.Module  #: on its device
    images: OnDevice  #: `images.of("test")`, on the same device
    numerics: Numerics
    folder: Path  #: where artifacts go, and checkpoints of a measure that trains
    source: Path = Path()  #: model folder of the trained network
    stop_file: Path | None = None  #: when it exists, a measure that trains stops after the epoch's checkpoint


@dataclass(frozen=True)
class Measured:
    """Numbers by name, and the names of the files that were written."""

    metrics: dict[str, float]
    artifacts: list[str] = field(default_factory=list)
