"""What a network will score, foretold from its graph by what other networks scored. No torch.

Plain trees on features of the graph found in 80 trainings of NAS-Bench-201 what random search needs more than 450 for
(Krishnakumar et al. 2022 and later, "zc_combine", arXiv 2404.16551); GBDT-NAS is the same idea (arXiv 2007.04785).
From fewer than a hundred networks, a linear model learns more with six features than with all (see
docs/better-than-random.md).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache
from statistics import fmean
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from cgp.blocks import KINDS, block
from cgp.graph import Graph

Vector = NDArray[np.float64]

_KINDS = {kind: place for place, kind in enumerate(sorted(KINDS))}
_PARTS = 3  # of the depth, in each of which blocks are counted by kind
_LEVELS = 5  # of resolution, from the image's own: each halves height and width once more
_PAIRS = 32  # into which neighbouring blocks are hashed
_POOLINGS = 3  # whose places count
_FOLDS = 5
_COSTS = 6  # features that say how large and how deep a network is
FEATURES = _COSTS + len(_KINDS) * (1 + _PARTS) + 4 * _LEVELS + _POOLINGS + 6 + 2 + 2 + _PAIRS


@dataclass(frozen=True)
class Seen:
    """A network that was trained."""

    graph: Graph
    scores: tuple[float, ...]  #: as of each epoch; greater is better
    pruned: bool = False  #: whether its training was ended early

    @cached_property
    def features(self) -> Vector:
        """What is told of its graph: worked out once, however often it is learned from."""
        return features(self.graph)


def ends(seen: Sequence[Seen]) -> Vector:
    """Return what each network scored in the end.

    For one that was pruned it is what it scored until then, and the mean of what the others gained from there on.
    """
    whole = [one.scores for one in seen if not one.pruned]

    @cache
    def gain(epoch: int) -> float:
        return fmean(scores[-1] - scores[min(epoch, len(scores)) - 1] for scores in whole) if whole else 0.0

    return np.array([one.scores[-1] + (gain(len(one.scores)) if one.pruned else 0.0) for one in seen])


class _Block:
    """What features ask of a block, worked out once."""

    def __init__(self, name: str) -> None:
        chosen = block(name)
        self.kind = _KINDS[name.partition("_")[0]]
        self.kernel = float(getattr(chosen, "kernel", 0))
        self.convolves = hasattr(chosen, "kernel") or hasattr(chosen, "channels")
        self.join = chosen.join if chosen.arity > 1 else None


@lru_cache(maxsize=4096)
def _block(name: str) -> _Block:
    return _Block(name)


@lru_cache(maxsize=65536)
def _pair(one: str, other: str) -> int:
    return crc32(f"{one}>{other}".encode()) % _PAIRS


def features(graph: Graph) -> Vector:
    """Return what is told of `graph`: a vector of `FEATURES` numbers, the same for the same graph anywhere.

    Logarithms of parameters, FLOPs, map elements and receptive field; depth and convolutions; blocks by kind, in all
    and by third of the depth; by resolution the convolutions, their width and kernel, and all nodes; where maps are
    halved; how many sums and concatenations there are and how far they reach; the first block; the narrowest map;
    neighbouring blocks, hashed.
    """
    depth = graph.depth
    kinds, parts = np.zeros(len(_KINDS)), np.zeros((_PARTS, len(_KINDS)))
    levels, pairs = np.zeros((4, _LEVELS)), np.zeros(_PAIRS)  # convolutions, their log width, their kernel, nodes
    halved, reaches = list[float](), {"sum": list[int](), "concat": list[int]()}
    elements, narrowest, narrowest_at = 0, math.inf, 0
    for n, (node, flow) in enumerate(zip(graph.nodes, graph.flows[1:], strict=True)):
        known, shape, before = _block(node.block), flow.shape, node.inputs[0]
        kinds[known.kind] += 1
        parts[n * _PARTS // depth, known.kind] += 1
        level = min(_LEVELS - 1, flow.stride.bit_length() - 1)
        levels[3, level] += 1
        if known.convolves:
            levels[0, level] += 1
            levels[1, level] += math.log2(shape.channels)
            levels[2, level] += known.kernel
        if flow.stride > graph.flows[before].stride:
            halved.append(n / depth)
        if known.join:
            reaches[known.join].append(n - min(node.inputs))
        pairs[_pair(graph.nodes[before - 1].block if before else "image", node.block)] += 1
        elements += shape.channels * shape.height * shape.width
        if shape.channels < narrowest:
            narrowest, narrowest_at = shape.channels, n
    counted = np.maximum(1, levels[0])
    levels[1:3] /= counted
    first, flows = _block(graph.nodes[0].block), graph.flows
    costs = [math.log(graph.params), math.log(graph.flops + 1), math.log(elements)]
    halved = [*halved, *[1.0] * _POOLINGS][:_POOLINGS]
    joins = [
        fact for own in reaches.values() for fact in (len(own), sum(own) / max(1, len(own)), max(own, default=0))
    ]
    return np.concatenate(
        [
            [*costs, math.log(graph.receptive_field), depth, graph.conv_layers],
            kinds,
            parts.ravel(),
            levels.ravel(),
            [*halved, *joins, first.kernel, math.log2(flows[1].shape.channels)],
            [math.log2(narrowest), narrowest_at / depth],
            pairs,
        ]
    )


@dataclass(frozen=True)
class Regression:
    """A way of foretelling scores: linear in some features; `trees` foretell from all what that leaves over."""

    known: tuple[int, ...]  #: places of these features in `features`; with trees there may be none
    trees: bool = False

    def foretold(self, rows: Vector, scores: Vector, asked: Vector, seed: int) -> Vector:
        """Return the scores of the rows `asked`, learned from `rows` and their `scores`; rows are `features`."""
        known, left, foretold = list(self.known), scores, np.zeros(len(asked))
        with _threads().limit(limits=1):  # cores are at work on networks
            if known:
                linear = _ridge().fit(rows[:, known], scores)
                left, foretold = scores - linear.predict(rows[:, known]), linear.predict(asked[:, known])
            if self.trees:
                foretold = foretold + _trees(seed).fit(rows, left).predict(asked)
        return np.asarray(foretold)


_BLOCKS = tuple(range(_COSTS, _COSTS + len(_KINDS)))
_ENDS = tuple(range(FEATURES - _PAIRS - 4, FEATURES - _PAIRS))  # the first block and the narrowest map
#: From the simplest to the richest: few networks tell no more than what costs and depth are worth.
REGRESSIONS = (
    Regression(tuple(range(_COSTS))),
    Regression((*range(_COSTS), *_BLOCKS, *_ENDS)),
    Regression((*range(_COSTS), *_BLOCKS, *_ENDS), trees=True),
)


class Surrogate:
    """Foretells scores from what was seen, as simply as is good enough.

    The regression is the simplest whose correlation in cross-validation is within one standard error of the best
    (the rule of Breiman et al. 1984, Classification and Regression Trees).
    """

    def __init__(
        self, seen: Sequence[Seen], rng: np.random.Generator, regressions: Sequence[Regression] = REGRESSIONS
    ) -> None:
        """Learn from `seen`, in its order, by one of `regressions`, simplest first; `rng` decides folds and trees."""
        self._x, self._y = np.array([one.features for one in seen]), ends(seen)
        self._rng = rng
        trusts = [self._cross_validated(regression) for regression in regressions]
        best = max(trusts)
        enough = best - (1 - best**2) / math.sqrt(len(seen))  # the standard error of a correlation
        chosen = next(place for place, trust in enumerate(trusts) if trust >= enough)
        self._regression = regressions[chosen]
        self.trust = trusts[chosen]  #: Spearman correlation of what it foretells of networks it has not seen

    def _cross_validated(self, regression: Regression) -> float:
        if len(self._y) < 2 * _FOLDS:
            return 0.0
        order, foretold = self._rng.permutation(len(self._y)), np.zeros(len(self._y))
        for fold in range(_FOLDS):
            left_out = order[fold::_FOLDS]
            kept = np.setdiff1d(order, left_out)
            seed = int(self._rng.integers(2**31))
            foretold[left_out] = regression.foretold(self._x[kept], self._y[kept], self._x[left_out], seed)
        return _spearman(foretold, self._y)

    def opinion(self, candidates: Vector) -> Vector:
        """Return the scores of `candidates`, rows of `features`, foretold from a random sample of what was seen.

        Each call draws another sample (with replacement): opinions differ where little is known.
        """
        sample = self._rng.integers(len(self._y), size=len(self._y))
        return self._foretold(sample, candidates, int(self._rng.integers(2**31)))

    def expectation(self, candidates: Vector) -> Vector:
        """Return the scores of `candidates`, rows of `features`, foretold from all that was seen."""
        return self._foretold(np.arange(len(self._y)), candidates, 0)

    def _foretold(self, learned: NDArray[np.int64], candidates: Vector, seed: int) -> Vector:
        # What lies beyond all that was seen counts as its edge: a linear model would go on without end.
        within = np.clip(candidates, self._x.min(0), self._x.max(0))
        return self._regression.foretold(self._x[learned], self._y[learned], within, seed)


class Linear:
    """Foretells scores by the linear model alone: the same for the same networks in the same order."""

    def __init__(self, seen: Sequence[Seen]) -> None:
        """Learn from `seen`."""
        rows = np.array([one.features for one in seen])
        self._edges = rows.min(0), rows.max(0)
        model = _ridge()
        with _threads().limit(limits=1):  # cores are at work on networks, and how many there are decides no bit
            self._model = model.fit(rows, ends(seen))

    def score(self, graph: Graph) -> float:
        """Return the score of `graph`; what lies beyond all that was seen counts as its edge."""
        return float(self._model.predict(np.clip([features(graph)], *self._edges))[0])


def _spearman(one: Vector, other: Vector) -> float:
    """Return the rank correlation of two vectors, 0 where one is constant; ties have their mean rank."""
    from scipy.stats import spearmanr

    if np.ptp(one) == 0 or np.ptp(other) == 0:
        return 0.0
    return float(spearmanr(one, other).statistic)


# scikit-learn takes a second to import, which only a search that learns waits for.


@cache
def _threads() -> Any:
    """Return what limits the threads of scikit-learn's linear algebra, once that is imported."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def _ridge() -> Any:
    from sklearn.linear_model import BayesianRidge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), BayesianRidge())


def _trees(seed: int) -> Any:
    from sklearn.ensemble import ExtraTreesRegressor

    return ExtraTreesRegressor(100, min_samples_leaf=2, max_features=0.3, random_state=seed)
