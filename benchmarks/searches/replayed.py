"""python -m benchmarks.searches replayed: searches replayed on the recorded population, in minutes instead of days.

A policy picks networks from those that `population` has recorded, a batch at a time, and sees the first short score
of those that it picked. What it found is judged by what it has not seen: the test accuracy of the best seen network's
second short training. Random picking has an exact expectation. A policy learns from all networks but the latest
eight, as the strategy `screened` does. That one is replayed with racing, too.
"""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import accumulate
from statistics import fmean
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray
from scipy.stats import spearmanr

from benchmarks.searches import population
from benchmarks.searches.finding import enough, finding
from benchmarks.searches.rungs import Race
from benchmarks.searches.table import Row
from cgp import Graph
from populations.search.racing import default_rungs
from populations.strategies.screened import START, TRUST, UNIFORM
from populations.surrogate import Seen, Surrogate, features

BATCH = 8
BUDGETS = (32, 64, 128, 256)
Vector = NDArray[np.float64]


class Pool:
    """The recorded networks: features, costs, the score that searches see and the one that judges."""

    def __init__(self, rows: Sequence[Row]) -> None:
        """Take the networks that were trained twice."""
        short = {(row["number"], row["seed"]): row for row in rows if row["kind"] == "short"}
        self.numbers = numbers = sorted(number for number, seed in short if seed == 0 and (number, 1) in short)
        image, classes = list(population.SPACE.image), population.SPACE.classes
        self.graphs = [
            Graph.from_json({"image": image, "classes": classes, "nodes": short[number, 0]["graph"]})
            for number in numbers
        ]
        self.seen = np.array([population.score(short[number, 0]) for number in numbers])
        self.judged = np.array([short[number, 1]["test_accuracy"] or 0.0 for number in numbers])
        #: of that training the best validation accuracy as of each epoch
        self.curves = [
            tuple(accumulate((point["val_accuracy"] for point in short[number, 0]["curve"]), max)) or (0.0,)
            for number in numbers
        ]
        self.seconds = np.array([short[number, 0]["seconds"] for number in numbers])
        self.features = np.array([features(graph) for graph in self.graphs])
        self.params, self.depths = (
            np.array([float(getattr(graph, name)) for graph in self.graphs]) for name in ("params", "depth")
        )

    def __len__(self) -> int:
        """How many networks there are."""
        return len(self.graphs)


class Racing:
    """Trainings of a pool's networks, one after another, most of which racing ends early, as searches have it."""

    def __init__(self, pool: Pool) -> None:
        """Begin a race to the recipe's one rung."""
        (self.rung,) = default_rungs(population.SHORT.epochs)
        accuracies = np.array([curve[self.rung - 1] for curve in pool.curves])
        self._pool, self._race = pool, Race(pool.graphs, accuracies, "smoothed", START)

    def train(self, place: int) -> Seen:
        """Return what is seen of the next network."""
        pruned = not self._race.goes_on(place)
        return Seen(self._pool.graphs[place], self._pool.curves[place][: self.rung if pruned else None], pruned)


Places = NDArray[np.int64]
Policy = Callable[[Pool, list[int], Places, np.random.Generator, int], list[int]]


def at_random(pool: Pool, known: list[int], left: Places, rng: np.random.Generator, count: int) -> list[int]:
    """Pick uniformly."""
    return [int(place) for place in rng.choice(left, count, replace=False)]


def by_parameters(pool: Pool, known: list[int], left: Places, rng: np.random.Generator, count: int) -> list[int]:
    """Pick those with about as many parameters as the best known has: the simplest model there is."""
    return _like_the_best(pool.params, pool, known, left, rng, count)


def by_depth(pool: Pool, known: list[int], left: Places, rng: np.random.Generator, count: int) -> list[int]:
    """Pick those about as deep as the best known."""
    return _like_the_best(pool.depths, pool, known, left, rng, count)


def _like_the_best(
    sizes: Vector, pool: Pool, known: list[int], left: Places, rng: np.random.Generator, count: int
) -> list[int]:
    best, shuffled = known[int(np.argmax(pool.seen[known]))], rng.permutation(left)
    distance = np.abs(np.log(sizes[shuffled]) - np.log(sizes[best]))
    return _mixed([shuffled[np.argsort(distance, kind="stable")]] * count, left, rng, count)


def screened(pool: Pool, known: list[int], left: Places, rng: np.random.Generator, count: int) -> list[int]:
    """Pick as the strategy does: each by another opinion of the surrogate, one in eight uniformly."""
    return _screened(pool, [Seen(pool.graphs[place], (pool.seen[place],)) for place in known], left, rng, count)


def _screened(pool: Pool, known: list[Seen], left: Places, rng: np.random.Generator, count: int) -> list[int]:
    surrogate = Surrogate(known, rng)
    if surrogate.trust < TRUST:
        return at_random(pool, [], left, rng, count)
    opinions = [left[np.argsort(-surrogate.opinion(pool.features[left]), kind="stable")] for _ in range(count)]
    return _mixed(opinions, left, rng, count)


def _mixed(orders: list[Places], left: Places, rng: np.random.Generator, count: int) -> list[int]:
    picked = list[int]()
    for place in range(count):
        order = rng.permutation(left) if place % UNIFORM == 0 else orders[place]
        picked.append(next(int(one) for one in order if int(one) not in picked))
    return picked


def replay(policy: Policy, pool: Pool, budgets: Sequence[int], seed: int) -> list[float]:
    """Return, for each budget, the judged score of the best seen network after so many.

    It ends early with the best seen network of the pool, which nothing that it picks later replaces.
    """
    rng, best = np.random.default_rng([2027, seed]), int(np.argmax(pool.seen))
    picked = at_random(pool, [], np.arange(len(pool)), rng, START)
    while len(picked) < max(budgets) and best not in picked:
        left = np.setdiff1d(np.arange(len(pool)), picked)
        picked += policy(pool, picked[:-BATCH], left, rng, BATCH)
    return [float(pool.judged[max(picked[:budget], key=lambda place: pool.seen[place])]) for budget in budgets]


def raced(pool: Pool, budgets: Sequence[int], seed: int) -> list[float]:
    """Return what `replay` does, of `screened` with racing as searches have it by default.

    A network that is pruned counts as the share of a training that it took, and is never the best.
    """
    rng, racing, top = np.random.default_rng([2027, seed]), Racing(pool), int(np.argmax(pool.seen))
    seen, costs, best = dict[int, Seen](), list[float](), list[int]()
    batch = at_random(pool, [], np.arange(len(pool)), rng, START)
    while sum(costs) < max(budgets) and len(seen) < len(pool) - BATCH and top not in best:
        for place in batch:
            seen[place] = one = racing.train(place)
            costs.append(racing.rung / population.SHORT.epochs if one.pruned else 1.0)
            ended = best[-1:] if one.pruned else [*best[-1:], place]  # a race lets the first network go on
            best.append(max(ended, key=lambda one: pool.seen[one]))
        left = np.setdiff1d(np.arange(len(pool)), list(seen))
        batch = _screened(pool, list(seen.values())[:-BATCH], left, rng, BATCH)
    spent = np.cumsum(costs)
    return [float(pool.judged[best[int(np.searchsorted(spent, budget, side="right")) - 1]]) for budget in budgets]


#: What is replayed, by name.
REPLAYS: dict[str, Callable[[Pool, Sequence[int], int], list[float]]] = {
    "random": partial(replay, at_random),
    "parameters": partial(replay, by_parameters),
    "depth": partial(replay, by_depth),
    "screened": partial(replay, screened),
    "screened, raced": raced,
}


def expected(pool: Pool, budget: int) -> float:
    """Return what `replay` gives on average for random picking: `budget` networks drawn without replacement."""
    return expected_best(pool.seen, pool.judged, budget)


def expected_best(seen: Vector, judged: Vector, count: int) -> float:
    """Return the expected `judged` of the network with the best `seen` of `count` drawn without replacement."""
    total, chance_none = 0.0, 1.0
    for rank, place in enumerate(np.argsort(-seen, kind="stable")):
        left = len(seen) - rank
        if left < count:
            break
        chance = count / left
        total += chance_none * chance * judged[place]
        chance_none *= 1 - chance
    return float(total)


def found(rows: Sequence[Row], repeats: int) -> dict[str, Any]:
    """Return, by policy and budget, mean and standard error of the judged score over `repeats` replays.

    And how many uniform draws it takes to expect as much, and by rank correlation how far scores can be trusted: the
    one that is seen beside the one that judges, and beside the long trainings of those networks that have two.
    Raises BadInput for too few networks.
    """
    pool = Pool(rows)
    enough(len(pool), 2 * BUDGETS[0])
    budgets = [budget for budget in BUDGETS if budget <= len(pool) // 2]
    expectations = [expected(pool, count) for count in range(1, len(pool) + 1)]
    scores = {"random, exact": {str(budget): [expectations[budget - 1], 0.0] for budget in budgets}}
    draws = dict[str, dict[str, int | None]]()
    for name, played in REPLAYS.items():
        runs = Parallel(n_jobs=-1)(delayed(played)(pool, budgets, seed) for seed in range(repeats))
        means, errors = np.mean(runs, axis=0), np.std(runs, axis=0, ddof=1) / np.sqrt(repeats)
        of_budgets = list(zip(map(str, budgets), means.tolist(), errors.tolist(), strict=True))
        scores[name] = {budget: [mean, error] for budget, mean, error in of_budgets}
        draws[name] = {
            budget: next((count for count, random in enumerate(expectations, 1) if random >= mean), None)
            for budget, mean, _ in of_budgets
        }
    spearman = {"with the judging one": _correlation(pool.seen, pool.judged), **_with_long(rows, pool)}
    return {
        "networks": len(pool),
        "repeats": repeats,
        "judged": scores,
        "uniform draws for the same": draws,
        "spearman of the seen score": spearman,
    }


def _with_long(rows: Sequence[Row], pool: Pool) -> dict[str, float]:
    long: dict[int, list[float]] = {}
    for row in rows:
        if row["kind"] == "long":
            long.setdefault(row["number"], []).append(row["test_accuracy"] or 0.0)
    twice = [number for number, tested in long.items() if len(tested) == 2 and number in pool.numbers]
    if len(twice) < 3:
        return {}
    seen = pool.seen[[pool.numbers.index(number) for number in twice]]
    return {
        f"with the mean of two long ones ({len(twice)} networks)": _correlation(seen, [fmean(long[n]) for n in twice])
    }


def _correlation(one: Sequence[float] | Vector, other: Sequence[float] | Vector) -> float:
    return round(float(spearmanr(one, other).statistic), 3)


def show(found: dict[str, Any]) -> None:
    """Print it."""
    print(f"{found['networks']} networks, {found['repeats']} replays: test accuracy of the best of so many")
    for name, budgets in found["judged"].items():
        print(f"{name:15}" + "".join(f"  {n:>4}: {mean:.4f} +- {error:.4f}" for n, (mean, error) in budgets.items()))
    for about in ("uniform draws for the same", "spearman of the seen score"):
        print(f"{about}: {found[about]}")


def main(argv: Sequence[str]) -> int:
    """Replay all policies, show the table and write it; 0: done, 2: bad input."""
    return finding(argv, __doc__, 200, found, show)
