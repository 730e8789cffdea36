"""The arm `2017 way` of the benchmark `peer`: how scripts for CGP-CNN (GECCO 2017) train a population.

Clean-room: written from the paper's description and common practice, sharing with the engine only the
network itself and its initialisation. fp32, contiguous NCHW; a torch DataLoader with one loader process
that makes a PIL image of each sample and pads, crops, converts and normalises it; Adam at .01, a tenth
of it from 60 % of the epochs on; validation once, at the end; one thread. Processes of the pool are spawned, as
CUDA would want it; loader processes are forked, the cheaper way. This module imports little, because each
spawned process pays for it.
"""

import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional
from torch.utils.data import DataLoader, Subset
from torchvision import transforms
from torchvision.datasets import MNIST

from cgp.graph import Graph
from cgp.network import build
from evaluate.training.initialise import initialise

BATCH = 128
LOADING: dict[str, Any] = {"batch_size": BATCH, "num_workers": 1, "multiprocessing_context": "fork"}
PROCESSES = 2


@dataclass(frozen=True)
class Task:
    """One network to train."""

    graph: Graph
    seed: int
    epochs: int
    folder: str  #: where torchvision's MNIST files are
    train: tuple[int, ...]  #: indices into MNIST's training images
    validation: tuple[int, ...]
    mean: float  #: of a pixel on the scale 0..1
    std: float
    device: str  #: cpu or cuda


def train(task: Task) -> float:
    """Train the network of `task` and return its accuracy on the validation images."""
    torch.set_num_threads(1)
    torch.manual_seed(task.seed)
    network = build(task.graph)
    initialise(network, "kaiming_normal")
    network.to(task.device)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, [round(0.6 * task.epochs)], gamma=0.1)
    plain = [transforms.ToTensor(), transforms.Normalize((task.mean,), (task.std,))]
    side = task.graph.image.height
    cropped = transforms.Compose([transforms.RandomCrop(side, padding=side // 8), *plain])
    images = Subset(MNIST(task.folder, train=True, transform=cropped), task.train)
    loader = DataLoader(images, shuffle=True, **LOADING)
    network.train()
    for _ in range(task.epochs):
        for x, y in loader:
            optimizer.zero_grad()
            functional.cross_entropy(network(x.to(task.device)), y.to(task.device)).backward()
            optimizer.step()
        scheduler.step()
    held_out = Subset(MNIST(task.folder, train=True, transform=transforms.Compose(plain)), task.validation)
    network.eval()
    with torch.no_grad():
        batches = DataLoader(held_out, **LOADING)
        correct = sum(int((network(x.to(task.device)).argmax(1).cpu() == y).sum()) for x, y in batches)
    return correct / len(task.validation)


def generations(tasks: Sequence[Task], size: int) -> list[float]:
    """Train `tasks`, `size` at a time: a fresh pool for each such generation, and a barrier behind it."""
    accuracies: list[float] = []
    for first in range(0, len(tasks), size):
        with ProcessPoolExecutor(PROCESSES, multiprocessing.get_context("spawn")) as pool:
            accuracies += pool.map(train, tasks[first : first + size])
    return accuracies
