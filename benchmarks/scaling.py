"""Networks per hour with one worker and with two, through the search loop."""

import tempfile
from functools import partial
from pathlib import Path

from benchmarks.measure import Benchmark, in_turn
from benchmarks.searching import DIGITS, timed_search
from cgp import Space
from evaluate.data import load
from evaluate.executors import await_ready, local_slots
from evaluate.job import recipe
from evaluate.pool import Pool
from evaluate.worker import evaluate


def benchmark(quick: bool) -> Benchmark:
    """Return the benchmark; quick: 4 smaller networks a sample instead of 24."""
    networks, depths = (4, (5, 10)) if quick else (24, (20, 30))
    shape = load(DIGITS).shape  # the cache is made before the clock starts
    space = Space("resnet", *depths, shape, 10, max_flops=depths[1] * 400_000)
    slots = local_slots(["cpu"], 2)
    await_ready(slots)

    def per_hour(workers: int) -> float:
        with tempfile.TemporaryDirectory() as folder:
            pool, trained = Pool(slots[:workers], evaluate), recipe("fast", epochs=3)
            return 3600 * networks / timed_search(Path(folder), pool, space, "random", (1, networks), trained).seconds

    arms = {"1 worker": lambda: per_hour(1), "2 workers": lambda: per_hour(2)}
    return Benchmark(
        "scaling",
        f"Networks per hour of a random search on 500 digits with one worker and with two, the same {networks} "
        f"networks of depth {depths[0]} to {depths[1]} (set resnet, three epochs each), workers up before the clock "
        "starts; two workers lose what one of them waits for the last network",
        "networks/h",
        partial(in_turn, arms, 1 if quick else 3),
        (("2 workers", "1 worker"),),
        "1.9",
    )
