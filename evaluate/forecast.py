"""What a search will cost, before it is begun: seconds by a measured step, bytes by counting."""

import time
from collections.abc import Sequence

import torch

from cgp.graph import Graph
from evaluate.data import Data
from evaluate.job import Recipe
from evaluate.memory import OPTIMIZER_COPIES
from evaluate.step import Step
from evaluate.train import Setting, fresh_network, make_optimizer


def forecast_seconds(graphs: Sequence[Graph], data: Data, setting: Setting) -> list[float]:
    """Estimate the seconds that training and validating each graph takes on this device.

    Two training steps of the median graph are timed and scaled by FLOPs: good to a factor of two.
    """
    ranked = sorted(graphs, key=lambda graph: graph.flops)
    rate = _seconds_per_flop(ranked[len(ranked) // 2], setting)
    images = len(data.splits["train"]) + len(data.splits["validation"]) / 3  # no backward pass
    return [rate * graph.flops * images * setting.recipe.epochs for graph in graphs]


def _seconds_per_flop(graph: Graph, setting: Setting) -> float:
    """Return seconds per forward FLOP of an image when `graph` is trained on it."""
    batch, device = setting.recipe.batch_size, setting.numerics.device
    network = fresh_network(graph, setting)
    step = Step(network, make_optimizer(network, setting.recipe), setting.recipe, setting.numerics)
    x = torch.randn(batch, *graph.image, device=device).contiguous(memory_format=torch.channels_last)
    y = torch.zeros(batch, dtype=torch.int64, device=device)
    ended = []
    for _ in range(3):  # the first step allocates
        step(x, y)
        step.sums()  # waits for the device
        ended.append(time.perf_counter())
    return (ended[-1] - ended[0]) / 2 / (graph.flops * batch)


def forecast_bytes(graph: Graph, recipe: Recipe) -> int:
    """Return the bytes of a model's checkpoints: best weights, last weights, optimizer state."""
    return 4 * graph.params * (2 + OPTIMIZER_COPIES[recipe.optimizer])
