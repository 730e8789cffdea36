"""The learning-rate finder (Smith 2015, arXiv 1506.01186): what the loss does while the rate rises step by step."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor, nn

from evaluate.data.images import Images
from evaluate.job import Recipe
from evaluate.measures.subject import Measured, Subject
from evaluate.memory.chunks import chunk_of
from evaluate.training.step import Step
from evaluate.training.train import Setting, begin_epoch, fresh_network, make_optimizer, step_on

SMOOTHING = 0.9  #: of the mean so far, what stays at each batch
DIVERGED = 4  #: times the least smoothed loss so far, beyond which the search ends
_SKIPPED = 0.1  #: share of the batches, the first, whose smoothed loss is of too few to be believed


def lr_range(subject: Subject, options: Mapping[str, Any], rng: np.random.Generator) -> Measured:
    """Train the subject's model from fresh weights at a rate that rises, and return what the loss does.

    Of each batch, counted from 1: `rate[N]`, its training `loss[N]` and `smoothed[N]`; `batches`, how many there
    were; `diverged`, 1 where it ended since the loss did; and where there are such rates, `suggested_steepest` and
    `suggested_tenth` (see `suggested`).

    Options: `recipe` and `seed`, by which weights and batches are those with which a training begins; `from`, `to`,
    the first and the last rate, and `batches`, in which the one becomes the other. It ends earlier where the smoothed
    loss exceeds `DIVERGED` times its least, or is no finite number. Raises MemoryError as `chunk_of` does.
    """
    recipe = Recipe(**options["recipe"])
    setting = Setting(recipe, int(options["seed"]), subject.numerics, chunk=chunk_of(subject.model, recipe))
    network = fresh_network(subject.model, setting)
    optimizer = make_optimizer(network, recipe)
    images = subject.images.of("train")
    step = step_on(images, network, optimizer, setting)
    step.begin()
    rates = np.geomspace(float(options["from"]), float(options["to"]), int(options["batches"]))
    losses, means = list[float](), list[float]()
    batches = _batches(images, network, setting)
    for rate, (x, y) in zip(rates.tolist(), batches, strict=False):
        for group in optimizer.param_groups:
            group["lr"] = rate
        losses.append(_loss_of(step, x, y))
        means = smoothed(losses)
        if not means[-1] <= DIVERGED * min(means):
            break
    metrics = {"batches": float(len(losses)), "diverged": float(not means[-1] <= DIVERGED * min(means))}
    for number, row in enumerate(zip(rates.tolist(), losses, means, strict=False), 1):
        metrics |= dict(zip((f"rate[{number}]", f"loss[{number}]", f"smoothed[{number}]"), row, strict=True))
    return Measured(metrics | suggested(rates.tolist(), means))


def smoothed(losses: Sequence[float]) -> list[float]:
    """Return the exponential mean of `losses` up to each, corrected for where it begins, at 0."""
    mean, found = 0.0, list[float]()
    for number, loss in enumerate(losses, 1):
        mean = SMOOTHING * mean + (1 - SMOOTHING) * loss
        found.append(mean / (1 - SMOOTHING**number))
    return found


def suggested(rates: Sequence[float], means: Sequence[float]) -> dict[str, float]:
    """Return rates to train at, of smoothed losses at the first of `rates`; empty where the loss never fell.

    `suggested_steepest` is where it falls fastest over the logarithm of the rate, before its least;
    `suggested_tenth` a tenth of the rate at which it is least.
    """
    first = math.ceil(_SKIPPED * len(rates))
    known = np.array([mean for mean in means if math.isfinite(mean)])
    if len(known) < first + 2 or (least := first + int(known[first:].argmin())) == first:
        return {}
    slopes = np.gradient(known, np.log10(rates[: len(known)]))
    steepest = first + int(slopes[first : least + 1].argmin())
    return {"suggested_steepest": rates[steepest], "suggested_tenth": rates[least] / 10}


def _loss_of(step: Step, x: Tensor, y: Tensor) -> float:
    """Let `step` learn from a batch and return the loss that it had before."""
    before, _ = step.sums()
    step(x, y)
    return step.sums()[0] - before


def _batches(images: Images, network: nn.Module, setting: Setting) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the batches from which a training lets `network` learn, epoch after epoch."""
    batch, epoch = setting.recipe.batch(len(images)), 0
    while True:
        begin_epoch(network, setting, epoch)
        yield from images.epoch(setting.seed, epoch, batch, setting.recipe.augment)
        epoch += 1
