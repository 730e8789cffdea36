"""A task of training, carried out: from a model, a recipe and images to a trained network and its scores."""

import math
import os
import shutil
from dataclasses import dataclass

from torch import nn

from cgp.errors import BadInput
from evaluate.data.images import OnDevice
from evaluate.job import Train
from evaluate.metrics import best_epoch
from evaluate.training.checkpoint import ModelFolder
from evaluate.training.start import begin
from evaluate.training.train import Diverged, Row, Setting, fresh_network, score, train


@dataclass(frozen=True)
class Trained:
    """What a training ends in."""

    network: nn.Module  #: with the weights of the last epoch
    curve: list[Row]
    metrics: dict[str, float]
    scratch_share: float | None  #: share of the parameters that were not taken over; None: it began fresh


def carry_out(task: Train, setting: Setting, images: OnDevice, folder: ModelFolder) -> Trained:
    """Train the network of `task`, or go on from what `folder` holds, and score it.

    Raises Diverged, Interrupted when the run stops, and BadInput where the weights to begin with cannot be read, or
    where nothing can compile what is to be compiled.
    """
    network = fresh_network(task.model, setting)
    share = begin(network, task)
    if task.compiled:
        require_compiler()
        network.compile()
    if not task.polish:
        curve = train(network, images.of("train"), images.of("validation"), setting, folder)
        best = best_epoch(curve)
        scores: dict[str, float] = {name: best[name] for name in ("val_accuracy", "val_loss") if name in best}
        return Trained(network, curve, scores, share)
    curve = train(network, images.of("train", "validation"), None, setting, folder)
    plain = fresh_network(task.model, setting)  # a compiled one would be compiled again, for other batch sizes
    plain.load_state_dict(network.state_dict())
    found = score(plain, images.of("test"), setting.numerics)
    if not math.isfinite(found["loss"]):
        raise Diverged("test loss is not finite")
    return Trained(plain, curve, {f"test_{name}": value for name, value in found.items()}, share)


def require_compiler() -> None:
    """Raise BadInput where there is no C++ compiler for torch.compile."""
    name = os.environ.get("CXX", "g++")  # as torch's inductor looks for it
    if shutil.which(name) is None:
        raise BadInput(
            f"--compile: found no C++ compiler {name!r}; install one, name one by CXX, or leave --compile out"
        )
