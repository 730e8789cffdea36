"""python -m benchmarks.searches population --minutes N: records the population that searches are replayed on.

Networks of one space, drawn uniformly, each trained twice by the short recipe, on two seeds; when all are, some of
them, evenly spread over the ranks of their mean score, twice by the long recipe. A replayed search sees the first
short score and is judged by the others. The images are photographs: CIFAR-10 in class folders, which --data-dir or
CGP_DATA names. Searches see the validation images of the engine's own split; the test images judge.

It takes hours and goes on where the table `population.jsonl.gz` ends, so that it can be recorded in parts;
each row says on which hardware.
"""

import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import numpy as np

from benchmarks import photographs
from benchmarks.searches.command import Recording, command
from benchmarks.searches.table import Row, read, write
from cgp import Graph, Shape, Space, draw
from evaluate.devices.probe import resolve_precision
from evaluate.job import DataSpec, Job, Measure, Recipe, Result, Train, recipe
from evaluate.pool.executors import await_ready, local_slots
from evaluate.pool.pool import Pool
from evaluate.worker import evaluate

TABLE = Path(__file__).with_name("population.jsonl.gz")
VERSION = 1  #: of the table's columns, and of what is recorded in them
IMAGES = {"train": 500, "test": 200}  # of each class; a quarter of the first is validated with
TRAIN, SIDE = 1200, 16
SPACE = Space("resnet", 10, 40, Shape(3, SIDE, SIDE), 10, max_flops=20_000_000)  # so that a training takes seconds
NETWORKS, JUDGED = 600, 60
SHORT, LONG = recipe("fast"), recipe("fast", epochs=24)
RECIPES = {"short": SHORT, "long": LONG}


def graph(number: int) -> Graph:
    """Return network `number`: a uniform draw."""
    return draw(SPACE, np.random.default_rng([2026, number])).graph(SPACE)


def rows(path: Path = TABLE) -> list[Row]:
    """Return the rows recorded so far: number, kind, seed, graph, status, test_accuracy, curve, seconds, hardware.

    Raises BadInput for a table of another version.
    """
    return read(path, VERSION)


def missing(found: list[Row], networks: int, judged: int) -> Iterator[tuple[str, int, int]]:
    """Yield (kind, number, seed) of each training that the table lacks, in the order in which they are to be made."""
    known = {(row["kind"], row["number"], row["seed"]) for row in found}
    short = [("short", number, seed) for number in range(networks) for seed in (0, 1)]
    yield from (asked for asked in short if asked not in known)
    if any(asked not in known for asked in short):
        return
    scores = {number: list[float]() for number in range(networks)}
    for row in found:
        if row["kind"] == "short":
            scores[row["number"]].append(score(row))
    ranked = sorted(scores, key=lambda number: fmean(scores[number]))
    chosen = [ranked[round((place + 0.5) * networks / judged - 0.5)] for place in range(judged)]
    yield from (asked for number in chosen for seed in (0, 1) if (asked := ("long", number, seed)) not in known)


def score(row: Row) -> float:
    """Return the best validation accuracy of a training, 0 where it failed."""
    return max((point["val_accuracy"] for point in row["curve"]), default=0.0)


def record(recording: Recording, judged: int, path: Path = TABLE) -> list[Row]:
    """Train what the table at `path` lacks, and write it there; return its rows."""
    found, end = rows(path), time.monotonic() + 60 * recording.minutes
    slots = local_slots([recording.device], recording.workers)
    await_ready(slots)
    recipes = {kind: on(recording.device, trained) for kind, trained in RECIPES.items()}
    with tempfile.TemporaryDirectory() as some, Pool(slots, trained_and_tested) as pool:
        photographs.link_some(recording.photographs, Path(some), **IMAGES)
        spec = DataSpec(f"folder:{some}", train_size=TRAIN, image_size=SIDE)
        asked = dict[tuple[str, int], tuple[str, int, int]]()
        todo = missing(found, recording.count, judged)
        while True:
            while pool.free and time.monotonic() < end and (one := next(todo, None)):
                kind, number, seed = one
                folder_of = Path(some) / "models" / f"{kind}-{number}-{seed}"
                folder_of.mkdir(parents=True)
                job = job_of(number, seed, folder_of, recipes[kind], spec)
                asked[job.stage, job.number] = one
                pool.submit(job)
            if not pool.busy:
                break
            for job, result in pool.settle():
                if result.status == "lost":  # a worker's fault, no network's
                    raise RuntimeError(f"{job.id}: {result.error}")
                found.append(row_of(asked.pop((job.stage, job.number)), job, result, recording.hardware))
                shutil.rmtree(job.folder)
            ordered = sorted(found, key=lambda row: (row["kind"] == "long", row["number"], row["seed"]))
            write(ordered, VERSION, path)
    left = (end - time.monotonic()) / 60
    if left > 0 and next(missing(found, recording.count, judged), None):
        return record(replace(recording, minutes=left), judged, path)
    return found


def on(device: str, trained: Recipe) -> Recipe:
    """Return the recipe as `device` computes it fastest."""
    return replace(trained, precision=resolve_precision("auto", device), cuda_graphs=device != "cpu")


def trained_and_tested(job: Job) -> Result:
    """Train, and score the best weights on the test images, too."""
    return test_best(job, train_counted(job))


def train_counted(job: Job) -> Result:
    """Train as `evaluate` does; seconds are core-seconds, which neighbours do not lengthen as they do time."""
    began = time.process_time()
    result = evaluate(job)
    return replace(result, seconds=time.process_time() - began)


def test_best(job: Job, result: Result) -> Result:
    """Return the result of a training and, where it is ok, how its best weights score on the test images."""
    if result.status != "ok":
        return result
    task = job.train
    found = evaluate(replace(job, task=Measure("clean", task.model, job.folder, task.data, task.recipe.precision)))
    return replace(result, metrics=result.metrics | found.metrics)


def job_of(number: int, seed: int, folder: Path, trained: Recipe, spec: DataSpec) -> Job:
    """Return a training of network `number`; its stage is what the name of its folder begins with."""
    stage = folder.name.partition("-")[0]
    task = Train(graph(number), trained, spec)
    seeded = int(np.random.SeedSequence([2026, number, seed]).generate_state(1)[0])
    return Job(2 * number + seed, folder.name, task, seeded, str(folder), stage=stage)


def row_of(asked: tuple[str, int, int], job: Job, result: Result, said: str) -> Row:
    """Return what is recorded of a training: (kind, number, seed)."""
    kind, number, seed = asked
    names = ("train_loss", "val_accuracy", "val_loss")
    return {
        "number": number,
        "kind": kind,
        "seed": seed,
        "graph": job.task.model.to_json()["nodes"] if (kind, seed) == ("short", 0) else None,
        "status": result.status,
        "test_accuracy": result.metrics.get("test_accuracy"),
        "curve": [{name: round(point[name], 5) for name in names} for point in result.curve],
        "seconds": round(result.seconds or 0.0, 2),
        "hardware": said,
    }


def main(argv: Sequence[str]) -> int:
    """Record for so many minutes; 0: done or to be gone on with, 2: bad input."""

    def recorded(recording: Recording) -> str:
        found = record(recording, JUDGED)
        left = sum(1 for _ in missing(found, recording.count, JUDGED))
        return f"{len(found)} trainings in {TABLE}; {left} short ones are left" if left else f"{TABLE} is whole"

    return command(argv, __doc__, ("networks", NETWORKS), recorded)
