"""Our training loop against a minimal loop written by hand."""

import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.measure import Benchmark, in_turn
from cgp import Graph, Shape, Space, draw
from evaluate.augment import Images
from evaluate.checkpoint import ModelFolder
from evaluate.data import Data
from evaluate.job import recipe
from evaluate.numerics import Numerics
from evaluate.probe import resolve_precision
from evaluate.train import Setting, fresh_network, make_optimizer, make_schedule, train
from evaluate.worker import settle_numerics

BATCH = 64
MAX_FLOPS_PER_NODE = 1_250_000  # at 16x16


def benchmark(quick: bool) -> Benchmark:
    """Return the benchmark; quick: depth 20 alone, 128 images."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    settle_numerics(device)
    depths, count = ((20,), 128) if quick else ((20, 50, 70), 1024)
    data = _noise(count, Shape(1, 16, 16))
    trained = recipe("fast", epochs=1, batch_size=BATCH, augment=True, precision=resolve_precision("auto", device))
    setting = Setting(trained, 0, Numerics(device, trained.precision))
    arms: dict[str, Callable[[], float]] = {}
    for depth in depths:
        graph = _graph(depth, data)
        arms[f"ours, depth {depth}"] = partial(_ours, graph, data, setting)
        arms[f"by hand, depth {depth}"] = partial(_by_hand, graph, data, setting)
    return Benchmark(
        "trainer",
        "Images per second in the training part of an epoch of our `train` (without validation and checkpoint, which "
        "the loop by hand has not), against a minimal loop by hand with the same network (set resnet), images in "
        f"memory, batch {BATCH}, {trained.precision}, channels_last, augmentation, fused optimizer and schedule; "
        "one thread",
        "images/s",
        partial(in_turn, arms, 2 if quick else 7),
        tuple((f"ours, depth {depth}", f"by hand, depth {depth}") for depth in depths),
        "0.97 at each depth",
        {"images an epoch": count, "image": "1 x 16 x 16", "device": device},
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
    schedule = make_schedule(optimizer, trained, len(labels) // BATCH)
    started = time.perf_counter()
    network.train()
    total = torch.zeros((), device=device)
    for x, y in _batches(pixels, labels, data):
        with torch.autocast(device, torch.bfloat16, enabled=trained.precision == "bf16"):
            logits = network(x)
        loss = functional.cross_entropy(logits.float(), y, label_smoothing=trained.label_smoothing)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
        total += loss.detach()
    float(total)  # waits for a GPU
    return len(labels) / (time.perf_counter() - started)


def _batches(pixels: Tensor, labels: Tensor, data: Data) -> Iterator[tuple[Tensor, Tensor]]:
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
    for start in range(0, count, BATCH):
        x = (images[start : start + BATCH].float() - mean) / std
        yield x.contiguous(memory_format=torch.channels_last), shuffled[start : start + BATCH]


def _noise(count: int, image: Shape) -> Data:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (count, *image), dtype=np.uint8)
    labels, channels = rng.integers(0, 10, count), image.channels
    splits = {"train": np.arange(count)}
    classes = [str(n) for n in range(10)]
    return Data(images, labels, splits, classes, (127.5,) * channels, (73.6,) * channels, False, "noise")


def _graph(depth: int, data: Data) -> Graph:
    limit = MAX_FLOPS_PER_NODE * depth
    space = Space("resnet", depth, depth, data.shape, len(data.classes), max_flops=limit)
    return draw(space, np.random.default_rng([3, depth])).graph(space)
