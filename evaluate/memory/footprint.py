"""The memory that a training will take, predicted from its model."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from cgp.model import Model
from cgp.network import build
from evaluate.devices.numerics import EVALUATION_BATCH
from evaluate.job import Recipe
from evaluate.memory.ledger import Ledger
from evaluate.training.sparing import Sparing

OPTIMIZER_COPIES = {"sgd": 1, "adam": 2, "adamw": 2}  #: of the weights, in the optimizer's state
PROCESS_BYTES = {"cpu": 350 * 2**20, "cuda": 600 * 2**20}  #: of one more worker at most: libraries; CUDA context


def predicted_bytes(model: Model, recipe: Recipe, chunk: int | None = None) -> int:
    """Predict the most that training, validating and checkpointing `model` take at once.

    At most `chunk` images go through the network at once, None: a batch, or as many as are scored. That is what
    tensors hold, and what a convolution has beside them: its weights and their gradient once more, in an order of its
    own. The file that a training goes on from is not counted: the system can drop its pages. Nor are workspaces that
    cuDNN takes where they are free, and does without where not: on an H200, 2.8 GB in fp32 for convolutions from
    1,024 to 1,024 channels.
    """
    return held_bytes(model, recipe, chunk) + 2 * _largest(model)


def held_bytes(model: Model, recipe: Recipe, chunk: int | None = None) -> int:
    """Return the most bytes that tensors hold at once while `model` is trained, validated and checkpointed.

    Weights and the optimizer's state are always there, gradients from a step's way back until the next step. The
    passes run on the meta device, which computes shapes alone.
    """
    half = recipe.precision in ("bf16", "fp16")
    weights = 4 * model.params
    halves = weights // 2 if half else 0  # of the weights, from one pass on them to its end
    unconverted = weights // 2 if half else 0  # what gradients take more than the pass, all in half, has booked
    training = _training_peak(model, recipe, chunk or recipe.batch_size, half) + halves + unconverted
    scored = min(chunk or EVALUATION_BATCH, EVALUATION_BATCH)
    validating = _peak(model, scored, half) + halves + weights
    checkpointing = weights + _largest(model)
    return weights * (1 + OPTIMIZER_COPIES[recipe.optimizer]) + max(training, validating, checkpointing)


def _largest(model: Model) -> int:
    """Return the bytes of the largest tensor of weights; a checkpoint copies one after another."""
    with torch.device("meta"):
        return max(parameter.nbytes for parameter in build(model).parameters())


def _peak(model: Model, batch: int, half: bool) -> int:
    """Return the most bytes that a pass over `batch` images, without a way back, holds at once."""
    ledger = Ledger()
    with torch.device("meta"), torch.no_grad():
        network = _network(model, half).eval()
        with ledger:
            network(torch.empty(batch, *model.image))
    return ledger.peak


def _training_peak(model: Model, recipe: Recipe, chunk: int, half: bool) -> int:
    """Return the most bytes that a step holds at once, with `chunk` images in the network, gradients included.

    A second chunk finds the gradients of the first beside it; more than two are like the second.
    """
    group = max(recipe.group, -(-chunk // 2)) if recipe.ghosts else None  # two groups take as much as more would
    ledger = Ledger()
    with torch.device("meta"):
        network = _network(model, half).train()
        with ledger, Sparing(network, group, recipe.checkpoint_activations):
            images = torch.empty(recipe.batch_size, *model.image)
            y = torch.empty(recipe.batch_size, dtype=torch.int64)
            for x, labels in list(zip(images.split(chunk), y.split(chunk), strict=True))[:2]:
                functional.cross_entropy(network(x).float(), labels).backward()
    return ledger.peak


def _network(model: Model, half: bool) -> nn.Module:
    """Return the network of `model`; where it is `half`, what autocast computes so does, as meta has no autocast."""
    network = build(model)
    for module in network.modules() if half else ():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.to(torch.bfloat16)
            module.register_forward_pre_hook(_halved)
    return network


def _halved(_: nn.Module, given: tuple[Tensor]) -> Tensor:
    (x,) = given
    return x.to(torch.bfloat16)
