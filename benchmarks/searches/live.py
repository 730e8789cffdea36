"""python -m benchmarks.searches live --minutes N: whole searches against drawing at random, with paired seeds.

Decided before the first run: the arms below; 20 seeds, of which all arms share the first 24 networks and their
trainings; a budget of core-seconds (training, and what choosing takes) for each search. The curve is the test
accuracy of the best network so far by validation, over core-seconds. The primary figure is the paired difference to
`random` in the area under that curve: Wilcoxon's signed-rank test, Holm's correction over the arms, a bootstrap
interval. The winners are judged by three long trainings on fresh seeds, on test images that no search has seen.
Success is `screened` above both `random` and `model-free`.

It takes hours and goes on where the table `live.jsonl.gz` ends; each row, a search, says on which hardware.
"""

import tempfile
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import photographs
from benchmarks.searches.command import Recording, command
from benchmarks.searches.population import IMAGES, LONG, SHORT, SIDE, SPACE, TRAIN, on, trained_and_tested
from benchmarks.searches.table import Row, read, write
from cgp import Genome
from cgp.model import Model
from evaluate.job import DataSpec, Job, Recipe, Result, Train
from evaluate.metrics import objectives
from evaluate.pool.executors import await_ready, local_slots
from evaluate.pool.slot import Slot
from populations.record import Candidate, Record
from populations.strategies import Settings, Strategy
from populations.strategies.aging import Aging
from populations.strategies.mu_plus_lambda import MuPlusLambda
from populations.strategies.screened import START, Judge, Lesson, Screened

TABLE = Path(__file__).with_name("live.jsonl.gz")
VERSION = 1
SEEDS, BUDGET_S = 20, 400.0
BATCH = 8
JUDGES = 3


class AtRandom(Screened):
    """The same start, then uniform draws."""

    def judge(self, lessons: list[Lesson], rng: np.random.Generator) -> Judge | None:
        """Trust nobody."""
        return None


class ModelFree(Screened):
    """The same candidates, draws and one-gene children of the incumbent, without a model: any of them."""

    def judge(self, lessons: list[Lesson], rng: np.random.Generator) -> Judge | None:
        """Have any opinion, from when the surrogate could have one."""
        return _Whim(rng) if sum(len(lesson.seen) for lesson in lessons) >= START // 2 else None


class ByParameters(Screened):
    """The same, with a surrogate that knows the number of parameters alone."""

    known = slice(0, 1)  # its logarithm


class _Whim:
    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng

    def opinion(self, candidates: NDArray[np.float64]) -> NDArray[np.float64]:
        return self._rng.random(len(candidates))


class _SameStart(Strategy):
    """Begins with the networks that the other arms begin with."""

    def draw(self, rng: np.random.Generator) -> Genome:
        """Return the next network of the start, and draws behind it."""
        if not hasattr(self, "_start"):
            settings = replace(self.settings, generations=1)
            self._start = [candidate.genome for candidate in Screened(settings).ask(1)]
        drawn = self._start.pop(0) if self._start else None
        return drawn or super().draw(rng)


class _Generations(_SameStart, MuPlusLambda):
    pass


class _Ageing(_SameStart, Aging):
    pass


ARMS: dict[str, type[Strategy]] = {
    "random": AtRandom,
    "screened": Screened,
    "model-free": ModelFree,
    "parameters": ByParameters,
    "mu-plus-lambda": _Generations,
    "aging": _Ageing,
}


@dataclass(frozen=True)
class Asked:
    """A search that a worker is to run; `start` are the results of the first networks, empty to make them."""

    arm: str
    seed: int
    images: str
    device: str = "cpu"
    start: tuple[dict[str, Any], ...] = ()

    def job(self, number: int, model: Model, trained: Recipe, folder: Path) -> Job:
        """Return the training of network `number`."""
        spec = DataSpec(f"folder:{self.images}", train_size=TRAIN, image_size=SIDE)
        seeded = int(np.random.SeedSequence([2028, self.seed, number]).generate_state(1)[0])
        return Job(number, str(number), Train(model, on(self.device, trained), spec), seeded, str(folder))


def breeding(asked: Asked) -> Strategy:
    """Return the strategy of an arm; its budget ends it long before its generations do."""
    space = replace(SPACE, max_flops=SPACE.usual_flops)
    goals = objectives("val_accuracy,params")
    arm = ARMS.get(asked.arm, AtRandom)
    return arm(Settings(space, goals, asked.seed, START, BATCH, 1000, 0.05))


def made(asked: Asked) -> Row:
    """Return the row of a search, or with arm `start` of the networks that all arms of a seed begin with."""
    searching, spent, curve, known = breeding(asked), 0.0, list[list[float]](), list[Result]()
    waiting = deque[Candidate]()
    best: tuple[float, float, Candidate] | None = None
    with tempfile.TemporaryDirectory() as folder:
        while spent < BUDGET_S and not (asked.arm == "start" and len(known) == START):
            began = time.process_time()
            waiting += searching.ask(1)
            spent += time.process_time() - began  # what choosing takes
            candidate = waiting.popleft()
            if candidate.number < len(asked.start):
                result = Result.from_json(asked.start[candidate.number])
            else:
                place = Path(folder) / str(candidate.number)
                place.mkdir()
                result = trained_and_tested(asked.job(candidate.number, candidate.model, SHORT, place))
            known.append(result)
            spent += result.seconds or 0.0
            searching.tell(Record(candidate, str(candidate.number), result))
            score = result.metrics.get("val_accuracy", 0.0)
            if best is None or score > best[0]:
                best = score, result.metrics.get("test_accuracy", 0.0), candidate
                curve.append([round(spent, 2), *best[:2]])
        if asked.arm == "start":
            return {"arm": "start", "seed": asked.seed, "results": [result.to_json() for result in known]}
        judged = [_judged(asked, best[2], n, Path(folder)) for n in range(JUDGES)] if best else []
    nodes = best[2].model.to_json()["nodes"] if best else []
    row = {"arm": asked.arm, "seed": asked.seed, "networks": len(known), "spent": round(spent, 2), "curve": curve}
    return row | {"winner": nodes, "judged": judged}


def _judged(asked: Asked, winner: Candidate, n: int, folder: Path) -> float:
    place = folder / f"judged-{n}"
    place.mkdir()
    result = trained_and_tested(asked.job(10**6 + JUDGES * winner.number + n, winner.model, LONG, place))
    return result.metrics.get("test_accuracy", 0.0)


def rows(path: Path = TABLE) -> list[Row]:
    """Return the searches recorded so far. Raises BadInput for a table of another version."""
    return read(path, VERSION)


def record(recording: Recording, path: Path = TABLE) -> list[Row]:
    """Run the searches that the table at `path` lacks, and write it there; return its rows."""
    found, end, said = rows(path), time.monotonic() + 60 * recording.minutes, recording.hardware
    slots = local_slots([recording.device], recording.workers)
    await_ready(slots)
    idle, running = list[Slot](slots), dict["Future[Row]", tuple[Slot, Asked]]()
    with tempfile.TemporaryDirectory() as some:
        photographs.link_some(recording.photographs, Path(some), **IMAGES)
        try:
            while True:
                while idle and time.monotonic() < end:
                    under_way = {(asked.arm, asked.seed) for _, asked in running.values()}
                    todo = missing(found, recording.count, some, recording.device)
                    asked = next((one for one in todo if (one.arm, one.seed) not in under_way), None)
                    if asked is None:
                        break
                    slot = idle.pop()
                    running[slot.submit(made, asked)] = slot, asked
                if not running:
                    return found
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    idle.append(running.pop(future)[0])
                    found.append(future.result() | {"hardware": said})
                write(sorted(found, key=lambda row: (row["seed"], row["arm"])), VERSION, path)
        finally:
            for slot in slots:
                slot.stop()


def missing(found: list[Row], seeds: int, images: str, device: str) -> Iterator[Asked]:
    """Yield the searches that the table lacks: all starts, then the arms of the seeds whose start is there."""
    for seed in range(seeds):
        known = {row["arm"]: row for row in found if row["seed"] == seed}
        if "start" not in known:
            yield Asked("start", seed, images, device)
    for seed in range(seeds):
        for arm in ARMS:
            known = {row["arm"]: row for row in found if row["seed"] == seed}
            if arm not in known and "start" in known:
                yield Asked(arm, seed, images, device, tuple(known["start"]["results"]))


def main(argv: Sequence[str]) -> int:
    """Run searches for so many minutes; 0: done or to be gone on with, 2: bad input."""

    def recorded(recording: Recording) -> str:
        found = record(recording)
        return f"{sum(row['arm'] != 'start' for row in found)} of {recording.count * len(ARMS)} searches in {TABLE}"

    return command(argv, __doc__, ("seeds", SEEDS), recorded)
