"""Networks per hour with one worker and with more, through the search loop."""

import tempfile
from functools import partial
from pathlib import Path

from benchmarks.measure import Benchmark, Kept, in_turn
from benchmarks.searching import DIGITS, timed_search
from cgp import Space
from evaluate.data.splits import load
from evaluate.job import recipe
from evaluate.pool.executors import await_ready, device_names, local_slots
from evaluate.pool.pool import Pool
from evaluate.worker import evaluate


def benchmark(quick: bool, kept: Kept) -> Benchmark:
    """Return the benchmark, which goes on from `kept`; quick: 4 smaller networks a sample instead of 48."""
    networks, depths = (4, (5, 10)) if quick else (48, (20, 30))
    shape = load(DIGITS).shape  # the cache is made before the clock starts
    space = Space("resnet", *depths, shape, 10, max_flops=depths[1] * 400_000)
    device = device_names("auto")[0]
    counts = (1, 2) if device == "cpu" else (1, 2, 4, 8)
    slots = local_slots([device], counts[-1])
    await_ready(slots)

    def per_hour(workers: int) -> float:
        with tempfile.TemporaryDirectory() as folder:
            pool, trained = Pool(slots[:workers], evaluate), recipe("fast", epochs=3)
            return 3600 * networks / timed_search(Path(folder), pool, space, "random", (1, networks), trained).seconds

    arms = {f"{count} worker{'s' * (count > 1)}": partial(per_hour, count) for count in counts}
    one, *more = arms
    return Benchmark(
        "scaling",
        f"Networks per hour of a random search on 500 digits by workers on one device, the same {networks} "
        f"networks of depth {depths[0]} to {depths[1]} (set resnet, three epochs each), workers up before the clock "
        "starts; several workers lose what they wait for the last network",
        "networks/h",
        partial(in_turn, arms, 1 if quick else 5, kept=kept),
        tuple((many, one) for many in reversed(more)),
        "1.9 with two cores; 2.5 with 4 workers on a GPU",
        {"device": device},
    )
