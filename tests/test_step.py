"""A captured step learns what a step learns. A stand-in repeats the work, since no GPU is asked for."""

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.optim import Optimizer

import evolve
from cgp.errors import BadInput
from evaluate.devices.numerics import Numerics
from evaluate.files import LAST
from evaluate.job import OPTIMIZERS, Job, Recipe, recipe
from evaluate.training.checkpoint import read_tensors
from evaluate.training.step import WARM_UP, CapturedStep, Step, make_step, refuse_graphs
from evaluate.worker import evaluate

MakeJob = Callable[..., Job]


class StandIn:
    """Repeats work as a CUDA graph would: on the same memory, deaf to the optimizer's numbers of the moment."""

    def __init__(self, optimizer: Optimizer) -> None:
        self.optimizer = optimizer
        self.warm_ups, self.captures, self.replays = 0, 0, 0

    def warm_up(self, work: Callable[[], None]) -> None:
        self.warm_ups += 1
        work()

    def capture(self, work: Callable[[], None]) -> Callable[[], None]:
        self.captures += 1

        def replay() -> None:
            self.replays += 1
            groups = self.optimizer.param_groups
            rates = [group["lr"] for group in groups]
            for group in groups:
                group["lr"] = math.nan
            work()
            for group, rate in zip(groups, rates, strict=True):
                group["lr"] = rate

        return replay


@pytest.fixture
def stand_ins(monkeypatch: pytest.MonkeyPatch) -> list[StandIn]:
    """Let trainings whose recipe asks for it capture their step on the CPU; return the stand-ins made so far."""
    made: list[StandIn] = []

    def make(network: nn.Module, optimizer: Optimizer, recipe: Recipe, numerics: Numerics) -> Step:
        if not recipe.cuda_graphs:
            return make_step(network, optimizer, recipe, numerics)
        made.append(StandIn(optimizer))
        return CapturedStep(network, optimizer, recipe, numerics, made[-1])

    monkeypatch.setattr("evaluate.training.train.make_step", make)
    return made


def learned(job: Job) -> dict[str, Tensor]:
    """Train `job`; return the last epoch's weights and the optimizer's state."""
    result = evaluate(job)
    assert result.status in ("ok", "paused"), result.error
    return load_file(Path(job.folder) / LAST)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_it_ends_where_a_step_ends(make_job: MakeJob, stand_ins: list[StandIn], optimizer: str) -> None:
    changes = {"optimizer": optimizer, "epochs": 2, "lr": 0.003, "weight_decay": 0.01}
    usual = learned(make_job("usual", **changes))
    captured = learned(make_job("captured", **changes, cuda_graphs=True))
    assert usual.keys() == captured.keys()
    for name, values in usual.items():
        assert torch.allclose(captured[name], values, rtol=1e-3, atol=1e-5), name
    (graphs,) = stand_ins
    assert (graphs.warm_ups, graphs.captures, graphs.replays) == (WARM_UP, 1, 2 * (200 // 32) - WARM_UP)


def test_both_count_losses_and_hits_alike(make_job: MakeJob, stand_ins: list[StandIn]) -> None:
    curves = [evaluate(make_job(str(wanted), epochs=2, cuda_graphs=wanted)).curve for wanted in (False, True)]
    for usual, captured in zip(*curves, strict=True):
        assert captured["train_loss"] == pytest.approx(usual["train_loss"], rel=1e-4)
        assert captured["train_accuracy"] == usual["train_accuracy"]
    assert stand_ins


def test_a_paused_training_goes_on_to_the_same_weights(make_job: MakeJob, stand_ins: list[StandIn]) -> None:
    whole = learned(make_job("whole", epochs=3, cuda_graphs=True))
    job = make_job("parts", epochs=3, cuda_graphs=True)
    learned(dataclasses.replace(job, until=1))
    parts = learned(job)
    assert all(torch.equal(parts[name], values) for name, values in whole.items())
    assert len(stand_ins) == 3


def test_checkpoints_hold_rates_as_numbers(make_job: MakeJob, stand_ins: list[StandIn]) -> None:
    job = make_job(epochs=2, optimizer="adamw", cuda_graphs=True)
    learned(job)
    _, description = read_tensors(Path(job.folder) / LAST)
    for group in description["param_groups"]:
        assert isinstance(group["lr"], float)
        assert group["capturable"] is False
    assert stand_ins


def test_a_cpu_captures_nothing() -> None:
    network = nn.Linear(2, 2)
    optimizer = torch.optim.SGD(network.parameters(), 0.1)
    step = make_step(network, optimizer, recipe("fast", cuda_graphs=True), Numerics("cpu", "fp32"))
    assert type(step) is Step


def test_graphs_are_refused_where_they_cannot_be(capsys: pytest.CaptureFixture[str]) -> None:
    assert evolve.main(["--cuda-graphs", "--devices", "cpu"]) == 2
    assert capsys.readouterr().err.startswith("evolve.py: error: --cuda-graphs: needs GPUs")
    with pytest.raises(BadInput, match=r"^--cuda-graphs: .*fp16"):
        recipe("fast", cuda_graphs=True, precision="fp16")
    refuse_graphs(recipe("fast", cuda_graphs=True), ["cuda:0", "cuda:1"])
    refuse_graphs(recipe("fast"), ["cpu"])


def test_momentum_begins_at_zero_though_the_first_step_overflows() -> None:
    """Deterministic mode fills memory that nothing has written with nan, where the first step would find it."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    optimizer = torch.optim.SGD(network.parameters(), 0.1, momentum=0.9, nesterov=True, fused=True)
    step = Step(network, optimizer, recipe("fast"), Numerics("cpu", "fp16"))
    step.begin()
    y = torch.tensor([0, 1])
    before = [parameter.clone() for parameter in network.parameters()]
    torch.use_deterministic_algorithms(True)
    try:
        step(torch.full((2, 1, 2, 2), math.inf), y)
        assert all(map(torch.equal, network.parameters(), before))
        step(torch.rand(2, 1, 2, 2), y)
    finally:
        torch.use_deterministic_algorithms(False)
    assert all(parameter.isfinite().all() for parameter in network.parameters())
    assert not any(map(torch.equal, network.parameters(), before))


def test_the_scale_of_the_loss_begins_anew_with_every_epoch() -> None:
    """So that a resumed training, which knows no scale, ends in the same weights.

    The gradients overflow fp16 at the first scale and fit at half of it.
    """
    network = nn.Sequential(nn.Flatten(), nn.Linear(1, 2, bias=False))
    nn.init.zeros_(network.get_parameter("1.weight"))
    optimizer = torch.optim.SGD(network.parameters(), 1e-3)
    step = Step(network, optimizer, recipe("fast", label_smoothing=0.0), Numerics("cpu", "fp16"))
    x, y = torch.full((1, 1, 1, 1), 3.0), torch.tensor([0])  # a gradient of 1.5, times 65,536

    def learns() -> bool:
        before = network.get_parameter("1.weight").clone()
        step(x, y)
        return not torch.equal(before, network.get_parameter("1.weight"))

    epochs = []
    for _ in range(2):
        step.begin()
        epochs.append([learns(), learns()])
    assert epochs == [[False, True], [False, True]]
