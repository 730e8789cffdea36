"""What a search will cost, before it is begun: seconds by timing training steps, bytes by counting."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch

from cgp.model import Model
from evaluate.devices.numerics import Numerics
from evaluate.job import Recipe
from evaluate.memory.chunks import chunk_tried
from evaluate.memory.footprint import OPTIMIZER_COPIES
from evaluate.training.step import Step
from evaluate.training.train import Setting, fresh_network, make_optimizer

_SMALLEST = 2  # images of a batch; batch normalisation wants more than one
_MOST = 5  # steps of one model that are timed


@dataclass(frozen=True)
class Sample:
    """What a worker is sent to be timed: models, and how they would be trained."""

    models: tuple[Model, ...]
    recipe: Recipe
    images: int  #: of an epoch, which no batch exceeds
    device: str  #: `cpu` or `cuda`, as the worker sees it
    seconds: float  #: in which it should be done; the first model is timed whatever it takes


class TimedStep(NamedTuple):
    """A training step of one model."""

    model: Model
    batch: int  #: images
    seconds: float
    startup: float  #: seconds that building the network and its first step took beyond that


def time_steps(sample: Sample) -> list[TimedStep]:
    """Train each model of `sample` for a few steps on noise, and return how long the shortest step took.

    A batch that would take longer than the model's share of the time is halved until it does not; models
    for which no time is left are left out.
    """
    ends = time.perf_counter() + sample.seconds
    timed, rate = list[TimedStep](), 0.0  # rate: seconds per forward FLOP, overhead included, of the one before
    for n, model in enumerate(sample.models):
        allowance = (ends - time.perf_counter()) / (len(sample.models) - n)
        if timed and allowance < 2 * rate * model.flops * _SMALLEST:
            continue
        if not timed:
            rate = _first_rate(model, sample)
        trial = _Trial(model, sample)
        batch = sample.recipe.batch(sample.images)
        while batch > _SMALLEST and 2 * rate * model.flops * batch > allowance:
            batch = max(_SMALLEST, batch // 2)
        first = trial.step(batch)  # allocates
        steps = list(trial.steps(batch, ends - (len(sample.models) - n - 1) * allowance))
        taken = min(steps)  # what takes longer was held up, at this moment, by something else
        timed.append(TimedStep(model, batch, taken, trial.building + max(0.0, first - taken)))
        rate = taken / (model.flops * batch)
    return timed


def _first_rate(model: Model, sample: Sample) -> float:
    """Return seconds per forward FLOP in the smallest batch, once this process has done what it does only once."""
    trial = _Trial(model, sample)
    trial.step(_SMALLEST)
    return min(trial.step(_SMALLEST) for _ in range(2)) / (model.flops * _SMALLEST)


class _Trial:
    """A network that is trained on noise."""

    def __init__(self, model: Model, sample: Sample) -> None:
        began = time.perf_counter()
        numerics = Numerics(sample.device, sample.recipe.precision)
        network = fresh_network(model, Setting(sample.recipe, 0, numerics))
        self._step = Step(network, make_optimizer(network, sample.recipe), sample.recipe, numerics)
        self._step.chunk = chunk_tried(model, sample.recipe)
        self._model, self._device = model, sample.device
        self.building = time.perf_counter() - began

    def step(self, batch: int) -> float:
        """Train on `batch` images and return the seconds that it took."""
        x = torch.randn(batch, *self._model.image, device=self._device).contiguous(memory_format=torch.channels_last)
        y = torch.zeros(batch, dtype=torch.int64, device=self._device)
        began = time.perf_counter()
        self._step(x, y)
        self._step.sums()  # waits for the device
        return time.perf_counter() - began

    def steps(self, batch: int, until: float) -> Iterator[float]:
        """Yield the seconds of steps: one, and as many more as end before `until`."""
        for _ in range(_MOST):
            taken = self.step(batch)
            yield taken
            if time.perf_counter() + taken > until:
                return


def forecast_bytes(model: Model, recipe: Recipe, keep_epochs: int = 0) -> int:
    """Return the bytes of a model's checkpoints: best weights, last weights, optimizer state.

    And those of every `keep_epochs`th epoch and of the beginning, unless it is 0.
    """
    kept = 1 + recipe.epochs // keep_epochs if keep_epochs else 0
    return 4 * model.params * (2 + OPTIMIZER_COPIES[recipe.optimizer] + kept)
