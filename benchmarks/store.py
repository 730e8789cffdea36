"""What the journal of a long run costs: appending, reopening, loading, looking up, resuming."""

import contextlib
import io
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measure import Benchmark, in_turn
from benchmarks.searching import nothing, silently
from cgp import Shape, Space, draw
from evaluate.job import SEARCH, DataSpec, Key, Result, recipe
from evaluate.metrics import objectives
from evaluate.pool.pool import Pool
from evaluate.pool.slot import HERE, Returned, Sent
from populations import load
from populations.record import Candidate
from populations.run_folder.folder import create_run
from populations.run_folder.journal import Journal
from populations.run_folder.store import Plan, Store
from populations.search.observers import Observers
from populations.search.schedule import Schedule
from populations.strategies import Settings, strategy
from populations.terminal.screen import Screen

SPACE = Space("resnet", 20, 70, Shape(3, 32, 32), 10)
PLAN = Plan(SPACE, recipe("fast"), DataSpec("cifar10"), 0, True, "all")
VARIANTS = 500  # different networks, which a bulk insertion repeats under other ids
POPULATION = 20


class Here:
    """A slot that runs a job in this process, at once."""

    name, device, machine, ready_at = "here", "cpu", HERE, 0.0
    retired: str | None = None
    ready = Future[dict[str, Any]]()
    began_at = time.monotonic()

    def submit(self, function: Callable[[Sent], Returned], job: Sent) -> "Future[Returned]":
        """Run `function(job)`."""
        future: Future[Returned] = Future()
        future.set_result(function(job))
        return future

    def restart(self) -> None:
        """Leave things as they are: there is no worker."""

    def stop(self) -> None:
        """Leave things as they are: there is no worker."""


def candidate(number: int) -> Candidate:
    """Return a random network, its costs counted."""
    genome = draw(SPACE, np.random.default_rng(number))
    graph = genome.graph(SPACE)
    assert graph.params
    return Candidate(number, number // POPULATION, None, genome, graph)


def six_epochs(number: int) -> Result:
    """Return a result as long as those of recipe `fast`."""
    score = np.random.default_rng(number).random()
    metrics = {"val_accuracy": score, "val_loss": 1 - score}
    row = metrics | {"lr": score / 1000, "train_loss": score / 3, "train_accuracy": score / 2, "seconds": score * 7}
    curve = [{"epoch": float(epoch)} | row for epoch in range(1, 7)]
    numerics = {"device_name": "x86_64", "instruction_set": "AVX512", "precision": "bf16", "torch": "2.15.0"}
    numerics |= {"device": "cpu", "threads": "1", "data_fingerprint": "f" * 64}
    return Result("ok", metrics, curve, score * 42, score * 1000, numerics=numerics)


def fill(folder: Path, records: int, variants: int = VARIANTS) -> Path:
    """Make a run of `records` finished jobs, no two with the same graph id, and return `folder`.

    They are copies of `variants` networks, as many times as needed.
    """
    create_run(folder, {"function_set": "resnet", "epochs": 6}).release()
    path = folder / "run.sqlite"
    journal = Journal(path, writable=True)
    for number in range(variants):
        made = candidate(number)
        assert made.genome
        journal.add_job(made, f"{number:012x}", number, made.genome.to_json(SPACE))
        journal.add_result(made.key, six_epochs(number), None, told=True)
    journal.close()
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        for setting in ("journal_mode=off", "synchronous=off", "cache_size=-1000000"):  # kB
            db.execute(f"pragma {setting}")
        for shift in range(variants, records, variants):
            for table in ("jobs", "tasks", "results", "metrics", "details"):
                db.execute(_copies(db, table, shift, variants))
    return folder


def _copies(db: sqlite3.Connection, table: str, shift: int, variants: int) -> str:
    changed = {
        "job": f"job + {shift}",
        "number": f"number + {shift}",
        "parent": f"job + {shift - variants}",
        "generation": f"generation + {shift // POPULATION}",
        "id": "lower(hex(randomblob(6)))",
        "graph_id": "lower(hex(randomblob(32)))",
    }
    names = [row[1] for row in db.execute(f"pragma table_info({table})")]
    columns = ", ".join(changed.get(name, name) for name in names)
    return f"insert into {table} select {columns} from {table} where job <= {variants}"


def append(folder: Path, count: int) -> float:
    """Open and close `count` jobs of new networks; return the median milliseconds of one."""
    store = Store(folder, PLAN)
    first = 1 + store.journal.tuples("select max(number) from jobs")[0][0]
    taken = []
    for made in map(candidate, range(first, first + count)):
        result = six_epochs(made.number)
        started = time.perf_counter()
        if job := store.open(made):
            store.close(job, result)
        taken.append(time.perf_counter() - started)
    store.end()
    return 1000 * statistics.median(taken)


def reopen(folder: Path) -> float:
    """Return the milliseconds until a driver may go on with the run."""
    started = time.perf_counter()
    store = Store(folder, PLAN)
    taken = time.perf_counter() - started
    store.end()
    return 1000 * taken


def into_pandas(folder: Path) -> float:
    """Return the milliseconds that the table of all models takes."""
    started = time.perf_counter()
    load(folder).models.info(buf=io.StringIO())
    return 1000 * (time.perf_counter() - started)


def look_up(folder: Path, count: int, by_graph: bool) -> float:
    """Return the milliseconds that the journal takes to find a job, by number or as the first with a graph."""
    journal = Journal(folder / "run.sqlite")
    total = journal.tuples("select max(number) from jobs")[0][0]
    numbers = [int(n) for n in np.random.default_rng(0).integers(0, total, count)]
    graphs = [journal.tuples("select graph_id from jobs where number=?", n)[0][0] for n in numbers]
    started = time.perf_counter()
    for number, graph_id in zip(numbers, graphs, strict=True):
        found = journal.first_with(graph_id) if by_graph else journal.identity(Key(SEARCH, number))
        assert found is not None
    taken = time.perf_counter() - started
    journal.close()
    return 1000 * taken / count


def search_here(folder: Path, networks: int) -> float:
    """Search for `networks` networks without training, or resume that; return the milliseconds of each."""
    settings = Settings(
        SPACE, objectives("val_accuracy,params"), 0, POPULATION, POPULATION, networks // POPULATION, 0.05
    )
    breeding, pool = strategy("mu-plus-lambda", settings), Pool([Here(), Here()], nothing)
    folder.mkdir(exist_ok=True)
    return 1000 * silently(breeding, Schedule(), pool, Store(folder, PLAN), Observers([Screen(networks)])) / networks


def benchmark(quick: bool) -> Benchmark:
    """Return the benchmark; quick: 1,000 and 4,000 records instead of 100,000 and 1,000,000."""
    sizes, resumed = ((1_000, 4_000), 100) if quick else ((100_000, 1_000_000), 4_000)
    place = tempfile.TemporaryDirectory()  # until the arms are gone
    root = Path(place.name)
    runs = {size: fill(root / str(size), size) for size in sizes}
    search_here(root / "resumed", resumed)
    arms = dict[str, Callable[[], float]](_arms(runs, 10 if quick else 300))
    arms[f"resume, each of {resumed:,}"] = partial(lambda _: search_here(root / "resumed", resumed), place)
    small, large = (f"reopen {size:,}" for size in sizes)
    return Benchmark(
        "store",
        "Milliseconds that the record of a run takes at two sizes: one durable job with its result, a driver's "
        "start, the table of all models, finding a job by number or as the first with its graph; and going "
        "through the loop of a resumed search, for each record",
        "ms",
        partial(in_turn, arms, 2 if quick else 3),
        ((large, small),),
        "append 1 ms; 100,000 into pandas 1,000 ms; reopen 1,000,000 2,000 ms; look-up microseconds",
    )


def _arms(runs: dict[int, Path], count: int) -> Iterator[tuple[str, Callable[[], float]]]:
    for size, folder in runs.items():
        yield f"append to {size:,}", partial(append, folder, count)
        yield f"reopen {size:,}", partial(reopen, folder)
        yield f"into pandas {size:,}", partial(into_pandas, folder)
        yield f"job among {size:,}", partial(look_up, folder, 1000, False)
        yield f"first with graph among {size:,}", partial(look_up, folder, 1000, True)
