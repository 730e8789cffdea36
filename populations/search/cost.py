"""What an epoch of a network costs: two terms, fitted to a forecast at first and to results later. No torch."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from cgp.model import Model
from populations.record import Record

_LATEST = 64  # results that the model learns from
_REPLACED = 4  # points of the forecast that make way for each result


class Point(NamedTuple):
    """One observation: what was computed, and how long it took."""

    gflops: float  #: 10^9 forward FLOPs, per image where the seconds are an epoch's
    layers: float  #: to call, one after the other
    seconds: float


def fit(points: Sequence[Point]) -> tuple[float, float]:
    """Return the seconds per 10^9 FLOPs and per layer that explain `points` best; neither is negative."""
    table = np.array(points)
    causes, seconds = table[:, :2], table[:, 2]
    both = np.linalg.lstsq(causes, seconds)[0]
    if (both >= 0).all():
        return float(both[0]), float(both[1])
    alone = np.maximum(0, causes.T @ seconds) / np.maximum(1e-12, (causes**2).sum(axis=0))
    left = ((causes * alone - seconds[:, None]) ** 2).sum(axis=0)
    return (float(alone[0]), 0.0) if left[0] <= left[1] else (0.0, float(alone[1]))


class CostModel:
    """Seconds per epoch as a sum of two shares: floating-point operations, and layers to call."""

    def __init__(self, foretold: Sequence[Point] = (), overhead: float = 1.0) -> None:
        """Begin with what a forecast says of drawn networks; without it operations alone decide.

        `overhead` is the forecast's: a slot's seconds for each second of training in it.
        """
        self.overhead = overhead
        self._foretold, self._seen = list(foretold), list[Point]()
        self._flops, self._layers = fit(self._foretold) if foretold else (1.0, 0.0)

    def learn(self, record: Record) -> None:
        """Fit the model to the latest results, this one included; copies and broken trainings say nothing.

        The more results there are, the less of the forecast counts.
        """
        curve, model = record.result.curve, record.candidate.model
        if record.copied or not curve:
            return
        seconds = sum(row["seconds"] for row in curve) / len(curve)
        self._seen = [*self._seen[1 - _LATEST :], Point(model.flops / 1e9, model.conv_layers, seconds)]
        self._flops, self._layers = fit(self._points)

    @property
    def _points(self) -> list[Point]:
        return self._foretold[_REPLACED * len(self._seen) :] + self._seen

    def expected(self, model: Model) -> float:
        """Return the seconds per epoch to be expected of `model`; before the first result, any measure of it."""
        return self._flops * model.flops / 1e9 + self._layers * model.conv_layers

    @property
    def mean(self) -> float | None:
        """Seconds per epoch to be expected of the next network; None where nothing is known of any."""
        if not self._points:
            return None
        gflops, layers, _ = np.mean(self._points, axis=0).tolist()
        return float(self._flops * gflops + self._layers * layers)
