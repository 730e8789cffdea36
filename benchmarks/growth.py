"""Whether the driver's memory grows with the number of evaluations."""

import gc
import tempfile
from functools import partial
from pathlib import Path

from benchmarks.measure import Benchmark, in_turn
from benchmarks.searching import DIGITS, nothing, silently
from cgp import Shape, Space
from evaluate.job import recipe
from evaluate.metrics import objectives
from evaluate.pool.executors import await_ready, local_slots
from evaluate.pool.pool import Pool
from populations.record import Record
from populations.run_folder.store import Plan, Store
from populations.search.observers import Observers
from populations.search.schedule import Schedule
from populations.strategies import Settings, strategy

KINDS = ("mu-plus-lambda", "aging")  #: by generations, and without them
SPACE = Space("resnet", 20, 70, Shape(1, 28, 28), 10)
GENERATION = 20


def benchmark(quick: bool) -> Benchmark:
    """Return the benchmark; quick: 200 evaluations instead of 2,000."""
    networks = 200 if quick else 2000
    slots = local_slots(["cpu"], 2)
    await_ready(slots)
    pool = Pool(slots, nothing)
    for kind in KINDS:  # caches and arenas that any search fills
        _growth(pool, kind, 200)
    counts = (networks, networks // 10)
    arms = {f"{kind}, {count} evaluations": partial(_growth, pool, kind, count) for kind in KINDS for count in counts}
    long, short = ([f"{kind}, {count} evaluations" for kind in KINDS] for count in counts)
    return Benchmark(
        "growth",
        f"MB by which the driver's resident memory has grown at the end of a search of {networks} evaluations whose "
        "training does nothing, and of a tenth of it (never below .01, for the ratio's sake)",
        "MB",
        partial(in_turn, arms, 2 if quick else 3),
        tuple(zip(long, short, strict=True)),
        "under 20 MB over 2,000",
    )


class _AtTheEnd(Observers):
    """Notes the resident memory when the last network is told, with all that the search still holds."""

    def __init__(self, total: int) -> None:
        super().__init__()
        self.left, self.resident = total, 0.0

    def told(self, record: Record) -> None:
        self.left -= 1
        if not self.left:
            gc.collect()
            self.resident = _resident_mb()


def _growth(pool: Pool, kind: str, networks: int) -> float:
    before, goals = _resident_mb(), objectives("val_accuracy,params")
    breeding = strategy(kind, Settings(SPACE, goals, 0, GENERATION, GENERATION, networks // GENERATION, 0.05))
    end = _AtTheEnd(breeding.total)
    with tempfile.TemporaryDirectory() as folder:
        plan = Plan(SPACE, recipe("fast"), DIGITS, 0, False, "all")
        silently(breeding, Schedule(), pool, Store(Path(folder), plan), end)
    return max(0.01, end.resident - before)


def _resident_mb() -> float:
    text = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) for line in text.splitlines() if line.startswith("VmRSS")) / 1024
