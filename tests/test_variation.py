"""The p-variation: what the source's mathematics says of it, to the digit."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.distance import cdist

from cgp.errors import BadInput
from evaluate.variation import p_variation, variation_norm

CORNERS = [(0, 0), (1, 0), (1, 1), (0, 1), (0, 0)]


@pytest.mark.parametrize(("p", "value"), [(1, 4), (1.5, 4), (2, 4), (2.5, 4.757), (3, 5.657), (4, 8)])
def test_the_corners_of_the_unit_square(p: float, value: float) -> None:
    assert p_variation(CORNERS, p) == pytest.approx(value, abs=5e-4)
    assert variation_norm(CORNERS, p) == pytest.approx(p_variation(CORNERS, p) ** (1 / p))


def test_a_straight_path_is_best_in_one_step() -> None:
    assert p_variation(range(10), 2) == pytest.approx(81, rel=1e-14)
    assert p_variation(range(10), 1) == pytest.approx(9, rel=1e-14)


@settings(max_examples=60, deadline=None)
@given(
    arrays(np.float64, st.tuples(st.integers(1, 7), st.integers(1, 3)), elements=st.floats(-9, 9, width=16)),
    st.floats(1, 6),
)
def test_it_is_that_of_the_best_of_all_ways_to_leave_points_out(points: "np.ndarray", p: float) -> None:
    last = len(points) - 1
    ways = [
        (0, *middle, last)
        for count in range(max(last, 0))
        for middle in itertools.combinations(range(1, last), count)
    ]
    sums = [sum(math.dist(points[a], points[b]) ** p for a, b in itertools.pairwise(way)) for way in ways]
    assert p_variation(points, p) == pytest.approx(max(sums, default=0), rel=1e-9, abs=1e-12)


def test_points_that_almost_meet_keep_their_digits() -> None:
    close = 1e-5 * np.random.default_rng(0).standard_normal((300, 4)).cumsum(0)
    path = np.concatenate([close, close + 1])
    powers = cdist(path, path) ** 1.1
    best = np.zeros(len(path))
    for n in range(1, len(path)):
        best[n] = (best[:n] + powers[n, :n]).max()
    assert p_variation(path, 1.1) == pytest.approx(best[-1], rel=1e-12)


@pytest.mark.parametrize("p", [1, 2, 64])
def test_no_power_overflows_in_many_dimensions(p: float) -> None:
    ends = np.array([[1.0], [-1.0]]) * np.ones(1_000_000)
    assert variation_norm(ends, p) == pytest.approx(2_000)


@pytest.mark.parametrize("p", [0.99, 0, -1, 65, math.nan, math.inf])
def test_beyond_its_range_there_is_none(p: float) -> None:
    with pytest.raises(BadInput, match=r"--p: .*expected 1\.\.64"):
        p_variation(CORNERS, p)
