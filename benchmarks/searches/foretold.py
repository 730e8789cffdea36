"""python -m benchmarks.searches foretold: how well scores of unseen networks are foretold, by how many were seen.

Each regression learns from some of the recorded population, by their first short score, and is judged by the rank
correlation of what it foretells of others with the test accuracy of their second short training.
"""

from collections.abc import Sequence
from statistics import fmean
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from scipy.stats import spearmanr

from benchmarks.searches.finding import enough, finding
from benchmarks.searches.replayed import Pool
from benchmarks.searches.table import Row
from populations.surrogate import FEATURES, REGRESSIONS, Regression

LEARNED = (16, 24, 48, 96, 192, 400)  #: networks that are learned from
UNSEEN = 100  #: networks that are left at least to be foretold
ALL: dict[str, Regression] = {
    **dict(zip(("size and depth", "and blocks", "and trees"), REGRESSIONS, strict=True)),
    "all features, linear": Regression(tuple(range(FEATURES))),
    "all features, trees": Regression((), trees=True),
}


def correlations(pool: Pool, learned: int, seed: int) -> list[float]:
    """Return the correlation of each regression once it has learned from so many networks, drawn by `seed`."""
    order = np.random.default_rng([2029, learned, seed]).permutation(len(pool))
    seen, unseen = order[:learned], order[learned:]
    rows = np.clip(pool.features, pool.features[seen].min(0), pool.features[seen].max(0))
    return [
        float(
            spearmanr(
                regression.foretold(rows[seen], pool.seen[seen], rows[unseen], seed), pool.judged[unseen]
            ).statistic
        )
        for regression in ALL.values()
    ]


def found(rows: Sequence[Row], repeats: int) -> dict[str, Any]:
    """Return the mean correlation of each regression, by how many networks it learned from.

    Raises BadInput for too few networks.
    """
    pool = Pool(rows)
    enough(len(pool), LEARNED[0] + UNSEEN)
    counts = [count for count in LEARNED if count <= len(pool) - UNSEEN]
    means = dict[int, list[float]]()
    for count in counts:
        runs = Parallel(n_jobs=-1)(delayed(correlations)(pool, count, seed) for seed in range(repeats))
        means[count] = [round(fmean(column), 3) for column in zip(*runs, strict=True)]
    spearman = {name: {str(count): means[count][place] for count in counts} for place, name in enumerate(ALL)}
    return {"networks": len(pool), "repeats": repeats, "spearman": spearman}


def show(found: dict[str, Any]) -> None:
    """Print it."""
    print(f"{found['networks']} networks, {found['repeats']} repeats: rank correlation of foretold scores")
    for name, by_count in found["spearman"].items():
        print(f"{name:22}" + "".join(f"  {count:>3}: {value:.3f}" for count, value in by_count.items()))


def main(argv: Sequence[str]) -> int:
    """Show the table and write it; 0: done, 2: bad input."""
    return finding(argv, __doc__, 20, found, show)
