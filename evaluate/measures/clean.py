"""Accuracy and loss on images as they are, over all and by class."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from evaluate.measures.subject import Measured, Subject
from evaluate.training.train import outputs, score


def clean(subject: Subject, options: Mapping[str, Any], rng: np.random.Generator) -> Measured:
    """Return `test_accuracy` (a fraction) and `test_loss` (mean cross-entropy, nats), over all and by class.

    Of a class, they are `test_accuracy[NAME]` and `test_loss[NAME]`. Of a regression there is `test_loss` alone, the
    mean power of the error. Option `split`: `test`, or another split, whose name is then in the place of `test`.
    """
    split = str(options.get("split", "test"))
    images = subject.images.of(split)
    metrics = {f"{split}_{name}": value for name, value in score(subject.network, images, subject.numerics).items()}
    if images.power is not None:
        return Measured(metrics)
    classes, correct, losses = list[torch.Tensor](), list[torch.Tensor](), list[torch.Tensor]()
    for logits, y in outputs(subject.network, images, subject.numerics):
        classes.append(y)
        correct.append(logits.argmax(1) == y)
        losses.append(functional.cross_entropy(logits.float(), y, reduction="none"))
    labels, right, loss = torch.cat(classes), torch.cat(correct).double(), torch.cat(losses).double()
    for number, name in enumerate(subject.images.data.classes):
        own = labels == number
        if own.any():
            metrics[f"{split}_accuracy[{name}]"] = right[own].mean().item()
            metrics[f"{split}_loss[{name}]"] = loss[own].mean().item()
    return Measured(metrics)
