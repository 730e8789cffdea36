"""What the engine costs per evaluation: a search whose training does nothing."""

import contextlib
import io
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.measure import Benchmark
from cgp import Shape, Space
from evaluate.executors import await_ready, local_slots
from evaluate.fitness import objectives
from evaluate.job import DataSpec, Job, Result, recipe
from evaluate.pool import Pool
from evolve import search
from populations.schedule import Schedule
from populations.screen import Screen
from populations.store import Plan, Store
from populations.strategies import Settings, strategy


def nothing(job: Job) -> Result:
    """Return a score without training: a number that the job's seed decides."""
    score = job.seed / 2**32
    row = {"epoch": 1, "val_accuracy": score, "val_loss": 1 - score, "seconds": 0.0}
    return Result("ok", {"val_accuracy": score, "val_loss": 1 - score}, [row], seconds=0.0)


def search_nothing(folder: Path, networks: int, pool: Pool) -> float:
    """Search for `networks` networks in `folder` and return the seconds it took."""
    space = Space("resnet", 20, 70, Shape(1, 28, 28), 10)
    plan = Plan(space, recipe("fast"), DataSpec("digits"), 0, True, "all")
    settings = Settings(space, objectives("val_accuracy,params"), 0, 20, 20, networks // 20, 0.05)
    breeding, store = strategy("mu-plus-lambda", settings), Store(folder, plan)
    started = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()):
        search(breeding, Schedule(), pool, store, Screen(networks))
    seconds = time.perf_counter() - started
    store.end()
    return seconds


def benchmark(quick: bool) -> Benchmark:
    """Return the benchmark; quick: 40 evaluations a sample instead of 400."""
    networks = 40 if quick else 400
    slots = local_slots(["cpu"], 2)
    await_ready(slots)
    pool = Pool(slots, nothing)

    def engine() -> float:
        with tempfile.TemporaryDirectory() as folder:
            return 1000 * search_nothing(Path(folder), networks, pool) / networks

    def fresh_process() -> float:
        started = time.perf_counter()
        subprocess.run([sys.executable, "-c", "import torch"], check=True)
        return 1000 * (time.perf_counter() - started)

    return Benchmark(
        "overhead",
        "Milliseconds per evaluation whose training does nothing: journal, folders, selection, pool of 2 "
        "workers; against a fresh process that imports torch",
        "ms",
        {"engine": engine, "fresh process": fresh_process},
        ("engine", "fresh process"),
        3 if quick else 7,
        "engine under 20 ms",
    )
