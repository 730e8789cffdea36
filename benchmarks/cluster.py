"""What one driver sustains on a cluster: jobs that do nothing, on 1 to 32 slots of a Dask worker over loopback."""

import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.loopback import Loopback
from benchmarks.measure import Benchmark, Samples, in_turn
from benchmarks.searching import nothing, timed_search
from cgp import Shape, Space, draw
from evaluate.job import recipe
from evaluate.pool.executors import DaskCluster, await_ready, local_slots
from evaluate.pool.pool import Pool
from evaluate.pool.slot import Slot
from evaluate.training.forecast import forecast_bytes

GPUS = 1000
_SPACE = Space("resnet", 20, 70, Shape(3, 32, 32), 10)
_PATIENCE_S = 300.0


def benchmark(quick: bool) -> Benchmark:
    """Return the benchmark; quick: 4 slots instead of 32, and 40 jobs a sample instead of 2,000."""
    counts, jobs = ((1, 4), 40) if quick else ((1, 2, 4, 8, 16, 32), 2_000)
    notes = dict[str, Any]()

    def samples() -> Samples:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            with Loopback(folder) as loopback:
                loopback.worker("w", "--resources", f"slot={counts[-1]}", "--nthreads", str(counts[-1]))
                with DaskCluster(loopback.address, _PATIENCE_S, folder, lambda line: None) as cluster:
                    there = _all_of(cluster, counts[-1])
                    local = local_slots(["cpu"], 2)
                    await_ready(local)
                    arms: dict[str, Callable[[], float]] = {
                        f"{count} slot{'s' * (count > 1)}": partial(_per_second, folder, there[:count], jobs)
                        for count in counts
                    }
                    arms["2 local workers"] = partial(_per_second, folder, local, jobs)
                    found = in_turn(arms, 1 if quick else 5, not quick)
                    for slot in local:
                        slot.stop()
            notes.update(_on_paper(folder, jobs, max(median(rates) for rates in list(found.values())[:-1])))
        return found

    most = f"{counts[-1]} slots"
    return Benchmark(
        "cluster",
        "Jobs per second of a search whose training does nothing, on slots that one Dask worker hosts over loopback "
        "(scheduler, Dask worker, its worker processes and the driver share the cores), against two local workers; "
        f"and on paper, what that means for {GPUS:,} GPUs",
        "jobs/s",
        samples,
        ((most, "1 slot"), (most, "2 local workers")),
        notes=notes,
    )


def _all_of(cluster: DaskCluster, count: int) -> list[Slot]:
    """Return all `count` slots, once they are up."""
    found: list[Slot] = [*cluster.first()]
    while len(found) < count:
        time.sleep(0.05)
        found += cluster.joined()
    return found


def _per_second(parent: Path, slots: Sequence[Slot], jobs: int) -> float:
    folder, space = Path(tempfile.mkdtemp(dir=parent)), Space("resnet", 20, 70, Shape(1, 28, 28), 10)
    return jobs / timed_search(folder, Pool(slots, nothing), space, "mu-plus-lambda", (jobs // 20, 20)).seconds


def _on_paper(folder: Path, jobs: int, per_second: float) -> dict[str, Any]:
    """Return what `per_second` jobs of one driver mean for many GPUs, and what else they would ask for."""
    journals = [path.stat().st_size for path in folder.glob("*/run.sqlite")]
    rng = np.random.default_rng(0)
    bytes_each = median(forecast_bytes(draw(_SPACE, rng).graph(_SPACE), recipe("fast")) for _ in range(32))
    shortest = GPUS / per_second
    return {
        f"shortest training that keeps {GPUS:,} GPUs busy, s": round(shortest, 1),
        "journal, kB a job": round(median(journals) / jobs / 1000, 1),
        "checkpoints, MB a network (median of resnet, depth 20 to 70)": round(bytes_each / 1e6, 1),
        f"checkpoints of {GPUS:,} GPUs with trainings of a minute, four epochs, MB/s": round(
            GPUS * 4 * bytes_each / 60 / 1e6
        ),
        f"jobs/s of {GPUS:,} GPUs with trainings of a minute": round(GPUS / 60, 1),
    }
