"""python -m benchmarks.searches foretold: how well scores of unseen networks are foretold, by how many were seen.

Each regression learns from some of the recorded population, by their first short score, and is judged by the rank
correlation of what it foretells of others with the test accuracy of their second short training. Then one of them
learns from networks that were raced, most of which are pruned: there are several ways to count these.
"""

from collections.abc import Callable, Sequence
from statistics import fmean
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from scipy.stats import spearmanr

from benchmarks.searches.finding import enough, finding
from benchmarks.searches.replayed import Places, Pool, Racing, Vector
from benchmarks.searches.table import Row
from populations.surrogate import FEATURES, REGRESSIONS, Regression, ends

LEARNED = (16, 24, 48, 96, 192, 400)  #: networks that are learned from
UNSEEN = 100  #: networks that are left at least to be foretold
ALL: dict[str, Regression] = {
    **dict(zip(("size and depth", "and blocks", "and trees"), REGRESSIONS, strict=True)),
    "all features, linear": Regression(tuple(range(FEATURES))),
    "all features, trees": Regression((), trees=True),
}
RACED = REGRESSIONS[1]


class Split:
    """Some networks of a pool, drawn by a seed, to be learned from, and all others to be foretold."""

    def __init__(self, pool: Pool, learned: int, seed: int) -> None:
        """Draw `learned` networks."""
        order = np.random.default_rng([2029, learned, seed]).permutation(len(pool))
        self.pool, self.seed, self.seen, self._unseen = pool, seed, order[:learned], order[learned:]

    def correlation(self, regression: Regression, seen: Places, scores: Vector) -> float:
        """Return how what `regression` foretells, once it has learned `scores` of `seen`, ranks the others."""
        features = self.pool.features
        rows = np.clip(features, features[seen].min(0), features[seen].max(0))
        foretold = regression.foretold(rows[seen], scores, rows[self._unseen], self.seed)
        return float(spearmanr(foretold, self.pool.judged[self._unseen]).statistic)


def whole(split: Split) -> dict[str, float]:
    """Return the correlation of each regression."""
    scores = split.pool.seen[split.seen]
    return {name: split.correlation(regression, split.seen, scores) for name, regression in ALL.items()}


def raced(split: Split) -> dict[str, float]:
    """Return the correlation of the regression `RACED` for each way to count those that a race has pruned."""
    pool, seen = split.pool, split.seen
    racing = Racing(pool)
    trained = [racing.train(int(place)) for place in seen]
    going_on = np.array([not one.pruned for one in trained])
    until_then = np.array([one.scores[-1] for one in trained])
    return {
        "with what the others gained": split.correlation(RACED, seen, ends(trained)),
        "with their score until then": split.correlation(RACED, seen, until_then),
        "left out": split.correlation(RACED, seen[going_on], until_then[going_on]),
    }


TABLES: dict[str, Callable[[Split], dict[str, float]]] = {"spearman": whole, "spearman, raced": raced}


def found(rows: Sequence[Row], repeats: int) -> dict[str, Any]:
    """Return the mean correlations, by table, row and how many networks were learned from.

    Raises BadInput for too few networks.
    """
    pool = Pool(rows)
    enough(len(pool), LEARNED[0] + UNSEEN)
    counts = [count for count in LEARNED if count <= len(pool) - UNSEEN]
    tables = dict[str, dict[str, dict[str, float]]]()
    for name, table in TABLES.items():
        tables[name] = rows_of = dict[str, dict[str, float]]()
        for count in counts:
            runs = Parallel(n_jobs=-1)(delayed(table)(Split(pool, count, seed)) for seed in range(repeats))
            for row in runs[0]:
                rows_of.setdefault(row, {})[str(count)] = round(fmean(run[row] for run in runs), 3)
    return {"networks": len(pool), "repeats": repeats, **tables}


def show(found: dict[str, Any]) -> None:
    """Print it."""
    print(f"{found['networks']} networks, {found['repeats']} repeats: rank correlation of foretold scores")
    for name, table in found.items():
        if name in TABLES:
            for row, by_count in table.items():
                print(f"{row:28}" + "".join(f"  {count:>3}: {value:.3f}" for count, value in by_count.items()))


def main(argv: Sequence[str]) -> int:
    """Show the table and write it; 0: done, 2: bad input."""
    return finding(argv, __doc__, 20, found, show)
