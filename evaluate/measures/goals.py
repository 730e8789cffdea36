"""What a search optimises beyond the scores of a training, measured of the network of its best epoch."""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from cgp.errors import BadInput
from cgp.model import Model
from cgp.network import build
from evaluate.data.images import Images, OnDevice
from evaluate.data.splits import Data
from evaluate.devices.numerics import EVALUATION_BATCH
from evaluate.foreign import Foreign, ForeignCodeChanged, loaded
from evaluate.job import Goal
from evaluate.measures import MEASURES
from evaluate.measures.subject import Subject


class ForeignCodeFailed(Exception):
    """A function of the user's raised, or returned no finite number."""


class NoFiniteNumber(ForeignCodeFailed):
    """A function of the user's returned what is no finite number."""


class Batches:
    """The images of a split as a function of the user's gets them: iterated over, as often as it likes.

    Each batch is normalised images (batch, channels, height, width) and labels (batch,), on the network's device.
    """

    def __init__(self, images: Images) -> None:
        """Hold `images`."""
        self._images = images

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield batches of up to 256 images, always in the same order."""
        for start in range(0, len(self._images), EVALUATION_BATCH):
            yield self._images.batch(slice(start, start + EVALUATION_BATCH))

    def __len__(self) -> int:
        """Number of batches."""
        return -(-len(self._images) // EVALUATION_BATCH)


def measured(goals: Sequence[Goal], subject: Callable[[], Subject], seed: int) -> dict[str, float]:
    """Return the metrics of `goals`, each measured of a `subject` of its own, which it may change.

    Raises ForeignCodeFailed, which names the function, and ForeignCodeChanged where its file is not what it was.
    """
    metrics = dict[str, float]()
    for goal in goals:
        if isinstance(goal, Foreign):
            given = subject()
            metrics[goal.name] = _judged(goal, given.network, given.images.of("validation"), seed)
        else:
            metrics |= MEASURES[goal](subject(), {}, np.random.default_rng(seed)).metrics
    return metrics


def _judged(code: Foreign, network: nn.Module, images: Images, seed: int) -> float:
    torch.manual_seed(seed)
    value = _returned(code, network, Batches(images))
    try:
        number = float(value)
    except (TypeError, ValueError, RuntimeError) as error:  # the last for a tensor of several numbers
        raise NoFiniteNumber(f"{code.name} returned a {type(value).__name__}; expected a finite number") from error
    if not math.isfinite(number):
        raise NoFiniteNumber(f"{code.name} returned {number}; expected a finite number")
    return number


def _returned(code: Foreign, network: nn.Module, images: Batches) -> Any:
    try:
        return loaded(code)(network, images)
    except (ForeignCodeChanged, MemoryError, torch.OutOfMemoryError, torch.AcceleratorError):
        raise
    except (Exception, SystemExit) as error:  # whatever it does, it ends no worker
        said = " ".join(f"{type(error).__name__}: {error}".split())
        raise ForeignCodeFailed(f"{code.name} raised {said}") from error


def try_out(goals: Sequence[Goal], model: Model, data: Data) -> list[str]:
    """Let each function of the user's judge an untrained network here; return what those said that raised.

    Raises BadInput where one returns no finite number.
    """
    said = list[str]()
    images = OnDevice(data, "cpu").of("validation")
    for code in (goal for goal in goals if isinstance(goal, Foreign)):
        try:
            _judged(code, build(model).eval(), images, seed=0)
        except (ForeignCodeChanged, NoFiniteNumber) as error:
            raise BadInput(f"--objectives: {error}") from error
        except ForeignCodeFailed as error:
            said.append(str(error))
    return said
