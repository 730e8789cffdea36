"""How regular the weights of a network are as a path in depth: the p-variation of paths of equally shaped weights."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import nn

from cgp.chains import chains
from cgp.network import Network
from cgp.residual_network import ResidualNetwork
from evaluate.measures.subject import Measured, Subject
from evaluate.training.limit import path_of
from evaluate.variation import Vector, variation_norm

USUAL = 2.0  #: p


def variation(subject: Subject, options: Mapping[str, Any], rng: np.random.Generator) -> Measured:
    """Return `variation[PATH, Q]`, the Q-variation of each path to the power 1/Q, and `points[PATH]`.

    Q is p, p/2 and 3p/4, those of at least 1. PATH is FIRST-LAST: of a residual MLP its blocks, whose weights are
    scaled by L^beta, of another network the convolutions of a chain (cgp/chains.py), as they are. Option: `p`
    [default: `USUAL`]. Images play no part.
    """
    metrics = dict[str, float]()
    for name, path in paths(subject.network).items():
        metrics[f"points[{name}]"] = float(len(path))
        for power in powers(float(options.get("p", USUAL))):
            metrics[f"variation[{name}, {power:g}]"] = variation_norm(path, power)
    return Measured(metrics)


def powers(p: float) -> list[float]:
    """Return p, p/2 and 3p/4, as the source logs them, without those below 1, in rising order."""
    return sorted({power for power in (p, p / 2, 3 * p / 4) if power >= 1})


def paths(network: nn.Module) -> dict[str, Vector]:
    """Return the paths of weights in a network by name, each (points, weights of a point)."""
    if isinstance(network, ResidualNetwork):
        return {f"1-{network.model.depth}": path_of(network)}
    if not isinstance(network, Network):
        return {}
    layers = [module.weight for module in network.modules() if isinstance(module, nn.Conv2d)]
    return {
        f"{chain[0]}-{chain[-1]}": np.stack(
            [layers[number - 1].detach().cpu().double().flatten().numpy() for number in chain]
        )
        for chain in chains(network.graph)
    }
