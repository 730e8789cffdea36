"""How many directions the channels of each convolution use: singular values of their covariance over images."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from evaluate.measures.channels import covariances
from evaluate.measures.subject import Measured, Subject

THRESHOLD = 0.01  #: share of a layer's largest singular value above which one counts


def spectra(subject: Subject, options: Mapping[str, Any], rng: np.random.Generator) -> Measured:
    """Return what the singular values of each convolution's covariance are like; layers count from 1.

    `largest[L]`, `mean[L]`, `median[L]`; `above[L]`, how many are above a `threshold` share of the largest;
    `effective_rank[L]`; `channels[L]`; and `samples`, over how many images. Options: `samples`, so many test images,
    evenly spaced [default: all]; `threshold` [default: `THRESHOLD`]. All is computed in float64; of fewer samples
    than channels the rest of the values is rounding, and is reported as it is.
    """
    images = subject.images.of("test")
    rows = spaced(len(images), int(options.get("samples", len(images))))
    metrics = {"samples": float(len(rows))}
    for layer, found in enumerate(covariances(subject.network, images, subject.numerics, rows), 1):
        values = torch.linalg.svdvals(found.matrix)
        above = values > float(options.get("threshold", THRESHOLD)) * values[0]
        metrics |= {
            f"channels[{layer}]": float(len(values)),
            f"largest[{layer}]": values[0].item(),
            f"mean[{layer}]": values.mean().item(),
            f"median[{layer}]": values.quantile(0.5).item(),
            f"above[{layer}]": float(above.sum()),
            f"effective_rank[{layer}]": effective_rank(values),
        }
    return Measured(metrics)


def effective_rank(values: Tensor) -> float:
    """Return exp of the entropy of singular values normalised to sum 1 (Roy and Vetterli 2007); 0 where all are 0."""
    if not values.sum() > 0:
        return 0.0
    shares = values / values.sum()
    return float(torch.special.entr(shares).sum().exp())


def spaced(count: int, wanted: int) -> list[int]:
    """Return `wanted` of the numbers below `count`, evenly spaced; all where that is more."""
    return sorted({round(place) for place in np.linspace(0, count - 1, min(wanted, count))})
