"""Whether the driver's memory grows with the number of evaluations."""

import gc
import tempfile
from functools import partial
from pathlib import Path

from benchmarks.measure import Benchmark, in_turn
from benchmarks.overhead import search_nothing
from benchmarks.searching import nothing
from evaluate.pool.executors import await_ready, local_slots
from evaluate.pool.pool import Pool


def benchmark(quick: bool) -> Benchmark:
    """Return the benchmark; quick: 200 evaluations instead of 2,000."""
    networks = 200 if quick else 2000
    slots = local_slots(["cpu"], 2)
    await_ready(slots)
    pool = Pool(slots, nothing)
    with tempfile.TemporaryDirectory() as folder:  # caches and arenas that any search fills
        search_nothing(Path(folder), 200, pool)

    def growth(count: int) -> float:
        before = _resident_mb()
        with tempfile.TemporaryDirectory() as folder:
            search_nothing(Path(folder), count, pool)
        gc.collect()
        return max(0.01, _resident_mb() - before)

    arms = {f"{networks} evaluations": lambda: growth(networks), f"{networks // 10}": lambda: growth(networks // 10)}
    return Benchmark(
        "growth",
        f"MB by which the driver's resident memory grows over a search of {networks} evaluations whose "
        "training does nothing, and over a tenth of it (never below .01, for the ratio's sake)",
        "MB",
        partial(in_turn, arms, 2 if quick else 3),
        ((f"{networks} evaluations", f"{networks // 10}"),),
        "under 20 MB over 2,000",
    )


def _resident_mb() -> float:
    text = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) for line in text.splitlines() if line.startswith("VmRSS")) / 1024
