"""The 2017 way against this engine: networks per hour at equal validation accuracy.

Fixed before the measurement that is recorded (recipe `fast` was chosen on other images and other
genomes, see `recipe`):

- Genomes: eight draws, in `peer` four from set `vgg` at depths 20, 34, 48, 62 and four from `resnet` at 27,
  41, 55, 70; in `peer_shallow`, where the 2017 way is at home, four from `cgp-cnn-conv` at 6, 11, 15, 20 and
  four from `resnet` at 8, 12, 16, 19. Random stream [2017, depth]; at most 1.25 MFLOPs a node, so that it all
  fits a small machine.
- Images: the first 1,196 training images of MNIST, halved to 16x16; the engine's own split of them:
  896 for training, 299 for validation. Both arms read the same files and use the same indices.
- Seeds 0, 1, 2. Within a seed: the 2017 way first, then ours.
- 2017 way: see way2017.py; generations of four on two processes.
- Ours: `evaluate` on two workers with recipe `fast`, whose epochs are the only thing changed. Epochs go
  up through 2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 25; the first at which the mean validation accuracy
  over all networks and seeds is no more than .3 points below the 2017 way's is the one whose timing
  counts; in `peer_shallow` three quarters of the networks, too, must each be no more than 1 point (three
  images) below, in the mean over the seeds. If none reaches it, the last counts, and the result says so. To
  save time, epochs whose mean over the seeds run so far is more than 2 points below are not run with later seeds.
- Accuracy is that of the last epoch in both arms: a maximum over epochs would flatter ours, which
  validates each epoch. A training that fails counts as accuracy 0.
- Device: the first GPU, where there is one, for both arms; else the CPU.
- Clock: the 2017 way pays for its processes, as its user does, in each generation; ours starts its
  workers once, and a seed is charged its share.

The interval is the least and the greatest ratio of a seed.
"""

import os
import struct
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import count
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from benchmarks import way2017
from benchmarks.measure import Benchmark, Kept, Samples
from cgp import BadInput, Graph, Space, draw
from evaluate.data.splits import Data, load
from evaluate.job import DataSpec, Job, Recipe, Result, Train, recipe
from evaluate.pool.executors import await_ready, device_names, local_slots
from evaluate.pool.pool import Pool
from evaluate.worker import evaluate

DEPTHS: dict[str, tuple[int, ...]] = {"vgg": (20, 34, 48, 62), "resnet": (27, 41, 55, 70)}
MAX_FLOPS_PER_NODE = 1_250_000
GENERATION = 4
MARGIN, OF_ONE, HOPELESS = 0.003, 0.01, 0.02
PEER, OURS = "2017 way", "ours"


@dataclass(frozen=True)
class Size:
    """How much is done; the defaults are what the benchmark registers."""

    images: int = 1196
    train: int = 896
    seeds: int = 3
    peer_epochs: int = 50
    epochs: tuple[int, ...] = (2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 25)
    depths: dict[str, tuple[int, ...]] = field(default_factory=lambda: DEPTHS)
    share: float = 0.0  #: of the networks, which must each reach the accuracy that the 2017 way brings it to

    def quick(self) -> "Size":
        """Return a short form: the first network of each set."""
        firsts = {name: depths[:1] for name, depths in self.depths.items()}
        return Size(256, 128, 1, 2, (1, 2), firsts, self.share)


@dataclass(frozen=True)
class Timed:
    """One pass over all networks with one seed."""

    seconds: float
    accuracies: list[float]  #: in the order of the networks


def benchmark(quick: bool, kept: Kept) -> Benchmark:
    """Return the benchmark, which goes on from `kept`; quick: two networks, one seed, two epochs, 128 images.

    Raises BadInput when MNIST is not where CGP_DATA says.
    """
    what = "mean validation accuracy"
    return compared("peer", what, Size().quick() if quick else Size(), kept)


def compared(name: str, what: str, size: Size, kept: Kept) -> Benchmark:
    """Return the benchmark `name` of both ways to the same `what`; `kept` holds passes over all networks.

    Raises BadInput as `benchmark` does.
    """
    source = _source()
    notes: dict[str, Any] = {}

    def samples() -> Samples:
        with tempfile.TemporaryDirectory() as folder:
            os.environ["XDG_CACHE_HOME"] = folder
            _halve(source, Path(folder) / "images", size.images)
            return _samples(size, Path(folder), notes, kept)

    return Benchmark(
        name,
        f"Networks trained per hour to the same {what}: ours against the 2017 way (fp32, PIL loader, Adam, 50 "
        f"epochs, a fresh pool and a barrier per generation), the same 8 networks of depth {_range(size)} and 3 "
        f"seeds, on {size.train} images of MNIST at 16x16",
        "networks/h",
        samples,
        ((OURS, PEER),),
        "10",
        notes,
    )


def _samples(size: Size, folder: Path, notes: dict[str, Any], kept: Kept) -> Samples:
    spec = DataSpec("mnist", data_dir=str(folder / "images"), train_size=size.train)
    data = load(spec)
    graphs = _graphs(data, size)
    started = time.monotonic()
    slots = local_slots(device_names("auto")[:1], way2017.PROCESSES)
    await_ready(slots)
    start_up = time.monotonic() - started
    with Pool(slots, evaluate) as pool:
        ours = Ours(pool, spec, graphs, folder, kept)
        peer: list[Timed] = []
        for seed in range(size.seeds):
            peer.append(
                _kept(kept, f"{PEER}, seed {seed}", partial(_peer, graphs, data, spec, seed, size.peer_epochs))
            )
            _fewest(ours, peer, size)  # those that may matter are timed beside the peer's seed
        epochs, reached = _fewest(ours, peer, size)
    mine = [ours.timed(epochs, seed) for seed in range(size.seeds)]
    charge = start_up / size.seeds
    notes |= {
        "epochs of ours": epochs,
        "accuracy reached": reached,
        f"mean accuracy, {PEER}": round(_mean(peer), 4),
        f"mean accuracy, {OURS}": round(_mean(mine), 4),
        "networks that reach their own": f"{round(_share(mine, peer) * len(graphs))} of {len(graphs)}",
        "difference of a network, least and greatest": _extremes(mine, peer),
        "start of our workers, s": round(start_up, 2),
        "networks": [{"id": g.id, "depth": g.depth, "params": g.params, "flops": g.flops} for g in graphs],
        "accuracies": {PEER: [run.accuracies for run in peer]}
        | {f"{OURS}, {tried} epochs": ours.accuracies(tried, size.seeds) for tried in ours.tried()},
        "seconds": {PEER: [run.seconds for run in peer], OURS: [run.seconds for run in mine]},
    }
    hour = 3600 * len(graphs)
    return {
        PEER: [hour / run.seconds for run in peer],
        OURS: [hour / (run.seconds + charge) for run in mine],
    }


class Ours:
    """Our arm, which runs each number of epochs and seed once, when first asked for it."""

    def __init__(self, pool: Pool, spec: DataSpec, graphs: Sequence[Graph], folder: Path, kept: Kept) -> None:
        """Train `graphs` on the images of `spec` in `pool`, with checkpoints below `folder`; go on from `kept`."""
        self._pool, self._spec, self._graphs, self._folder, self._kept = pool, spec, graphs, folder, kept
        self._done: dict[tuple[int, int], Timed] = {}
        self._numbers = count()

    def timed(self, epochs: int, seed: int) -> Timed:
        """Return the pass over all networks with `seed`."""
        if (epochs, seed) not in self._done:
            run = partial(self._run, recipe("fast", epochs=epochs), seed)
            self._done[epochs, seed] = _kept(self._kept, f"{OURS}, {epochs} epochs, seed {seed}", run)
        return self._done[epochs, seed]

    def tried(self) -> list[int]:
        """Return the numbers of epochs that were run, ascending."""
        return sorted({epochs for epochs, _ in self._done})

    def accuracies(self, epochs: int, seeds: int) -> list[list[float] | None]:
        """Return accuracies by seed and network, None for a seed that was not run."""
        runs = [self._done.get((epochs, seed)) for seed in range(seeds)]
        return [run.accuracies if run else None for run in runs]

    def _run(self, trained: Recipe, seed: int) -> Timed:
        results: dict[int, Result] = {}
        started = time.monotonic()
        jobs = [self._job(graph, trained, seed) for graph in self._graphs]
        waiting = list(reversed(jobs))
        while waiting or self._pool.busy:
            while waiting and self._pool.free:
                self._pool.submit(waiting.pop())
            results |= {job.number: result for job, result in self._pool.settle()}
        seconds = time.monotonic() - started
        ended = [results[job.number] for job in jobs]
        return Timed(seconds, [r.curve[-1]["val_accuracy"] if r.status == "ok" else 0.0 for r in ended])

    def _job(self, graph: Graph, trained: Recipe, seed: int) -> Job:
        number = next(self._numbers)
        folder = self._folder / "models" / str(number)
        folder.mkdir(parents=True)
        return Job(number, str(number), Train(graph, trained, self._spec), seed, str(folder))


def _kept(kept: Kept, name: str, run: Callable[[], Timed]) -> Timed:
    return Timed(**kept.found(name, lambda: asdict(run())))


def _peer(graphs: Sequence[Graph], data: Data, spec: DataSpec, seed: int, epochs: int) -> Timed:
    train, validation = (tuple(data.splits[name].tolist()) for name in ("train", "validation"))
    scale = (data.mean[0] / 255, data.std[0] / 255)
    started = time.monotonic()
    device = device_names("auto")[0].partition(":")[0]
    tasks = [way2017.Task(graph, seed, epochs, spec.data_dir, train, validation, *scale, device) for graph in graphs]
    accuracies = way2017.generations(tasks, GENERATION)
    return Timed(time.monotonic() - started, accuracies)


def _fewest(ours: Ours, peer: Sequence[Timed], size: Size) -> tuple[int, bool]:
    """Return the fewest epochs that reach what the peer reached over its seeds so far, and whether any does."""
    for epochs in size.epochs:
        if _reach(ours, peer, epochs, size.share):
            return epochs, True
    return size.epochs[-1], False


def _reach(ours: Ours, peer: Sequence[Timed], epochs: int, share: float) -> bool:
    """Whether `epochs` reach what the peer reached, given up at the first seed that shows it hopeless."""
    runs: list[Timed] = []
    for seed in range(len(peer)):
        runs.append(ours.timed(epochs, seed))
        if _mean(runs) < _mean(peer[: len(runs)]) - HOPELESS:
            return False
    return _mean(runs) >= _mean(peer) - MARGIN and _share(runs, peer) >= share


def _differences(runs: Sequence[Timed], peer: Sequence[Timed]) -> list[float]:
    """Return, for each network, by how much its mean accuracy over the seeds is above the peer's."""
    means = [[fmean(found) for found in zip(*(run.accuracies for run in arm), strict=True)] for arm in (runs, peer)]
    return [own - other for own, other in zip(*means, strict=True)]


def _share(runs: Sequence[Timed], peer: Sequence[Timed]) -> float:
    """Return the share of networks that each reach the accuracy to which the 2017 way brings them."""
    differences = _differences(runs, peer)
    return sum(difference >= -OF_ONE for difference in differences) / len(differences)


def _extremes(runs: Sequence[Timed], peer: Sequence[Timed]) -> str:
    differences = _differences(runs, peer)
    return f"{min(differences):+.3f}, {max(differences):+.3f}"


def _range(size: Size) -> str:
    depths = [depth for some in size.depths.values() for depth in some]
    return f"{min(depths)}..{max(depths)}"


def _mean(runs: Sequence[Timed]) -> float:
    return fmean(accuracy for run in runs for accuracy in run.accuracies)


def _graphs(data: Data, size: Size) -> list[Graph]:
    graphs = []
    for name, depths in size.depths.items():
        for depth in depths:
            limit = MAX_FLOPS_PER_NODE * depth
            space = Space(name, depth, depth, data.shape, len(data.classes), max_flops=limit)
            graphs.append(draw(space, np.random.default_rng([2017, depth])).graph(space))
    return graphs


def _source() -> Path:
    """Return the folder of MNIST's files. Raises BadInput where they are not."""
    given = os.environ.get("CGP_DATA")
    found = Path(given or "data") / "MNIST" / "raw"
    if not (found / "train-images-idx3-ubyte").is_file():
        raise BadInput(
            f"{'CGP_DATA' if given else '--data-dir'}: no {found / 'train-images-idx3-ubyte'}; expected "
            "torchvision's unpacked MNIST files: name their folder by --data-dir DIR or CGP_DATA"
        )
    return found


def _halve(source: Path, target: Path, images: int) -> None:
    """Write MNIST's files to `target` with `images` training and 10 test images, padded and halved to 16x16."""
    raw = target / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for half, kept in (("train", images), ("t10k", 10)):
        content = (source / f"{half}-images-idx3-ubyte").read_bytes()
        pixels = np.frombuffer(content, np.uint8, offset=16)[: kept * 784].reshape(kept, 28, 28)
        padded = np.pad(pixels, ((0, 0), (2, 2), (2, 2))).reshape(kept, 16, 2, 16, 2)
        small = np.rint(padded.mean((2, 4))).astype(np.uint8)
        (raw / f"{half}-images-idx3-ubyte").write_bytes(struct.pack(">4i", 2051, kept, 16, 16) + small.tobytes())
        labels = (source / f"{half}-labels-idx1-ubyte").read_bytes()[8 : 8 + kept]
        (raw / f"{half}-labels-idx1-ubyte").write_bytes(struct.pack(">2i", 2049, kept) + labels)
