"""What a network forgets: trained on some classes, then on others, how much of the first is left, layer by layer."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from evaluate.data.images import Images
from evaluate.job import Recipe
from evaluate.measures.channels import Covariance, covariances
from evaluate.measures.subject import Measured, Subject
from evaluate.memory.chunks import chunk_of
from evaluate.training.checkpoint import ModelFolder
from evaluate.training.train import Setting, fresh_network, outputs, train

HELD = 0.9  #: share of the variance that the leading directions of a layer hold


def forgetting(subject: Subject, options: Mapping[str, Any], rng: np.random.Generator) -> Measured:
    """Train the subject's model from scratch on the first classes, then on the next, and return what is left of them.

    Of the test images of the first classes: `first_before` and `first_after` the second training, accuracy among all
    outputs; `first_before_own` and `first_after_own`, among the outputs of these classes alone. Of those of the next:
    `second_after` and `second_after_own`. `samples`: how many images of the first classes. Of each convolution L:
    `leading[L]`, how many directions held `HELD` of the variance over those images, `channels[L]`, and `overlap[L]`,
    how much of them lies in as many leading directions afterwards: 1 where all, `leading` / `channels` by chance.

    Options: `classes`, how many there are in both; `recipe`, of both trainings. Both go on where they were stopped.
    """
    first, second = (int(count) for count in options["classes"])
    halves = range(first), range(first, first + second)
    recipe = Recipe(**options["recipe"])
    chunk = chunk_of(subject.model, recipe)
    setting = Setting(recipe, int(rng.integers(2**31)), subject.numerics.scoring(chunk), chunk=chunk)
    old, new = (_of_classes(subject.images.of("test"), own) for own in halves)
    network = fresh_network(subject.model, setting)
    metrics = {"samples": float(len(old))}
    before = list[Covariance]()
    for when, own in zip(("first", "second"), halves, strict=True):
        folder = subject.folder / when
        folder.mkdir(exist_ok=True)
        model_folder = ModelFolder(folder, {"classes": list(own)}, subject.stop_file)
        model_folder.discard_unusable()
        train(network, _of_classes(subject.images.of("train"), own), None, setting, model_folder)
        if when == "first":
            metrics |= _accuracies("first_before", subject, network, old, halves[0])
            before = covariances(network, old, subject.numerics, range(len(old)))
    metrics |= _accuracies("first_after", subject, network, old, halves[0])
    metrics |= _accuracies("second_after", subject, network, new, halves[1])
    after = covariances(network, old, subject.numerics, range(len(old)))
    for layer, (one, other) in enumerate(zip(before, after, strict=True), 1):
        leading, shared = overlap(one.matrix, other.matrix)
        metrics |= {f"leading[{layer}]": float(leading), f"overlap[{layer}]": shared}
        metrics[f"channels[{layer}]"] = float(len(one.matrix))
    return Measured(metrics)


def overlap(before: Tensor, after: Tensor) -> tuple[int, float]:
    """Return how many directions hold `HELD` of the variance in the covariance `before`, and their overlap.

    That is the mean squared cosine between them and the space of as many leading directions of `after`: 0 to 1.
    """
    values, vectors = torch.linalg.eigh(before)  # in rising order
    shares = values.flip(0).clamp(min=0).cumsum(0) / values.clamp(min=0).sum().clamp(min=1e-300)
    leading = min(int((shares < HELD).sum()) + 1, len(values))
    others = torch.linalg.eigh(after).eigenvectors
    cosines = vectors[:, -leading:].T @ others[:, -leading:]
    return leading, float(cosines.square().sum() / leading)


def _of_classes(images: Images, classes: Sequence[int]) -> Images:
    labels = images.labels[images.rows]
    chosen = torch.isin(labels, torch.tensor(classes, device=labels.device))
    return replace(images, rows=images.rows[chosen])


def _accuracies(
    name: str, subject: Subject, network: nn.Module, images: Images, classes: Sequence[int]
) -> dict[str, float]:
    """Return the accuracy among all outputs, and among those of `classes`, as `name_own`."""
    own = torch.tensor(classes, device=images.labels.device)
    right = own_right = 0
    for logits, y in outputs(network, images, subject.numerics):
        right += int((logits.argmax(1) == y).sum())
        own_right += int((own[logits[:, own].argmax(1)] == y).sum())
    return {name: right / len(images), f"{name}_own": own_right / len(images)}
