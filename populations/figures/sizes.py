"""Accuracy against what a network costs, and the networks than which none of their size is better. No torch."""

import pandas as pd

from populations.figures.chosen import Runs, joined, scored
from populations.reading.frame import Run

SIZES = ("depth", "conv_layers", "params", "flops")


def table(runs: Runs) -> pd.DataFrame:
    """Return a row for each network that was trained to its end, in order of job number.

    Columns: run, id, function_set, the `SIZES`, val_accuracy, and for each size `front_SIZE`: whether the network is
    on the run's Pareto front, so that every network that is at most as large is less accurate.
    """
    return joined(runs, _of)


def _of(run: Run) -> pd.DataFrame:
    networks = scored(run)[["id", "function_set", *SIZES, "val_accuracy"]]
    return networks.assign(**{f"front_{size}": front(networks[size], networks["val_accuracy"]) for size in SIZES})


def front(size: "pd.Series[int]", accuracy: "pd.Series[float]") -> "pd.Series[bool]":
    """Return, for each network, whether all others that are at most as large are less accurate.

    Of equal networks the first is on the front.
    """
    both = pd.DataFrame({"size": size, "accuracy": accuracy})
    ranked = both.sort_values(["size", "accuracy"], ascending=[True, False], kind="stable")
    before = ranked["accuracy"].cummax().shift(fill_value=float("-inf"))
    return (ranked["accuracy"] > before).reindex(both.index)
