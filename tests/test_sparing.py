"""Steps that hold less memory: ghost groups, a batch in chunks, activations computed twice, and a limit they keep."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from cgp.graph import Graph
from cgp.layers import Shape
from cgp.network import Network, build
from evaluate.devices.numerics import Numerics
from evaluate.files import BEST
from evaluate.job import Job, recipe
from evaluate.memory.chunks import chunk_of
from evaluate.memory.footprint import held_bytes, predicted_bytes
from evaluate.memory.ledger import Ledger
from evaluate.training.checkpoint import read_tensors
from evaluate.training.sparing import Sparing
from evaluate.training.step import Step
from evaluate.training.train import make_optimizer
from evaluate.worker import evaluate

MakeJob = Callable[..., Job]

IMAGE = Shape(1, 8, 8)
BLOCKS = ["conv_8_3", "dense_4_3", "dense_4_3", "res_16_3_2", "inception_16", "sepconv_8_3", "transition"]
GRAPH = Graph.chain(BLOCKS, IMAGE, 10)
IMAGES, GROUP = 16, 4

Learned = dict[str, Tensor]  # gradients and buffers by name


def learned(sparing: tuple[int | None, bool], chunk: int = IMAGES, kind: torch.dtype = torch.float64) -> Learned:
    """Return gradients and buffers after one batch, which goes through the network `chunk` images at a time."""
    torch.manual_seed(0)
    network = build(GRAPH).to(kind).train()
    assert isinstance(network, Network)
    network.head_drop.p = 0.5
    x, y = torch.randn(IMAGES, *IMAGE, dtype=kind), torch.arange(IMAGES) % 10
    with Sparing(network, *sparing) as run:
        for images, labels in zip(x.split(chunk), y.split(chunk), strict=True):
            (functional.cross_entropy(network(images), labels) * (len(labels) / IMAGES)).backward()
    run.settle()
    assert not [name for module in network.modules() for name in vars(module) if name == "forward"]
    gradients = {name: parameter.grad for name, parameter in network.named_parameters()}
    return {name: value for name, value in (gradients | dict(network.named_buffers())).items() if value is not None}


@pytest.mark.parametrize("twice", [False, True], ids=["kept", "computed twice"])
def test_one_and_four_chunks_give_the_same_gradients_and_statistics(twice: bool) -> None:
    """But for rounding: a convolution adds up the gradients of its images in an order of its own."""
    whole, parts = learned((GROUP, twice)), learned((GROUP, twice), GROUP)
    for name, value in whole.items():
        torch.testing.assert_close(parts[name], value, rtol=1e-10, atol=1e-12, msg=name)
    counts = [value for name, value in parts.items() if name.endswith("num_batches_tracked")]
    assert counts
    assert all(count == 1 for count in counts)


@pytest.mark.parametrize("group", [None, GROUP])
@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
def test_what_is_computed_twice_is_the_same_to_the_bit_and_counts_once(group: int | None, kind: torch.dtype) -> None:
    kept, twice = (learned((group, twice), kind=kind) for twice in (False, True))
    assert kept.keys() == twice.keys()
    assert [name for name, value in kept.items() if not torch.equal(twice[name], value)] == []


def test_each_group_is_normalised_by_its_own_statistics() -> None:
    norm = nn.BatchNorm2d(3, momentum=0.3).train()
    x = torch.randn(8, 3, 5, 5) * torch.arange(1, 9).view(8, 1, 1, 1)
    with Sparing(norm, 4, False) as run:
        out = norm(x)
    run.settle()
    plain = [nn.BatchNorm2d(3, momentum=1.0).train() for _ in range(2)]
    assert torch.equal(out, torch.cat([own(part) for own, part in zip(plain, x.split(4), strict=True)]))
    for name, before in (("running_mean", 0.0), ("running_var", 1.0)):
        mean = torch.stack([own.get_buffer(name) for own in plain]).mean(0)
        torch.testing.assert_close(norm.get_buffer(name), 0.7 * before + 0.3 * mean)
    norm.eval()
    with Sparing(norm, 4, False) as run:  # as a frozen one is
        assert torch.equal(
            norm(x), functional.batch_norm(x, norm.running_mean, norm.running_var, norm.weight, norm.bias)
        )
    run.settle()
    assert norm.num_batches_tracked == 1


def trained(job: Job) -> tuple[dict[str, Any], dict[str, Tensor], list[float]]:
    """Train and return with what numerics, to what weights, with what losses."""
    result = evaluate(job)
    assert result.status in ("ok", "paused"), result.error
    tensors, _ = read_tensors(Path(job.folder) / BEST)
    return result.numerics, tensors, [row["train_loss"] for row in result.curve]


def test_activations_that_are_computed_twice_change_no_training(make_job: MakeJob) -> None:
    changes: dict[str, Any] = {"graph": GRAPH, "augment": True}
    usual, twice = make_job("usual", **changes), make_job("twice", **changes, checkpoint_activations=True)
    (_, weights, losses), (_, others, same) = trained(usual), trained(twice)
    assert losses == same
    assert all(torch.equal(others[name], value) for name, value in weights.items())


def limited(make_job: MakeJob, name: str, megabytes: int, **changes: Any) -> Job:
    """Return a job whose training may take so many MB."""
    return make_job(name, graph=WIDE, ghost_batch=8, memory_limit=megabytes, augment=True, **changes)


WIDE = Graph.chain(["conv_64_3"] * 6, IMAGE, 10)


def test_a_limit_splits_batches_alike_everywhere_and_says_so(make_job: MakeJob) -> None:
    free, tight = limited(make_job, "free", 0), limited(make_job, "tight", 6)
    without, _, losses = trained(free)
    numerics, _, others = trained(tight)
    assert "chunks" not in without
    assert (numerics["chunks"], numerics["evaluation_batch"]) == (2, 16)
    assert predicted_bytes(WIDE, tight.train.recipe, 16) <= 6 * 2**20 < predicted_bytes(WIDE, tight.train.recipe, 32)
    np.testing.assert_allclose(losses, others, rtol=1e-4)


def test_a_split_training_goes_on_to_the_same_weights(make_job: MakeJob) -> None:
    whole, parts = (limited(make_job, name, 6, epochs=2, train_size=64) for name in ("whole", "parts"))
    _, weights, _ = trained(whole)
    trained(dataclasses.replace(parts, until=1))
    _, others, _ = trained(parts)
    assert all(torch.equal(others[name], value) for name, value in weights.items())


def test_what_no_split_makes_fit_is_out_of_memory_and_says_why(make_job: MakeJob) -> None:
    result = evaluate(limited(make_job, "small", 2))
    assert result.status == "oom"
    assert result.error is not None
    assert result.error.startswith("MemoryError: --memory-limit: 2 MB; predicted are ")
    assert result.error.endswith(" MB with 8 images at once")
    with pytest.raises(MemoryError, match=r"with 32 images at once; --ghost-batch would let batches be split"):
        chunk_of(WIDE, recipe("fast", memory_limit=2))


def test_few_images_make_whole_groups() -> None:
    split = recipe("fast", ghost_batch=8)
    assert [split.batch(images) for images in (100, 32, 31, 8, 5)] == [32, 32, 24, 8, 5]
    assert [recipe("fast").batch(images) for images in (100, 31, 5)] == [32, 31, 5]
    assert [(split.fitted(images).batch_size, split.fitted(images).group) for images in (31, 5)] == [(24, 8), (5, 5)]


@pytest.mark.parametrize(
    ("twice", "chunk", "precision"), [(True, None, "fp32"), (False, 16, "bf16"), (True, 16, "fp32")], ids=str
)
def test_steps_hold_what_was_predicted(
    twice: bool, chunk: int | None, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("evaluate.memory.footprint.EVALUATION_BATCH", 2)  # steps alone
    sized = recipe("fast", batch_size=64, ghost_batch=8, checkpoint_activations=twice, precision=precision)
    numerics = Numerics("cpu", precision)
    for graph in (WIDE, GRAPH):
        network = build(graph)
        step = Step(network, make_optimizer(network, sized), sized, numerics)
        step.chunk = chunk
        with Ledger() as ledger:
            for _ in range(2):
                step(torch.randn(64, *IMAGE), torch.arange(64) % 10)
        held = ledger.peak + 4 * graph.params
        assert held_bytes(graph, sized, chunk) == pytest.approx(held, rel=0.15)
