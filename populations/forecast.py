"""Before a search begins: a drawn population as a table, and what the whole will cost."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from cgp.genome import draw
from cgp.graph import Graph
from evaluate.data import Data
from evaluate.forecast import forecast_bytes, forecast_seconds
from evaluate.memory import PROCESS_BYTES, predicted_bytes
from evaluate.numerics import Numerics
from evaluate.profile import profile
from evaluate.train import Setting
from evaluate.worker import settle_process
from populations.racing import expected_epochs
from populations.store import Plan
from populations.strategies import Strategy

_SAMPLE = 32  # draws that stand for a whole search
_MARGIN = 2  # on a CPU a training's resident memory was 1.1 to 2 times the prediction


def population_table(strategy: Strategy, plan: Plan, data: Data, device: str) -> pd.DataFrame:
    """Return generation 0 as it would be drawn: depth, costs, seconds and MB forecast for each.

    Asks `strategy`, which is then no longer fresh.
    """
    graphs = [candidate.graph for candidate in strategy.ask(strategy.size(0))]
    setting = Setting(plan.recipe, plan.seed, Numerics(device.split(":")[0], plan.recipe.precision))
    return pd.DataFrame(
        {
            "depth": [graph.depth for graph in graphs],
            "conv_layers": [graph.conv_layers for graph in graphs],
            "params": [graph.params for graph in graphs],
            "mflops": [round(graph.flops / 1e6, 1) for graph in graphs],
            "receptive_field": [graph.receptive_field for graph in graphs],
            "seconds": np.round(forecast_seconds(graphs, data, setting), 1),
            "mbytes": [round(forecast_bytes(graph, plan.recipe) / 1e6, 1) for graph in graphs],
        }
    )


def dry_run(strategy: Strategy, plan: Plan, data: Data, device: str, rungs: Sequence[int]) -> str:
    """Return the table, what the search would cost with a race of `rungs`, and which blocks the limits turned away.

    The table's seconds are of whole trainings, as a worker would take them.
    """
    settle_process(device)
    table = population_table(strategy, plan, data, device)
    share = expected_epochs(rungs, plan.recipe.epochs) / plan.recipe.epochs
    minutes = float(table["seconds"].mean()) * strategy.total * share / 60
    return (
        f"{table.to_string(index=False)}\n\n{strategy.total} networks, about {minutes:.0f} minutes on one worker, "
        f"{search_bytes(strategy, plan, 1) / 1e6:.0f} MB of checkpoints\n"
        f"block genes turned away by limits: {dict(strategy.turned_away)}"
    )


def first_profile(strategy: Strategy, plan: Plan, data: Data, device: str) -> str:
    """Train the first network that would be drawn for one epoch, as a worker does; return where time went."""
    kind, precision = device.partition(":")[0], plan.recipe.precision
    settle_process(device)
    graph = strategy.ask(1)[0].graph
    found = profile(graph, data, Setting(plan.recipe, plan.seed, Numerics(kind, precision)))
    return f"depth {graph.depth}, {graph.params:,} parameters, {graph.flops:,} FLOPs, {kind}, {precision}\n\n{found}"


def search_bytes(strategy: Strategy, plan: Plan, workers: int) -> int:
    """Estimate the bytes of all checkpoints from draws of the space; evolved networks may differ.

    With `--keep best` only the best network's and those in training lie on disk.
    """
    mean = sum(forecast_bytes(graph, plan.recipe) for graph in _sample(plan)) / _SAMPLE
    return round(mean * (strategy.total if plan.keep == "all" else workers + 1))


def worker_bytes(plan: Plan, data: Data, device: str) -> int:
    """Predict the bytes of a worker that trains the median network, by FLOPs, of the space."""
    median = sorted(_sample(plan), key=lambda graph: graph.flops)[_SAMPLE // 2]
    kind = device.partition(":")[0]
    images = data.images.nbytes if kind == "cuda" else 0  # on a CPU all workers share their pages
    return PROCESS_BYTES[kind] + images + _MARGIN * predicted_bytes(median, plan.recipe)


def _sample(plan: Plan) -> list[Graph]:
    rng = np.random.default_rng([plan.seed, _SAMPLE])
    return [draw(plan.space, rng).graph(plan.space) for _ in range(_SAMPLE)]
