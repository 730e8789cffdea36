"""The memory that a training will take, predicted from its model."""

import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from cgp.model import Model
from cgp.network import build
from evaluate.devices.numerics import EVALUATION_BATCH
from evaluate.job import Recipe

OPTIMIZER_COPIES = {"sgd": 1, "adam": 2, "adamw": 2}  #: of the weights, in the optimizer's state
PROCESS_BYTES = {"cpu": 350 * 2**20, "cuda": 600 * 2**20}  #: of one more worker at most: libraries; CUDA context


def predicted_bytes(model: Model, recipe: Recipe) -> int:
    """Predict the most that training, validating and checkpointing `model` take at once.

    That is what tensors hold, and what a convolution has beside them: its weights and their gradient once more,
    in an order of its own. The file that a training goes on from is not counted: the system can drop its pages. Nor
    are workspaces that cuDNN takes where they are free, and does without where not: on an H200, 2.8 GB in fp32 for
    convolutions from 1,024 to 1,024 channels.
    """
    return held_bytes(model, recipe) + 2 * _largest(model)


def held_bytes(model: Model, recipe: Recipe) -> int:
    """Return the most bytes that tensors hold at once while `model` is trained, validated and checkpointed.

    Weights and the optimizer's state are always there, gradients from a step's way back until the next step. The
    passes run on the meta device, which computes shapes alone.
    """
    half = recipe.precision in ("bf16", "fp16")
    weights = 4 * model.params
    halves = weights // 2 if half else 0  # of the weights, from one pass on them to its end
    unconverted = weights // 2 if half else 0  # what gradients take more than the pass, all in half, has booked
    training = _peak(model, recipe.batch_size, half, True) + halves + unconverted
    validating = _peak(model, EVALUATION_BATCH, half, False) + halves + weights
    checkpointing = weights + _largest(model)
    return weights * (1 + OPTIMIZER_COPIES[recipe.optimizer]) + max(training, validating, checkpointing)


def _largest(model: Model) -> int:
    """Return the bytes of the largest tensor of weights; a checkpoint copies one after another."""
    with torch.device("meta"):
        return max(parameter.nbytes for parameter in build(model).parameters())


def _peak(model: Model, batch: int, half: bool, training: bool) -> int:
    """Return the most bytes that a pass over `batch` images, with the way back when `training`, holds at once."""
    kind = torch.bfloat16 if half else torch.float32
    ledger = _Ledger()
    with torch.device("meta"):
        network = build(model).to(kind).train(training)
        with ledger, torch.set_grad_enabled(training):
            images, y = torch.empty(batch, *model.image), torch.empty(batch, dtype=torch.int64)
            logits = network(images.to(kind))
            if training:
                functional.cross_entropy(logits.float(), y).backward()
    return ledger.peak


class _Ledger(TorchDispatchMode):
    """Adds up the storages that operators make, until each is freed."""

    def __init__(self) -> None:
        TorchDispatchMode.__init__(self)
        self.peak = self._now = 0  # bytes
        self._known: weakref.WeakSet[torch.UntypedStorage] = weakref.WeakSet()

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run `func` and book what it allocated."""
        kwargs = kwargs or {}
        given = {leaf.untyped_storage() for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)}
        result = func(*args, **kwargs)
        made = {leaf.untyped_storage() for leaf in tree_leaves(result) if isinstance(leaf, Tensor)}
        for storage in made - given - set(self._known):
            self._known.add(storage)
            self._book(storage.nbytes())
            weakref.finalize(storage, self._book, -storage.nbytes())
        return result

    def _book(self, count: int) -> None:
        self._now += count
        self.peak = max(self.peak, self._now)
