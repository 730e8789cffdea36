"""Where the time of one training epoch goes: its phases, its operators, and the FLOP/s it reaches.

A phase begins at an event that every training has (the network is entered and left, the optimizer
steps, weights are written), seen from hooks: what is timed is the usual training. On a GPU every event
first waits for the device.
"""

import dataclasses
import os
import tempfile
import time
from collections import defaultdict
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook
from torch.profiler import ProfilerActivity
from torch.profiler import profile as profiler

from cgp.model import Model
from evaluate.data.images import Images
from evaluate.data.splits import Data
from evaluate.training.checkpoint import ModelFolder
from evaluate.training.train import Setting, fresh_network, train

Curve = list[dict[str, float]]

_OPERATORS = 10  # that are shown
_BATCHES = 4  # whose operators are counted, once the phases are timed
_BUILD, _DATA, _FORWARD, _BACKWARD = "start-up and build", "data and augmentation", "forward", "loss and backward"
_OPTIMIZER, _VALIDATION, _CHECKPOINT = "optimizer", "validation", "checkpoint"
_TRAINING = (_DATA, _FORWARD, _BACKWARD, _OPTIMIZER)


class Operator(NamedTuple):
    """An operator's own time, without that of the operators it calls."""

    name: str
    calls: int
    seconds: float


@dataclasses.dataclass(frozen=True)
class Profile:
    """What one epoch of one network took."""

    phases: dict[str, float]  #: seconds
    operators: list[Operator]  #: all of a few batches, the most expensive first
    images: int  #: trained on
    flops: int  #: forward, per image

    def __str__(self) -> str:
        """Return phases and operators as tables, and the rates of training."""
        whole, own = sum(self.phases.values()), sum(operator.seconds for operator in self.operators)
        training = sum(self.phases[name] for name in _TRAINING)
        lines = [f"{'phase':40} {'seconds':>9} {'share':>7}"]
        lines += [f"{name:40} {taken:9.3f} {taken / whole:7.1%}" for name, taken in self.phases.items()]
        lines += ["", f"{f'operator, of {_BATCHES} batches':40} {'seconds':>9} {'share':>7} {'calls':>7}"]
        for operator in self.operators[:_OPERATORS]:
            share = operator.seconds / own
            lines.append(f"{operator.name[:40]:40} {operator.seconds:9.3f} {share:7.1%} {operator.calls:7}")
        rate = 3 * self.flops * self.images / training  # the way back takes twice the way there
        lines += ["", f"{self.images / training:,.0f} images/s in training, {rate / 1e9:,.1f} GFLOP/s"]
        return "\n".join(lines)


def profile(model: Model, data: Data, setting: Setting) -> Profile:
    """Train `model` for the first epoch of the setting's recipe, in this process, and time it."""
    device = setting.numerics.device
    eager = dataclasses.replace(setting.recipe, cuda_graphs=False)  # a captured step has no phases
    setting = dataclasses.replace(setting, recipe=eager, until=1)
    clock = _Clock(on_gpu=device == "cuda")
    images, validation = (Images.of(data, (name,), device) for name in ("train", "validation"))
    network = fresh_network(model, setting)
    with tempfile.TemporaryDirectory() as folder, ExitStack() as hooks:
        for handle in clock.hooks(network):
            hooks.callback(handle.remove)
        train(network, images, validation, setting, _TimedFolder(Path(folder), clock))
        clock.begin("")
    batch = setting.recipe.batch(len(images))
    few = dataclasses.replace(images, rows=images.rows[: _BATCHES * batch])
    phases = {name: clock.seconds[name] for name in (_BUILD, *_TRAINING, _VALIDATION, _CHECKPOINT)}
    return Profile(phases, _operators(model, few, setting), len(images) // batch * batch, model.flops)


def _operators(model: Model, images: Images, setting: Setting) -> list[Operator]:
    network, on_gpu = fresh_network(model, setting), setting.numerics.device == "cuda"
    activities = [ProfilerActivity.CPU, ProfilerActivity.CUDA][: 1 + on_gpu]
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # it reports a missing GPU as an error
    with tempfile.TemporaryDirectory() as folder, profiler(activities=activities) as found:
        train(network, images, None, setting, ModelFolder(Path(folder), {}))
    events = found.key_averages()
    own = "self_device_time_total" if on_gpu else "self_cpu_time_total"
    # Kernels of a GPU are events of their own too, and are in the operator that started them.
    operators = [
        Operator(event.key, event.count, getattr(event, own) / 1e6)
        for event in events
        if event.device_type.name == "CPU"
    ]
    return sorted(operators, key=lambda operator: -operator.seconds)


class _Clock:
    """Books the time from one event to the next to the phase that the first began."""

    def __init__(self, on_gpu: bool) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._on_gpu, self._phase, self._since = on_gpu, _BUILD, time.perf_counter()

    def begin(self, phase: str) -> None:
        if self._on_gpu:
            torch.cuda.synchronize()
        now = time.perf_counter()
        self.seconds[self._phase] += now - self._since
        self._phase, self._since = phase, now

    def hooks(self, network: nn.Module) -> list[Any]:
        """Return handles of hooks at which a phase begins; between two steps lies the next batch."""

        def entered(module: nn.Module, _: object) -> None:
            self.begin(_FORWARD if module.training else _VALIDATION)

        def left(module: nn.Module, *_: object) -> None:
            self.begin(_BACKWARD if module.training else _VALIDATION)

        return [
            network.register_forward_pre_hook(entered),
            network.register_forward_hook(left),
            register_optimizer_step_pre_hook(lambda *_: self.begin(_OPTIMIZER)),
            register_optimizer_step_post_hook(lambda *_: self.begin(_DATA)),
        ]


class _TimedFolder(ModelFolder):
    """Says when an epoch begins and is checkpointed."""

    def __init__(self, path: Path, clock: _Clock) -> None:
        super().__init__(path, {})
        self._clock = clock

    def resume(self, network: nn.Module, optimizer: Optimizer, scheduler: LRScheduler) -> Curve:
        curve = super().resume(network, optimizer, scheduler)
        self._clock.begin(_DATA)
        return curve

    def keep(
        self, network: nn.Module, optimizer: Optimizer, scheduler: LRScheduler, curve: Curve, best: bool
    ) -> None:
        self._clock.begin(_CHECKPOINT)
        super().keep(network, optimizer, scheduler, curve, best)
