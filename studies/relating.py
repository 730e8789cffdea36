"""Figures with their n and their spread: means of groups, rank correlations with intervals. No torch."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import norm, spearmanr

CONFIDENCE = 0.95


def means(table: pd.DataFrame, by: Sequence[str], values: Sequence[str]) -> pd.DataFrame:
    """Return a row for each group of `by`, in their order: `n`, and of each of `values` its mean and `VALUE_sd`.

    The deviation is that of a sample, empty for one row.
    """
    groups = table.groupby(list(by), sort=False)
    columns: dict[str, Any] = {"n": groups.size()}
    for name in values:
        columns |= {name: groups[name].mean(), f"{name}_sd": groups[name].std()}
    return pd.DataFrame(columns).reset_index()


def spearman(x: "pd.Series[float]", y: "pd.Series[float]") -> dict[str, float]:
    """Return `spearman`, Spearman's rank correlation, `low` and `high` of its 95 % interval, and `n`.

    The interval is Fisher's with the variance of Bonett and Wright 2000. What is missing in either is left out. Of
    fewer than four pairs there is no interval, of a constant no correlation: nan.
    """
    both = pd.DataFrame({"x": x, "y": y}).dropna()
    found = {"spearman": math.nan, "low": math.nan, "high": math.nan, "n": len(both)}
    if len(both) < 3 or both["x"].nunique() < 2 or both["y"].nunique() < 2:
        return found
    rho = float(spearmanr(both["x"], both["y"]).statistic)
    found["spearman"] = rho
    if len(both) > 3:
        reach = norm.ppf((1 + CONFIDENCE) / 2) * math.sqrt((1 + rho**2 / 2) / (len(both) - 3))
        centre = math.atanh(min(max(rho, -1 + 1e-12), 1 - 1e-12))
        found |= {"low": float(np.tanh(centre - reach)), "high": float(np.tanh(centre + reach))}
    return found
