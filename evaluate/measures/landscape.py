"""The loss of a network on a plane around its weights: a row of its points at a time, so that workers share them."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import nn

from evaluate.data.images import Images
from evaluate.devices.numerics import EVALUATION_BATCH, Numerics
from evaluate.files import LAST
from evaluate.measures.planes import Plane, random_plane, restored, varied, walk
from evaluate.measures.spectra import spaced
from evaluate.measures.subject import Measured, Subject
from evaluate.measures.trajectory import trajectory
from evaluate.training.checkpoint import read_weights
from evaluate.training.train import score

STATISTICS = 1024  #: training images, evenly spaced, of which batch statistics are recomputed


def landscape(subject: Subject, options: Mapping[str, Any], rng: np.random.Generator) -> Measured:
    """Return `loss[ROW, COLUMN]` and `accuracy[ROW, COLUMN]` at one row of the points of a plane, numbers from 0.

    Options: `directions`: `random` (see `random_plane`) around the best weights, with their `seed`, or `trajectory`
    (see `trajectory`) around the last; `grid`, points of a side; `reach`, from -reach to reach in units of the
    directions; `row`; `images`: `validation` or `train`, and of these `samples`, evenly spaced [default: all];
    `batch_norm`: `running`, the trained statistics everywhere, or `recomputed` at each point, over up to 1,024
    training images. The network computes in evaluation mode, and is in the end what it was.
    """
    images = subject.images.of(options["images"])
    images = _some(images, int(options.get("samples", len(images))))
    recomputed = options["batch_norm"] == "recomputed"
    training = _some(subject.images.of("train"), STATISTICS)
    steps = axis(int(options["grid"]), float(options["reach"]))
    row = int(options["row"])
    metrics = dict[str, float]()
    with restored(subject.network):
        plane = _plane(subject, options)
        for column, _ in enumerate(walk(subject.network, plane, [(x, steps[row]) for x in steps])):
            if recomputed:
                recompute_statistics(subject.network, training, subject.numerics)
            found = score(subject.network, images, subject.numerics)
            metrics |= {f"{name}[{row}, {column}]": value for name, value in found.items()}
    return Measured(metrics)


def axis(grid: int, reach: float) -> list[float]:
    """Return the places of the points of a side, x of a column or y of a row."""
    return [float(place) for place in np.linspace(-reach, reach, grid)]


def _plane(subject: Subject, options: Mapping[str, Any]) -> Plane:
    """Return the plane of `options`, and give the network the weights that it is around."""
    network = subject.network
    if options["directions"] == "random":
        return random_plane(network, int(options["seed"]))
    read_weights(subject.source / LAST, network)
    parameters = varied(network)
    found = trajectory(subject.source, list(parameters)).plane
    return Plane(*({name: one.to(parameters[name]) for name, one in direction.items()} for direction in found))


@torch.no_grad()
def recompute_statistics(network: nn.Module, images: Images, numerics: Numerics) -> None:
    """Let the statistics of batch normalisation be the means of those of `images`, in batches of equal size."""
    normalising = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    network.eval()
    before = [module.momentum for module in normalising]
    for module in normalising:
        module.reset_running_stats()
        module.momentum = None  # every batch counts as much
        module.train()
    for rows in torch.arange(len(images), device=images.rows.device).tensor_split(
        -(-len(images) // EVALUATION_BATCH)
    ):
        x, _ = images.batch(rows)
        with numerics.autocast():
            network(x)
    for module, momentum in zip(normalising, before, strict=True):
        module.momentum = momentum
        module.eval()


def _some(images: Images, count: int) -> Images:
    """Return `count` of `images`, evenly spaced; all where that is more."""
    return replace(images, rows=images.rows[torch.tensor(spaced(len(images), count), device=images.rows.device)])
