"""Training, from a network and images to a learning curve. Reads top to bottom."""

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer
from torch.optim import lr_scheduler as schedules
from torch.optim.lr_scheduler import LRScheduler

from cgp.model import Model
from cgp.network import Network, build
from evaluate.data.images import Images
from evaluate.devices.numerics import EVALUATION_BATCH, Numerics
from evaluate.job import Recipe
from evaluate.metrics import best_epoch
from evaluate.training.activations import recorder
from evaluate.training.checkpoint import ModelFolder
from evaluate.training.criterion import criterion_of
from evaluate.training.initialise import initialise
from evaluate.training.limit import regularity, set_rate
from evaluate.training.step import Step, make_step

Row = dict[str, float]
_DROPS = 2  # kind of random stream, beside those of evaluate/data/images.py


class Diverged(ArithmeticError):
    """The loss is no longer a finite number."""


@dataclass(frozen=True)
class Setting:
    """What, beside network and images, decides the outcome of a training."""

    recipe: Recipe
    seed: int
    numerics: Numerics
    until: int | None = None  #: epoch after which to pause; None: train to the end
    backbone_rate: float = 1.0  #: learning rate of all but the head, as a share of the recipe's
    chunk: int | None = None  #: images that go through the network at once; None: the whole batch
    chance: float = 0.0  #: accuracy of guessing, by which a training is abandoned


def fresh_network(model: Model, setting: Setting) -> nn.Module:
    """Return the network of `model` on its device, initialised by recipe and seed alone."""
    torch.default_generator.manual_seed(setting.seed)  # the CPU's alone: the network is made there
    network = build(model)
    initialise(network, setting.recipe.init, setting.recipe.init_beta)
    if isinstance(network, Network):
        network.head_drop.p = setting.recipe.dropout
    return setting.numerics.place(network)


def train(
    network: nn.Module, images: Images, validation: Images | None, setting: Setting, folder: ModelFolder
) -> list[Row]:
    """Train `network` in place and return the curve, one row per epoch.

    Goes on from the last epoch in `folder`, up to the epoch where `setting` says to pause. Each
    epoch's order and augmentation come from (seed, epoch) alone, so an interrupted training ends in
    the same weights. Raises Diverged, or Interrupted when the run stops.
    """
    recipe = setting.recipe
    batch = recipe.batch(len(images))
    optimizer = make_optimizer(network, recipe, setting.backbone_rate)
    steps = len(images) // batch
    scheduler = make_schedule(optimizer, recipe, steps)
    step = step_on(images, network, optimizer, setting)
    curve = folder.resume(network, optimizer, scheduler)
    watching = recorder(network, images, validation, setting.numerics, folder) if recipe.record else None

    while len(curve) < (setting.until or recipe.epochs) and not ended_early(curve, setting):
        started = time.perf_counter()
        set_rate(optimizer, network, recipe, curve)
        row: Row = {"epoch": len(curve) + 1, "lr": float(optimizer.param_groups[-1]["lr"])}
        step.begin()
        begin_epoch(network, setting, len(curve))
        for x, y in images.epoch(setting.seed, len(curve), batch, recipe.augment):
            step(x, y)
            scheduler.step()

        loss, correct = step.sums()
        row["train_loss"] = loss / steps
        if step.criterion.classifies:
            row["train_accuracy"] = correct / (steps * batch)
        row |= step.slopes(steps * batch) | regularity(network)
        if validation is not None:
            row |= {f"val_{name}": value for name, value in score(network, validation, setting.numerics).items()}
        row["seconds"] = time.perf_counter() - started
        if not all(map(math.isfinite, row.values())):
            raise Diverged(f"epoch {len(curve) + 1}: loss is not finite")
        curve.append(row)
        if watching:
            watching.note(len(curve))
        folder.keep(network, optimizer, scheduler, curve, best=best_epoch(curve) is row)
    return curve


def step_on(images: Images, network: nn.Module, optimizer: Optimizer, setting: Setting) -> Step:
    """Return the step by which `network` learns from batches of `images`."""
    step = make_step(network, optimizer, setting.recipe, setting.numerics)
    step.chunk = setting.chunk
    step.criterion = criterion_of(images.power, setting.recipe.label_smoothing)
    return step


def begin_epoch(network: nn.Module, setting: Setting, epoch: int) -> None:
    """Put `network` in training mode, but for batch normalisation that is frozen: that keeps its statistics.

    What the epoch drops comes from (seed, epoch) alone, so that an interrupted training ends in the same weights.
    """
    if setting.recipe.dropout:
        state = np.random.SeedSequence([setting.seed, _DROPS, epoch]).generate_state(1, np.uint64)
        torch.manual_seed(int(state[0] >> 1))
    network.train()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d) and not module.weight.requires_grad:
            module.eval()


@torch.no_grad()
def score(network: nn.Module, images: Images, numerics: Numerics) -> dict[str, float]:
    """Return `accuracy` (fraction) and `loss` (mean cross-entropy) of `network` on all `images`.

    Of a regression there is no accuracy, and the loss is the mean power of the error.
    """
    criterion = criterion_of(images.power)
    correct = torch.zeros((), dtype=torch.int64, device=images.labels.device)
    total = torch.zeros((), dtype=torch.float64, device=images.labels.device)
    for logits, y in outputs(network, images, numerics):
        if criterion.classifies:
            correct += (logits.argmax(1) == y).sum()
        total += criterion.loss(logits.float(), y, "sum")
    accuracy = {"accuracy": int(correct) / len(images)} if criterion.classifies else {}
    return accuracy | {"loss": float(total) / len(images)}


@torch.no_grad()
def outputs(network: nn.Module, images: Images, numerics: Numerics) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the logits (batch, classes) and the labels (batch,) of all `images`, in evaluation mode."""
    network.eval()
    size = numerics.scored or EVALUATION_BATCH
    for start in range(0, len(images), size):
        x, y = images.batch(slice(start, start + size))
        with numerics.autocast():
            logits = network(x)
        yield logits, y


def ended_early(curve: list[Row], setting: Setting) -> bool:
    """Whether the recipe ends a training here, before its last epoch: out of patience, or abandoned."""
    return out_of_patience(curve, setting.recipe.patience) or abandoned(curve, setting.recipe.abandon, setting.chance)


def abandoned(curve: list[Row], epochs: int, chance: float) -> bool:
    """Whether no epoch of `epochs` or more validates at twice `chance`; never with 0, nor without validation."""
    if not epochs or len(curve) < epochs or "val_accuracy" not in curve[-1]:
        return False
    return best_epoch(curve)["val_accuracy"] < 2 * chance


def out_of_patience(curve: list[Row], patience: int) -> bool:
    """Whether the best validation lies at least `patience` epochs back; never with patience 0."""
    return bool(patience and curve) and len(curve) - best_epoch(curve)["epoch"] >= patience


def make_optimizer(network: nn.Module, recipe: Recipe, backbone_rate: float = 1.0) -> Optimizer:
    """Return the recipe's optimizer of what is not frozen; weight decay spares batch normalisation and biases.

    All but the head learns at `backbone_rate` times the recipe's rate. The head's groups are the last.
    """
    named = [(name, parameter) for name, parameter in network.named_parameters() if parameter.requires_grad]
    parts = [(1.0, named)]
    if backbone_rate != 1.0:
        head = [pair for pair in named if pair[0].startswith("head.")]
        parts = [(backbone_rate, [pair for pair in named if not pair[0].startswith("head.")]), (1.0, head)]
    groups = list[dict[str, Any]]()
    for rate, own in parts:
        weights: list[Tensor] = [p for _, p in own if p.ndim > 1]
        others: list[Tensor] = [p for _, p in own if p.ndim <= 1]
        groups.append({"params": weights, "weight_decay": recipe.weight_decay, "lr": recipe.lr * rate})
        groups.append({"params": others, "weight_decay": 0.0, "lr": recipe.lr * rate})
    groups = [group for group in groups if group["params"]]
    if recipe.optimizer == "sgd":
        nesterov = recipe.momentum > 0
        return SGD(groups, recipe.lr, momentum=recipe.momentum, nesterov=nesterov, fused=True)
    kind = Adam if recipe.optimizer == "adam" else AdamW
    return kind(groups, recipe.lr, fused=True)


def make_schedule(optimizer: Optimizer, recipe: Recipe, steps: int) -> LRScheduler:
    """Return the recipe's schedule, stepped after each of `steps` batches of an epoch.

    Of `variation` it keeps the rate that each epoch is given (evaluate/training/limit.py).
    """
    total = recipe.epochs * steps
    if recipe.schedule == "onecycle":
        rates = [group["lr"] for group in optimizer.param_groups]
        return schedules.OneCycleLR(optimizer, rates, total_steps=total + 1, cycle_momentum=False)
    if recipe.schedule == "cosine":
        return schedules.CosineAnnealingLR(optimizer, total)
    if recipe.schedule == "sgdr":
        return schedules.LambdaLR(optimizer, lambda step: _warm_restarts(15 * step / total))
    if recipe.schedule == "step":
        return schedules.MultiStepLR(optimizer, [round(0.6 * total)], gamma=0.1)
    return schedules.ConstantLR(optimizer, factor=1.0, total_iters=0)


def _warm_restarts(fifteenths: float) -> float:
    """Return the share of the highest rate after `fifteenths` of a run.

    Loshchilov and Hutter 2016: cosine cycles that begin at 0, 1, 3 and 7, and each end at 0.001.
    """
    length = 2 ** min(3, int(math.log2(fifteenths + 1)))
    position = (fifteenths + 1 - length) / length
    return 0.001 + 0.999 * (1 + math.cos(math.pi * position)) / 2
