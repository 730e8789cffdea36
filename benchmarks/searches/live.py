"""python -m benchmarks.searches live --minutes N: whole searches against drawing at random, with paired seeds.

Decided before the first run: the arms below; 20 seeds, of which all arms share the first 24 networks and their
trainings; a budget of core-seconds (training, and what choosing takes), three times what those 24 have cost. The
winners are judged by three long trainings on fresh seeds, on test images that no search has seen. What is made of
it, and when success is claimed, says `summary`. The seeds 0 to 19 were those of an earlier version of `screened`
(`live-first.jsonl.gz`); what they showed is in this one, which is judged on others.

It takes hours and goes on where the table `live.jsonl.gz` ends; each row, a search, says on which hardware.
"""

import math
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
from benchmarks.searches.population import (
    IMAGES,
    LONG,
    SHORT,
    SIDE,
    SPACE,
    TRAIN,
    on,
    test_best,
    train_counted,
    trained_and_tested,
)
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
from populations.strategies.screened import START, Judge, Lesson, Screened
from populations.surrogate import Regression

TABLE = Path(__file__).with_name("live.jsonl.gz")
VERSION = 2  #: 1: seeds 0 to 19, with the first version of `screened`
FIRST, SEEDS = 20, 20  #: the first seed, and how many
BUDGET = 3.0  #: in costs of the start
BATCH = 8
JUDGES = 3


class AtRandom(Screened):
    """The same start, then uniform draws."""

    def judge(self, lesson: Lesson, rng: np.random.Generator) -> Judge | None:
        """Trust nobody."""
        return None


class ModelFree(Screened):
    """The same candidates without a model: one is as good as another.

    It picks blindly, so it makes a few candidates only: what hundreds cost would be charged to its budget.
    """

    draws, children = 16, 32  # in the proportion in which the surrogate has them

    def judge(self, lesson: Lesson, rng: np.random.Generator) -> Judge | None:
        """Have any opinion, from when the surrogate could have one."""
        return _Whim(rng) if len(lesson.seen) >= START // 2 else None


class ByParameters(Screened):
    """The same, with a surrogate that knows the number of parameters alone."""

    regressions = (Regression((0,)),)  # its logarithm


class _Whim:
    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng

    def opinion(self, candidates: NDArray[np.float64]) -> NDArray[np.float64]:
        return self._rng.random(len(candidates))

    def expectation(self, candidates: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.full(len(candidates), np.nan)


class _SameStart(Strategy):
    """Begins with the networks that the other arms begin with."""

    def draw(self, rng: np.random.Generator) -> Genome:
        """Return the next network of the start, and draws behind it."""
        if not hasattr(self, "_start"):
            settings = replace(self.settings, generations=1)
            self._start = [candidate.genome for candidate in Screened(settings).start()]
        drawn = self._start.pop(0) if self._start else None
        return drawn or super().draw(rng)


class _Ageing(_SameStart, Aging):
    pass


ARMS: dict[str, type[Strategy]] = {
    "random": AtRandom,
    "screened": Screened,
    "model-free": ModelFree,
    "parameters": ByParameters,
    "aging": _Ageing,
}
DECIDING = ("random", "screened", "model-free")  #: recorded first, for all seeds


@dataclass(frozen=True)
class Asked:
    """A search that a worker is to run; `start` are the results of the first networks, empty to make them."""

    arm: str
    seed: int
    images: str
    device: str = "cpu"
    start: tuple[dict[str, Any], ...] = ()
    budget: float = math.inf  #: core-seconds

    def job(self, number: int, model: Model, trained: Recipe, folder: Path) -> Job:
        """Return the training of network `number`."""
        spec = DataSpec(f"folder:{self.images}", train_size=TRAIN, image_size=SIDE)
        seeded = int(np.random.SeedSequence([2028, self.seed, number]).generate_state(1)[0])
        return Job(number, str(number), Train(model, on(self.device, trained), spec), seeded, str(folder))


def breeding(asked: Asked) -> Strategy:
    """Return the strategy of an arm; its budget ends it long before its generations do."""
    goals = objectives("val_accuracy,params")
    arm = ARMS.get(asked.arm, AtRandom)
    return arm(Settings(SPACE, goals, asked.seed, START, BATCH, 1000, 0.05))


def made(asked: Asked) -> Row:
    """Return the row of a search, or with arm `start` of the networks that all arms of a seed begin with.

    Of each network that a search trains, in order: core-seconds spent until then, validation and test accuracy. To
    save time the arms but `random` test only what is the best so far, by validation; of others the latter is 0.
    """
    searching, spent, known = breeding(asked), 0.0, list[Result]()
    waiting, found = deque[Candidate](), list[list[float]]()
    best: tuple[float, Candidate] | None = None
    with tempfile.TemporaryDirectory() as folder:
        while spent < asked.budget and not (asked.arm == "start" and len(known) == START):
            began = time.process_time()
            waiting += searching.ask(1)
            spent += time.process_time() - began  # what choosing takes
            candidate = waiting.popleft()
            if candidate.number < len(asked.start):
                result = Result.from_json(asked.start[candidate.number])
            else:
                place = Path(folder) / str(candidate.number)
                place.mkdir()
                job = asked.job(candidate.number, candidate.model, SHORT, place)
                result = train_counted(job)
                if asked.arm in ("start", "random") or best is None or _validated(result) > best[0]:
                    result = test_best(job, result)
            known.append(result)
            spent += result.seconds or 0.0
            searching.tell(Record(candidate, str(candidate.number), result))
            score = _validated(result)
            found.append([round(spent, 2), score, result.metrics.get("test_accuracy", 0.0)])
            if best is None or score > best[0]:
                best = score, candidate
        if asked.arm == "start":
            return {"arm": "start", "seed": asked.seed, "results": [result.to_json() for result in known]}
        judged = [_judged(asked, best[1], n, Path(folder)) for n in range(JUDGES)] if best else []
    nodes = best[1].model.to_json()["nodes"] if best else []
    row = {"arm": asked.arm, "seed": asked.seed, "budget": round(asked.budget, 2), "trained": found}
    return row | {"winner": nodes, "judged": judged}


def _validated(result: Result) -> float:
    return result.metrics.get("val_accuracy", 0.0)


def warmed(asked: Asked) -> Row:
    """Train one network that does not count: a worker's first one pays for what its device loads."""
    with tempfile.TemporaryDirectory() as folder:
        candidate = breeding(asked).ask(1)[0]
        trained_and_tested(asked.job(candidate.number, candidate.model, SHORT, Path(folder)))
    return {}


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
            wait([slot.submit(warmed, Asked("start", 0, some, recording.device)) for slot in slots])
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
    """Yield the searches that the table lacks, seed by seed: the start, and once that is there the arms.

    Those that decide come first, for all seeds.
    """
    rows = {(row["arm"], row["seed"]): row for row in found}
    for arms in (DECIDING, [arm for arm in ARMS if arm not in DECIDING]):
        for seed in range(FIRST, FIRST + seeds):
            if ("start", seed) in rows:
                start = tuple(rows["start", seed]["results"])
                budget = BUDGET * sum(result["seconds"] or 0.0 for result in start)
                missed = [arm for arm in arms if (arm, seed) not in rows]
                yield from (Asked(arm, seed, images, device, start, budget) for arm in missed)
            elif arms is DECIDING:
                yield Asked("start", seed, images, device)


def main(argv: Sequence[str]) -> int:
    """Run searches for so many minutes; 0: done or to be gone on with, 2: bad input."""

    def recorded(recording: Recording) -> str:
        found = record(recording)
        return f"{sum(row['arm'] != 'start' for row in found)} of {recording.count * len(ARMS)} searches in {TABLE}"

    return command(argv, __doc__, ("seeds", SEEDS), recorded)
