"""Memory of one worker and of two, with what they share counted once."""

import dataclasses
import os
import tempfile
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measure import Benchmark, Samples, in_turn
from cgp import Graph, Shape
from evaluate.data.datasets import DATASETS, Raw
from evaluate.data.splits import load
from evaluate.job import DataSpec, Job, Train, recipe
from evaluate.pool.executors import await_ready, local_slots
from evaluate.pool.pool import Pool
from evaluate.worker import evaluate

IMAGE = Shape(3, 32, 32)
ONE, TWO, ADDED = "1 worker", "2 workers", "the second worker adds"
BLOCKS = ("conv_16_3", "maxpool", *["res_32_3"] * 3, "maxpool", *["res_64_3"] * 2, "maxpool", "res_64_3")


def benchmark(quick: bool) -> Benchmark:
    """Return the benchmark; quick: 2,000 images instead of 50,000, one turn instead of three."""
    images = 2000 if quick else 50_000
    notes: dict[str, Any] = {"images, MB": round(images * np.prod(IMAGE) / 2**20, 1)}

    def samples() -> Samples:
        with tempfile.TemporaryDirectory() as folder:
            os.environ["XDG_CACHE_HOME"] = folder
            spec = _noise(images, Path(folder))
            arms = {
                ONE: lambda: _peak(1, spec, Path(folder), notes),
                TWO: lambda: _peak(2, spec, Path(folder), notes),
            }
            found = in_turn(arms, 1 if quick else 3, warm_up=False)
        return found | {ADDED: [two - one for one, two in zip(found[ONE], found[TWO], strict=True)]}

    return Benchmark(
        "memory",
        f"MB of all workers together at their peak, while each trains a network of {len(BLOCKS)} nodes for one "
        f"epoch on {images * 2 // 25:,} of the same {images:,} images of 3x32x32 and scores it on a tenth of them (a "
        "quarter of few): proportional set size, which counts what processes share once; the driver is left out",
        "MB",
        samples,
        ((TWO, ONE),),
        "the second worker adds under 350 MB",
        notes,
    )


def _peak(workers: int, spec: DataSpec, folder: Path, notes: dict[str, Any]) -> float:
    """Train on `workers` new workers and return the greatest sum of their PSS, in MB; note RSS and idle PSS."""
    slots = local_slots(["cpu"], workers)
    pids = [worker["pid"] for worker in await_ready(slots)]
    idle = [_rollup(pid)["Pss"] for pid in pids]
    highest, resident = 0.0, [0.0] * workers
    numbers = count()
    with Pool(slots, evaluate) as pool, tempfile.TemporaryDirectory(dir=folder) as models:
        while pool.free:
            pool.submit(_job(next(numbers), spec, Path(models)))
        while pool.busy:
            for job, result in pool.settle():
                if result.status != "ok":
                    raise RuntimeError(f"job {job.number}: {result.status}: {result.error}")
            found = [_rollup(pid) for pid in pids]
            highest = max(highest, sum(each["Pss"] for each in found))
            resident = [max(most, each["Rss"]) for most, each in zip(resident, found, strict=True)]
    for name, values in ((f"peak RSS of each of {workers}, MB", resident), (f"PSS of {workers} before, MB", idle)):
        notes.setdefault(name, []).append([round(each, 1) for each in values])
    return highest


def _job(number: int, spec: DataSpec, models: Path) -> Job:
    folder = models / str(number)
    folder.mkdir()
    graph = Graph.chain(list(BLOCKS), IMAGE, 10)
    task = Train(graph, recipe("fast", epochs=1), spec)
    return Job(number, str(number), task, number, str(folder))


def _rollup(pid: int) -> dict[str, float]:
    """Return Rss and Pss of a process in MB."""
    fields = [line.split() for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]]
    return {name.rstrip(":"): int(value) / 1024 for name, value, *_ in fields}


def _noise(images: int, folder: Path) -> DataSpec:
    """Write a cache of `images` random images under the name of a dataset that workers know."""
    rng = np.random.default_rng(0)
    held_out = 10  # test images, which no job reads
    pixels = rng.integers(0, 256, (images + held_out, *IMAGE), dtype=np.uint8)
    labels = rng.integers(0, 10, images + held_out)
    raw = Raw(pixels, labels, [str(n) for n in range(10)], images)
    entry = DATASETS["cifar10"]
    spec = DataSpec("cifar10", data_dir=str(folder / "none"), train_size=images * 2 // 25)
    DATASETS["cifar10"] = dataclasses.replace(entry, read=lambda *_: raw)
    load(spec)
    DATASETS["cifar10"] = entry
    load.cache_clear()  # so that the driver maps none of it
    return spec
