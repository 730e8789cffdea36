"""How fast the gradient falls: powers of the epoch, fitted to it, with their errors. No torch."""

import math
import warnings
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import OptimizeWarning, curve_fit

FEWEST = 5  #: epochs that a law is fitted to
#: Each with where T0 may lie, from the first to the second, the second in epochs of the training.
LAWS = {"C/(t+1)^rho": (1.0, 0.0), "C/(t+T0)^rho": (1e-3, 10.0)}
NUMBERS = ("C", "rho", "T0")
_STEEPEST = 100.0  # rho; beyond, it is an exponential, which is no power
_MOST = 20_000  # evaluations of a law in one fit

Vector = NDArray[np.float64]


def law(t: Vector, c: float, rho: float, t0: float) -> Vector:
    """Return C/(t+T0)^rho at the epochs `t`, from 0."""
    values: Vector = np.exp(math.log(c) - rho * np.log(t + t0))
    return values


def fitted(omega: Sequence[float]) -> dict[str, dict[str, float]]:
    """Return, for each of `LAWS`, its numbers fitted to the values of epochs from 0, by least squares.

    Beside each of `NUMBERS` stands its standard deviation, `NAME_sd`, from the curvature of the fit; nan where the
    values do not determine it, or where it ends at the edge of what is tried. `rmse` is the root of the mean square
    of what is left, `r2` the share of the variance that the law explains. Of fewer than `FEWEST` epochs, and where no
    fit is found, all are nan.
    """
    return {name: _fit(np.asarray(omega, dtype=np.float64), *where) for name, where in LAWS.items()}


def _fit(values: Vector, lowest: float, longest: float) -> dict[str, float]:
    found = dict.fromkeys([part for name in NUMBERS for part in (name, f"{name}_sd")] + ["rmse", "r2"], math.nan)
    if len(values) < FEWEST or not np.isfinite(values).all() or not values[0] > 0:
        return found
    t, free = np.arange(len(values), dtype=np.float64), longest > 0

    def scaled(t: Vector, first: float, rho: float, t0: float = 1.0) -> Vector:
        """Return the law by its value at 0: C is that times T0^rho, and can be of any size."""
        value: Vector = values[0] * first * (1 + t / t0) ** -rho
        return value

    begin, upper = [1.0, 0.5, 1.0], [np.inf, _STEEPEST, longest * len(values)]
    bounds = [0.0, 0.0, lowest][: 2 + free], upper[: 2 + free]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", OptimizeWarning)  # what is not determined has no deviation
            warnings.simplefilter("ignore", RuntimeWarning)
            best, covariance = curve_fit(scaled, t, values, begin[: 2 + free], bounds=bounds, max_nfev=_MOST)
    except RuntimeError:  # it goes on and on
        return found
    first, rho, t0 = (*best, 1.0)[:3]
    slopes = np.array([1 / first, math.log(t0), rho / t0])[: 2 + free]  # of log C
    c = values[0] * first * t0**rho
    inside = np.isfinite(covariance).all() and (best < np.array(bounds[1]) * (1 - 1e-6)).all()
    if inside:
        deviations = np.sqrt(np.diag(covariance))
        found |= {"C_sd": float(c * math.sqrt(slopes @ covariance @ slopes)), "rho_sd": float(deviations[1])}
        found |= {"T0_sd": float(deviations[2])} if free else {}
    left = float(((values - scaled(t, *best)) ** 2).mean())
    spread = float(values.var())
    found |= {"C": float(c), "rho": float(rho), "T0": float(t0)}
    return found | {"rmse": math.sqrt(left), "r2": 1 - left / spread if spread else math.nan}
