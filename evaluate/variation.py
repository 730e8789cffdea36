"""The p-variation of a path of points: how rough it is, whatever the pace at which it is walked. No torch."""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cgp.errors import BadInput

_BLOCK = 256  # points whose distances to all before them are held at once
_HIGHEST = 64  # p, to which distances in a billion dimensions can be raised
_CLOSE = 1e-6  # of the squared norms: squared distances below it lose digits when they are told from products

Vector = NDArray[np.float64]


def p_variation(points: ArrayLike, p: float) -> float:
    """Return the supremum, over all ways to leave points out, of the sum of ||X_next - X||^p along the path.

    `points` are (count, dimension), or (count,). It is exact: the best sum up to each point follows from those of all
    points before it, O(count^2). For p = 1 it is the length. Raises BadInput for a p outside 1..64.
    """
    size, total = _variation(points, p)
    return float(size**p * total)


def variation_norm(points: ArrayLike, p: float) -> float:
    """Return the p-variation to the power 1/p: in the unit of the points. Raises BadInput as `p_variation` does."""
    size, total = _variation(points, p)
    return float(size * total ** (1 / p))


def _variation(points: ArrayLike, p: float) -> tuple[float, float]:
    """Return the size of the path, and the p-variation of the path divided by that: no power overflows."""
    require_power(p)
    path = np.asarray(points, dtype=np.float64)
    path = path.reshape(len(path), -1)
    path = path - path.mean(0)
    size = float(np.abs(path).max(initial=0.0))
    if len(path) < 2 or not size > 0 or not math.isfinite(size):
        return size, 0.0 if math.isfinite(size) else math.nan
    path = path / size
    if p == 1:
        return size, float(np.linalg.norm(np.diff(path, axis=0), axis=1).sum())
    best = np.zeros(len(path))
    for begin in range(0, len(path), _BLOCK):
        powers = _squared_distances(path, begin, min(begin + _BLOCK, len(path)))
        if p != 2:
            powers **= p / 2
        for row, last in zip(powers, range(begin, len(path)), strict=False):
            if last:
                best[last] = (best[:last] + row[:last]).max()
    return size, float(best[-1])


def _squared_distances(path: Vector, begin: int, end: int) -> Vector:
    """Return those of the points from `begin` to `end` to all points before `end`, (end - begin, end).

    They are told from products of matrices, and where that would lose digits from differences.
    """
    here, there = path[begin:end], path[:end]
    sums = (here**2).sum(1)[:, None] + (there**2).sum(1)
    found: Vector = sums - 2 * (here @ there.T)
    for row in range(len(here)):
        (close,) = np.nonzero(found[row] < _CLOSE * sums[row])
        found[row, close] = ((there[close] - here[row]) ** 2).sum(1)
    return found


def require_power(p: float) -> None:
    """Raise BadInput for a p of no p-variation, or one whose powers might overflow."""
    if not 1 <= p <= _HIGHEST:
        raise BadInput(f"--p: {p:g}; expected 1..{_HIGHEST}")
