"""What the engine costs per evaluation: training that does nothing, and one epoch whose time is taken off."""

import dataclasses
import pickle
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from benchmarks.measure import Benchmark, Samples, in_turn
from benchmarks.searching import DIGITS, nothing, timed_search
from cgp import Graph, Shape, Space
from evaluate.data.splits import load
from evaluate.job import Job, Result, Train, recipe
from evaluate.pool.executors import await_ready, local_slots
from evaluate.pool.pool import Pool
from evaluate.worker import evaluate

FRESH = (
    "import pickle, sys; from evaluate.devices.place import settle_process; from evaluate.worker import evaluate; "
    "settle_process('cpu'); print(evaluate(pickle.load(sys.stdin.buffer)).seconds)"
)
EPOCH = recipe("fast", epochs=1)


def search_nothing(folder: Path, networks: int, pool: Pool) -> float:
    """Search for `networks` networks in `folder`, 20 a generation, and return the seconds it took."""
    space = Space("resnet", 20, 70, Shape(1, 28, 28), 10)
    return timed_search(folder, pool, space, "mu-plus-lambda", (networks // 20, 20)).seconds


def evaluated(job: Job) -> Result:
    """Evaluate `job`; its seconds are those of the whole evaluation, with images, network and checkpoints."""
    started = time.perf_counter()
    result = evaluate(job)
    return dataclasses.replace(result, seconds=time.perf_counter() - started)


def _in_folder(arm: Callable[[Path], float], parent: Path) -> float:
    return arm(Path(tempfile.mkdtemp(dir=parent)))


def benchmark(quick: bool) -> Benchmark:
    """Return the benchmark; quick: no warm-up, 40 evaluations a sample instead of 400, 2 epochs instead of 40."""
    networks, epochs = (40, 2) if quick else (400, 40)
    shape = load(DIGITS).shape  # the cache is made before the clock starts
    space = Space("conv_8_3,conv_4_3,res_8_3", 2, 4, shape, 10)
    slots = local_slots(["cpu"], 2)
    await_ready(slots)
    both = Pool(slots, nothing)

    def engine(folder: Path) -> float:
        return 1000 * search_nothing(folder, networks, both) / networks

    def engine_epoch(evaluation: Callable[[Job], Result], folder: Path) -> float:
        searched = timed_search(folder, Pool(slots[:1], evaluation), space, "random", (1, epochs), EPOCH)
        return 1000 * (searched.seconds - searched.trained) / epochs

    def fresh_process(folder: Path) -> float:
        started = time.perf_counter()
        subprocess.run([sys.executable, "-c", "import torch"], check=True, cwd=folder)
        return 1000 * (time.perf_counter() - started)

    def fresh_process_epoch(folder: Path) -> float:
        graph = Graph.chain(["conv_8_3", "res_8_3", "conv_4_3"], shape, 10)
        job = pickle.dumps(Job(0, "fresh", Train(graph, EPOCH, DIGITS), 0, str(folder)))
        started = time.perf_counter()
        done = subprocess.run([sys.executable, "-c", FRESH], input=job, stdout=subprocess.PIPE, check=True)
        return 1000 * (time.perf_counter() - started - float(done.stdout))

    arms: dict[str, Callable[[Path], float]] = {
        "engine": engine,
        "engine, one epoch": partial(engine_epoch, evaluate),
        "engine, one epoch, outside `evaluate`": partial(engine_epoch, evaluated),
        "fresh process": fresh_process,
        "fresh process, one epoch": fresh_process_epoch,
    }

    def samples() -> Samples:
        # For every file that ext4 makes, it looks past those removed in the last half minute, which took up to
        # .7 ms a file: what others removed is waited for, and nothing is removed before the end.
        time.sleep(0 if quick else 40)
        with tempfile.TemporaryDirectory() as folders:
            inside = {name: partial(_in_folder, arm, Path(folders)) for name, arm in arms.items()}
            return in_turn(inside, 1 if quick else 15, not quick)

    return Benchmark(
        "overhead",
        "Milliseconds per evaluation beside its training. `engine`: training that does nothing (journal, folders, "
        "selection, pool of 2 workers), against a process that imports torch. `one epoch`: networks of 2 to 4 nodes "
        "on 500 digits one after another, each trained for an epoch whose seconds are taken off (what is left: "
        "images, network, two checkpoints, and the above; outside `evaluate`: the above alone), against a "
        "process for each",
        "ms",
        samples,
        (("engine", "fresh process"), ("engine, one epoch", "fresh process, one epoch")),
        "engine under 5 ms",
    )
