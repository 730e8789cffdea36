"""Our training loop against a minimal loop written by hand; on a GPU also against one captured as a CUDA graph."""

import dataclasses
import math
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from benchmarks.measure import Benchmark, Kept, Samples, in_turn
from cgp import Graph, Shape, Space, draw
from evaluate.data.images import Images
from evaluate.data.splits import Data
from evaluate.devices.numerics import Numerics
from evaluate.devices.place import settle_process
from evaluate.devices.probe import resolve_precision
from evaluate.job import recipe
from evaluate.training.checkpoint import ModelFolder
from evaluate.training.train import Setting, fresh_network, make_optimizer, make_schedule, train

MAX_FLOPS_PER_NODE = 1_250_000  # at 16x16
HALVES = {"bf16": torch.bfloat16, "fp16": torch.float16}


class Size(NamedTuple):
    """How much a device is given."""

    images: int
    image: Shape
    batch: int
    side: int  #: of the matrices whose product is taken for the device's peak


SIZES = {"cpu": Size(1024, Shape(1, 16, 16), 64, 2048), "cuda": Size(16384, Shape(3, 32, 32), 128, 8192)}


def benchmark(quick: bool, kept: Kept) -> Benchmark:
    """Return the benchmark, which goes on from `kept`; quick: no warm-up, depth 20 alone, an eighth of the images."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    settle_process(device)
    size, depths = SIZES[device], (20,) if quick else (20, 50, 70)
    data = _noise(size.images // 8 if quick else size.images, size.image)
    trained = recipe(
        "fast", epochs=1, batch_size=size.batch, augment=True, precision=resolve_precision("auto", device)
    )
    setting = Setting(trained, 0, Numerics(device, trained.precision))
    graphs = {depth: _graph(depth, data) for depth in depths}
    arms: dict[str, Callable[[], float]] = {}
    for depth, graph in graphs.items():
        arms[f"ours, depth {depth}"] = partial(_ours, graph, data, setting)
        arms[f"by hand, depth {depth}"] = partial(_by_hand, graph, data, setting)
        if device == "cuda":
            captured = dataclasses.replace(setting, recipe=dataclasses.replace(trained, cuda_graphs=True))
            arms[f"ours, CUDA graph, depth {depth}"] = partial(_ours, graph, data, captured)
            arms[f"by hand, CUDA graph, depth {depth}"] = partial(_by_hand, graph, data, captured)
    notes: dict[str, Any] = {"images an epoch": len(data.labels), "image": " x ".join(map(str, size.image))}
    notes |= {"device": device}

    def samples() -> Samples:
        found = in_turn(arms, 2 if quick else 7, not quick, kept)
        peak = _peak(setting.numerics, size.side)
        notes[f"{trained.precision} matrix product, GFLOP/s"] = round(peak / 1e9, 1)
        for name, rates in found.items():
            flops = 3 * graphs[int(name.split()[-1])].flops  # the way back takes twice the way there
            notes[f"share of that, {name}"] = round(median(rates) * flops / peak, 4)
        return found

    return Benchmark(
        "trainer",
        "Images per second in the training part of an epoch of our `train` (without validation and checkpoint, which "
        "the loop by hand has not), against a minimal loop by hand with the same network (set resnet), in memory, "
        f"batch {size.batch}, {trained.precision}, channels_last, augmentation, fused optimizer and schedule, "
        "one thread",
        "images/s",
        samples,
        tuple((name, name.replace("ours", "by hand")) for name in arms if name.startswith("ours")),
        "0.97 at each depth",
        notes,
    )


def _ours(graph: Graph, data: Data, setting: Setting) -> float:
    network = fresh_network(graph, setting)
    images = Images.of(data, ("train",), setting.numerics.device)
    with tempfile.TemporaryDirectory() as folder:
        (row,) = train(network, images, None, setting, ModelFolder(Path(folder), {}))
    return len(images) / row["seconds"]


def _by_hand(graph: Graph, data: Data, setting: Setting) -> float:
    """One epoch as a script would write it for this case alone."""
    device, trained = setting.numerics.device, setting.recipe
    network = fresh_network(graph, setting)
    pixels, labels = torch.from_numpy(data.images).to(device), torch.from_numpy(data.labels).to(device)
    optimizer = make_optimizer(network, trained)
    schedule = make_schedule(optimizer, trained, len(labels) // trained.batch_size)
    half = HALVES.get(trained.precision)
    total = torch.zeros((), device=device)

    def step(x: Tensor, y: Tensor) -> None:
        with torch.autocast(device, half or torch.bfloat16, enabled=half is not None):
            logits = network(x)
        loss = functional.cross_entropy(logits.float(), y, label_smoothing=trained.label_smoothing)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        total.add_(loss.detach())

    started = time.perf_counter()
    network.train()
    batches = _batches(pixels, labels, data, trained.batch_size)
    if trained.cuda_graphs:
        _captured(step, batches, optimizer, schedule)
    else:
        for x, y in batches:
            step(x, y)
            schedule.step()
    float(total)  # waits for a GPU
    return len(labels) / (time.perf_counter() - started)


def _captured(
    step: Callable[[Tensor, Tensor], None],
    batches: Iterator[tuple[Tensor, Tensor]],
    optimizer: Optimizer,
    schedule: LRScheduler,
) -> None:
    """Run `step` on `batches` as a CUDA graph, after three warm-up steps, with the rate in device memory."""
    graph, warm = torch.cuda.CUDAGraph(), torch.cuda.Stream()
    for group in optimizer.param_groups:
        group["lr"] = torch.tensor(group["lr"], device="cuda")
    for number, given in enumerate(batches):
        if number == 0:
            x, y = map(torch.empty_like, given)
        x.copy_(given[0])
        y.copy_(given[1])
        if number == 3:
            with torch.cuda.graph(graph):
                step(x, y)
        if number < 3:
            warm.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(warm):
                step(x, y)
            torch.cuda.current_stream().wait_stream(warm)
        else:
            graph.replay()
        schedule.step()


def _peak(numerics: Numerics, side: int) -> float:
    """Return the FLOP/s of the best of ten products of square matrices."""
    kind = HALVES.get(numerics.precision, torch.float32)
    one, other = (torch.randn(side, side, device=numerics.device).to(kind) for _ in range(2))
    best = math.inf
    for _ in range(10):
        started = time.perf_counter()
        float((one @ other)[0, 0])  # waits for a GPU
        best = min(best, time.perf_counter() - started)
    return 2 * side**3 / best


def _batches(pixels: Tensor, labels: Tensor, data: Data, batch: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield shuffled batches, padded by an eighth and cut out at random, the whole epoch in one gather."""
    count, _, height, width = pixels.shape
    reach = width // 8
    padded = functional.pad(pixels, (reach, reach, reach, reach)).permute(0, 2, 3, 1)
    order = torch.randperm(count)
    shifts = torch.randint(0, 2 * reach + 1, (2, count))
    rows = (shifts[0, :, None] + torch.arange(height)).to(pixels.device)
    columns = (shifts[1, :, None] + torch.arange(width)).to(pixels.device)
    order = order.to(pixels.device)
    images = padded[order[:, None, None], rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
    mean, std = (torch.tensor(values, device=pixels.device).view(1, -1, 1, 1) for values in (data.mean, data.std))
    shuffled = labels[order]
    for start in range(0, count - batch + 1, batch):
        x = (images[start : start + batch].float() - mean) / std
        yield x.contiguous(memory_format=torch.channels_last), shuffled[start : start + batch]


def _noise(count: int, image: Shape) -> Data:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (count, *image), dtype=np.uint8)
    labels, channels = rng.integers(0, 10, count), image.channels
    splits = {"train": np.arange(count)}
    classes = [str(n) for n in range(10)]
    return Data(images, labels, splits, classes, (127.5,) * channels, (73.6,) * channels, False, "noise")


def _graph(depth: int, data: Data) -> Graph:
    limit = MAX_FLOPS_PER_NODE * depth * data.shape.height**2 // 16**2
    space = Space("resnet", depth, depth, data.shape, len(data.classes), max_flops=limit)
    return draw(space, np.random.default_rng([3, depth])).graph(space)
