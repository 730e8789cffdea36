"""What a training makes small: cross-entropy of classes, or a power of the error of a regression."""

from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor
from torch.nn import functional


class Criterion(Protocol):
    """A loss of outputs (batch, outputs) in fp32 and what they should be."""

    @property
    def classifies(self) -> bool:
        """Whether outputs are of classes, so that one may count what is right."""

    def loss(self, outputs: Tensor, y: Tensor, reduction: Literal["mean", "sum", "none"] = "mean") -> Tensor:
        """Return the loss, as mean or sum over the batch, or of each."""

    def slopes(self, outputs: Tensor, y: Tensor) -> Tensor:
        """Return the gradient of each loss by its own outputs, (batch, outputs)."""


@dataclass(frozen=True)
class CrossEntropy:
    """Cross-entropy in nats of labels (batch,), of which a share may be spread over all classes."""

    smoothing: float = 0.0
    classifies: bool = True

    def loss(self, outputs: Tensor, y: Tensor, reduction: Literal["mean", "sum", "none"] = "mean") -> Tensor:
        """Return the loss, as mean or sum over the batch, or of each."""
        return functional.cross_entropy(outputs, y, label_smoothing=self.smoothing, reduction=reduction)

    def slopes(self, outputs: Tensor, y: Tensor) -> Tensor:
        """Return the gradient of each loss by its own outputs, (batch, outputs)."""
        wanted = functional.one_hot(y, outputs.shape[1]) * (1 - self.smoothing) + self.smoothing / outputs.shape[1]
        return outputs.softmax(1) - wanted


@dataclass(frozen=True)
class Power:
    """|y - output|^`power`, summed over the outputs, of values (batch, outputs)."""

    power: float
    classifies: bool = False

    def loss(self, outputs: Tensor, y: Tensor, reduction: Literal["mean", "sum", "none"] = "mean") -> Tensor:
        """Return the loss, as mean or sum over the batch, or of each."""
        each = (outputs - y).abs().pow(self.power).sum(1)
        return each if reduction == "none" else each.mean() if reduction == "mean" else each.sum()

    def slopes(self, outputs: Tensor, y: Tensor) -> Tensor:
        """Return the gradient of each loss by its own outputs, (batch, outputs)."""
        error = outputs - y
        return self.power * error.abs().pow(self.power - 1) * torch.sign(error)


def criterion_of(power: float | None, smoothing: float = 0.0) -> Criterion:
    """Return the criterion of images of classes, or where there is a `power` of a regression."""
    return CrossEntropy(smoothing) if power is None else Power(power)
