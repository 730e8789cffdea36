"""A search with nothing but its loop: what several benchmarks have in common."""

import contextlib
import io
import time
from dataclasses import dataclass
from pathlib import Path

from cgp import Space
from evaluate.job import DataSpec, Job, Recipe, Result, recipe
from evaluate.metrics import objectives
from evaluate.pool.pool import Pool
from populations.record import Record
from populations.run_folder.store import Plan, Store
from populations.search.loop import search
from populations.search.observers import Observers
from populations.search.schedule import Schedule
from populations.strategies import Settings, Strategy, strategy
from populations.terminal.screen import Screen

DIGITS = DataSpec("digits", train_size=500)


def nothing(job: Job) -> Result:
    """Return a score without training: a number that the job's seed decides."""
    score = job.seed / 2**32
    row = {"epoch": 1, "val_accuracy": score, "val_loss": 1 - score, "seconds": 0.0}
    return Result("ok", {"val_accuracy": score, "val_loss": 1 - score}, [row], seconds=0.0)


@dataclass(frozen=True)
class Searched:
    """Seconds that a search took, and seconds of training that its results report, over all workers."""

    seconds: float
    trained: float


class _Tally(Screen):
    trained = 0.0

    def told(self, record: Record) -> None:
        super().told(record)
        self.trained += record.result.seconds or 0.0


def timed_search(
    folder: Path, pool: Pool, space: Space, kind: str, generations: tuple[int, int], trained: Recipe | None = None
) -> Searched:
    """Run a search in `folder` on digits, every network judged though its graph may be known.

    `kind` names the strategy; `generations` are how many there are and how many networks each has;
    `trained` is the recipe, `fast` by default.
    """
    count, size = generations
    plan = Plan(space, trained or recipe("fast"), DIGITS, 0, False, "all")
    breeding = strategy(kind, Settings(space, objectives("val_accuracy,params"), 0, size, size, count, 0.05))
    tally = _Tally(breeding.total)
    return Searched(silently(breeding, Schedule(), pool, Store(folder, plan), Observers([tally])), tally.trained)


def silently(breeding: Strategy, schedule: Schedule, pool: Pool, store: Store, observers: Observers) -> float:
    """Search to the end, show nothing, end the store and return the seconds that the search took."""
    started = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()):
        search(breeding, schedule, pool, store, observers)
    seconds = time.perf_counter() - started
    store.end()
    return seconds
