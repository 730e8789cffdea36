"""Whether the search's devices pay: seconds until the best network, trained from scratch, is good enough."""

import tempfile
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import photographs
from benchmarks.measure import Benchmark, Samples
from benchmarks.searching import silently
from cgp import Space
from cgp.model import Model
from evaluate.data.images import Images
from evaluate.data.splits import Data, load
from evaluate.devices.numerics import Numerics
from evaluate.devices.place import settle_process
from evaluate.devices.probe import resolve_precision
from evaluate.job import DataSpec, recipe
from evaluate.metrics import objectives
from evaluate.pool.executors import await_ready, local_slots
from evaluate.pool.pool import Pool
from evaluate.training.checkpoint import ModelFolder
from evaluate.training.train import Setting, fresh_network, score, train
from evaluate.worker import evaluate
from populations.record import Record
from populations.run_folder.store import Plan, Store
from populations.search.observers import Observers
from populations.search.outlook import Outlook
from populations.search.racing import Race, default_rungs
from populations.search.rung_scores import Smoothed
from populations.search.schedule import Schedule
from populations.strategies import FinalRanking, Settings, Strategy, strategy

IMAGES = {"train": 240, "test": 200}  # of each class; a quarter of the first is validated with
TRAIN, SIDE = 1200, 16
FUNCTION_SET = "conv_8_3,conv_8_5,conv_16_3,res_8_3,res_8_5,res_16_3,maxpool,avgpool,sum"
DEPTHS = (10, 30)
POPULATION = 8
TARGET = 0.41  # set after a look at another seed, where the first network had .36 and the best of 144 .42 to .44
LONG = recipe("fast", epochs=6)


@dataclass(frozen=True)
class Arm:
    """A search with or without each device."""

    strategy: str
    racing: bool
    inherit: bool


ARMS = {
    "full": Arm("aging", True, True),
    "without racing": Arm("aging", False, True),
    "without async": Arm("mu-plus-lambda", True, True),
    "without inheritance": Arm("aging", True, False),
    "random, same devices": Arm("random", True, False),
    "plain generational": Arm("mu-plus-lambda", False, False),
}


class _Incumbents(Observers):
    """Notes when each new best network was known."""

    def __init__(self, breeding: Strategy) -> None:
        super().__init__()
        self.breeding, self.began = breeding, time.perf_counter()
        self.found: list[tuple[float, Record]] = []

    def update(self, outlook: Outlook) -> None:
        best = self.breeding.best
        if best is not None and (not self.found or best.id != self.found[-1][1].id):
            self.found.append((time.perf_counter() - self.began, best))


def benchmark(quick: bool) -> Benchmark:
    """Return the benchmark; quick: one seed and two generations instead of five seeds and four.

    Raises BadInput without the photographs.
    """
    seeds, generations = (1, 2) if quick else (5, 8)
    notes: dict[str, Any] = {"target_test_accuracy": TARGET}
    folder = photographs.folder()
    return Benchmark(
        "search",
        f"Seconds until a search has found a network that, trained from scratch for {LONG.epochs} epochs, has "
        f"{TARGET:.0%} test accuracy ({TRAIN:,} images of CIFAR-10 (JPEG) at {SIDE}x{SIDE}, depth "
        f"{DEPTHS[0]}..{DEPTHS[1]}, 2 workers, {POPULATION * generations} networks at most, and {POPULATION} again "
        "from scratch where weights are inherited); each new best is retrained, once, and every retraining is "
        "charged; a search that never gets there counts with all it took",
        "s",
        partial(_samples, folder, seeds, generations, notes),
        tuple((name, "full") for name in list(ARMS)[1:]),
        "none: an honest table",
        notes,
    )


def _samples(folder: Path, seeds: int, generations: int, notes: dict[str, Any]) -> Samples:
    with tempfile.TemporaryDirectory() as some:
        photographs.link_some(folder, Path(some), **IMAGES)
        return _samples_on(DataSpec(f"folder:{some}", train_size=TRAIN, image_size=SIDE), seeds, generations, notes)


def _samples_on(spec: DataSpec, seeds: int, generations: int, notes: dict[str, Any]) -> Samples:
    data = load(spec)
    settle_process("cpu")
    precision = resolve_precision("auto", "cpu")
    slots = local_slots(["cpu"], 2)
    await_ready(slots)
    samples: Samples = {name: [] for name in ARMS}
    reached, accuracies = dict.fromkeys(ARMS, 0), {name: list[list[float]]() for name in ARMS}
    numerics = Numerics("cpu", precision)
    with Pool(slots, evaluate) as pool:
        found, _ = _searched(ARMS["full"], (seeds, 1), (spec, data), pool)
        _retrained(found[0][1].candidate.model, data, numerics)  # not charged: a process's first training is slow
        for seed in range(seeds):
            for name, arm in ARMS.items():
                found, taken = _searched(arm, (seed, generations), (spec, data), pool)
                charged, own = 0.0, dict[str, float]()  # by graph: one of the final ranking may be known
                for when, record in found:
                    graph = record.candidate.model
                    if graph.id in own:
                        continue
                    started = time.perf_counter()
                    own[graph.id] = _retrained(graph, data, numerics)
                    charged += time.perf_counter() - started
                    if own[graph.id] >= TARGET:
                        reached[name] += 1
                        taken = when
                        break
                samples[name].append(taken + charged)
                accuracies[name].append(list(own.values()))
    notes["searches_that_got_there"] = ", ".join(f"{name}: {count} of {seeds}" for name, count in reached.items())
    notes["test_accuracies"] = accuracies
    return samples


def _searched(
    arm: Arm, sizes: tuple[int, int], images: tuple[DataSpec, Data], pool: Pool
) -> tuple[list[tuple[float, Record]], float]:
    """Run a search of `arm` with (seed, generations); return when each new best was known, and all it took."""
    (seed, generations), (spec, data) = sizes, images
    space = Space(FUNCTION_SET, *DEPTHS, data.shape, len(data.classes))
    goals = objectives("val_accuracy,params")
    settings = Settings(space, goals, seed, POPULATION, POPULATION, generations, 0.05)
    breeding = strategy(arm.strategy, settings)
    breeding = FinalRanking(breeding) if arm.inherit else breeding
    trained = recipe("fast")
    race = Race(default_rungs(trained.epochs) if arm.racing else (), POPULATION, Smoothed)
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder), Plan(space, trained, spec, seed, True, "all", arm.inherit))
        incumbents = _Incumbents(breeding)
        taken = silently(breeding, Schedule(race), pool, store, incumbents)
    return incumbents.found, taken


def _retrained(graph: Model, data: Data, numerics: Numerics) -> float:
    """Train `graph` from scratch on training and validation images; return its test accuracy."""
    setting = Setting(LONG, 0, numerics)
    network = fresh_network(graph, setting)
    with tempfile.TemporaryDirectory() as folder:
        train(network, Images.of(data, ("train", "validation"), "cpu"), None, setting, ModelFolder(Path(folder), {}))
    return score(network, Images.of(data, ("test",), "cpu"), setting.numerics)["accuracy"]
