"""Draws and mutations per second, and whether their cost is linear in nodes."""

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np

from benchmarks.measure import Benchmark, in_turn
from cgp import Shape, Space, draw
from cgp.mutation import forced


def benchmark(quick: bool) -> Benchmark:
    """Return the benchmark; quick: 200 operations a sample instead of 5,000."""
    count = 200 if quick else 5000
    ranges = ((20, 70), (300, 1000))
    spaces = {f"{low}..{high}": Space("resnet", low, high, Shape(3, 32, 32), 10) for low, high in ranges}
    free = spaces["20..70"]
    spaces["20..70 in the usual limit"] = replace(free, max_flops=free.usual_flops)
    arms: dict[str, Callable[[], float]] = {}
    for name, space in spaces.items():
        arms[f"draw {name}"] = partial(_draws, space, count)
        arms[f"forced mutation {name}"] = partial(_mutations, space, count // 10)
    return Benchmark(
        "sampling",
        "Genomes drawn, and children made by forced mutation at rate .05, per second (set resnet, sequential wiring)",
        "per s",
        partial(in_turn, arms, 3 if quick else 9),
        (("draw 20..70", "draw 300..1000"), ("forced mutation 20..70", "forced mutation 300..1000")),
        "20,000 draws per second at 20..70; a ratio of 14 would be linear in nodes",
    )


def _draws(space: Space, count: int) -> float:
    rng = np.random.default_rng(0)
    started = time.perf_counter()
    for _ in range(count):
        draw(space, rng)
    return count / (time.perf_counter() - started)


def _mutations(space: Space, count: int) -> float:
    rng = np.random.default_rng(0)
    genome = draw(space, rng)
    started = time.perf_counter()
    for _ in range(count):
        genome = forced(genome, space, rng, 0.05)
    return count / (time.perf_counter() - started)
