"""Training: schedules, optimizers, initialisation, augmentation, and the same weights every time."""

import dataclasses
import math
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD

from cgp.genome import draw
from cgp.graph import Graph
from cgp.layers import Shape
from cgp.network import build
from cgp.residual_mlp import ResidualMLP
from cgp.space import Space
from evaluate.data.images import Images
from evaluate.data.splits import load
from evaluate.devices.place import Place
from evaluate.files import BEST, LAST
from evaluate.job import INITIALISATIONS, OPTIMIZERS, SCHEDULES, DataSpec, Job, Result, recipe
from evaluate.metrics import best_epoch
from evaluate.training.checkpoint import ModelFolder, read_tensors
from evaluate.training.initialise import initialise
from evaluate.training.train import (
    Diverged,
    abandoned,
    fresh_network,
    make_optimizer,
    make_schedule,
    train,
)
from evaluate.worker import evaluate, setting_of
from harness import ROOT

MakeJob = Callable[..., Job]

CPU = Place("cpu")


def weights(job: Job, name: str = LAST) -> dict[str, Tensor]:
    """Return the tensors that `job` left; those of the last epoch hold the optimizer's state too."""
    return load_file(Path(job.folder) / name)


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    """Whether both hold the same tensors, to the bit."""
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def untimed(result: Result) -> list[dict[str, float]]:
    """Return the curve without what no repetition repeats."""
    return [{name: value for name, value in row.items() if name != "seconds"} for row in result.curve]


# Schedules


def rates(schedule: str, steps: int) -> list[float]:
    """Return the learning rate of every step of a run of three epochs, as a share of the highest."""
    optimizer = SGD([nn.Parameter(torch.zeros(1))], lr=0.5)
    scheduler = make_schedule(optimizer, recipe("fast", epochs=3, lr=0.5, schedule=schedule), steps // 3)
    found = []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"] / 0.5)
        optimizer.step()
        scheduler.step()
    return found


def test_onecycle_rises_for_three_tenths_and_ends_near_zero() -> None:
    found = rates("onecycle", 150)
    top = found.index(max(found))
    assert top == pytest.approx(45, abs=1)
    assert found[:top] == sorted(found[:top])
    assert found[top:] == sorted(found[top:], reverse=True)
    assert [found[0], found[top]] == pytest.approx([0.04, 1], abs=1e-3)
    assert found[-1] < 1e-3


def test_cosine_falls_from_the_highest_rate_to_near_zero() -> None:
    found = rates("cosine", 150)
    assert found == pytest.approx([(1 + math.cos(math.pi * n / 150)) / 2 for n in range(150)])


@pytest.mark.parametrize("steps", [45, 99, 150, 198, 1053])
def test_sgdr_restarts_after_1_3_and_7_fifteenths_and_ends_low(steps: int) -> None:
    found = rates("sgdr", steps)
    restarts = [n for n, (before, after) in enumerate(pairwise(found), 1) if after > before]
    assert restarts == [math.ceil(steps * k / 15) for k in (1, 3, 7)]
    assert all(found[n] > 0.8 for n in (0, *restarts))
    assert found[-1] < 0.01


def test_the_recipe_of_feature_amounts_restarts_as_its_source_does() -> None:
    """Per batch, lr = lmin + (lmax - lmin)(1 + cos(pi t / T)) / 2, from epochs 0, 10, 30 and 70 on."""
    chosen, steps = recipe("features"), 2
    optimizer = SGD([nn.Parameter(torch.zeros(1))], chosen.lr)
    scheduler = make_schedule(optimizer, chosen, steps)
    found = []
    for _ in range(chosen.epochs * steps):
        found.append(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()
    expected = [
        1e-5 + (0.01 - 1e-5) * (1 + math.cos(math.pi * t / (steps * length))) / 2
        for length in (10, 20, 40, 80)
        for t in range(steps * length)
    ]
    assert found == pytest.approx(expected, rel=1e-9)
    assert (chosen.batch_size, chosen.momentum, chosen.weight_decay) == (128, 0.9, 5e-4)
    assert (chosen.dropout, chosen.abandon, chosen.init) == (0.5, 10, "kaiming_normal")


def test_step_drops_to_a_tenth_at_six_tenths() -> None:
    assert rates("step", 150) == pytest.approx([1.0] * 90 + [0.1] * 60)


def test_constant_stays() -> None:
    assert rates("constant", 150) == [1.0] * 150


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_schedules_survive_a_run_of_three_steps(schedule: str) -> None:
    assert all(0 <= rate <= 1 for rate in rates(schedule, 3))


# Optimizers and initialisations


def test_every_optimizer_learns_differently(make_job: MakeJob) -> None:
    jobs = [make_job(name, optimizer=name, weight_decay=0.1) for name in OPTIMIZERS]
    losses = {evaluate(job).curve[0]["train_loss"] for job in jobs}
    assert len(losses) == len(OPTIMIZERS)
    assert all(map(math.isfinite, losses))


def test_momentum_may_be_zero(make_job: MakeJob) -> None:
    jobs = [make_job(str(value), optimizer="sgd", momentum=value) for value in (0.0, 0.9)]
    assert [evaluate(job).status for job in jobs] == ["ok", "ok"]
    assert not torch.equal(weights(jobs[0])["head.weight"], weights(jobs[1])["head.weight"])


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_weight_decay_spares_batch_normalisation_and_biases(make_job: MakeJob, optimizer: str) -> None:
    job = make_job(optimizer=optimizer, weight_decay=0.5)
    network = fresh_network(job.train.model, setting_of(job, CPU))
    for parameter in network.parameters():
        nn.init.ones_(parameter)
        parameter.grad = torch.zeros_like(parameter)
    make_optimizer(network, job.train.recipe).step()
    decayed = {name: bool((p < 1).all()) for name, p in network.named_parameters()}
    assert decayed == {name: p.ndim > 1 for name, p in network.named_parameters()}


WIDE = Graph.chain(["conv_64_3", "conv_64_3"], Shape(3, 8, 8), 100)
FAN = 64 * 9  # both ways, of the second convolution


def initial(make_job: MakeJob, init: str, beta: float = 0.5) -> nn.Module:
    return fresh_network(WIDE, setting_of(make_job(f"{init} {beta}", init=init, init_beta=beta), CPU))


@pytest.mark.parametrize(
    ("init", "std"),
    [
        *(("kaiming_normal", math.sqrt(2 / FAN)), ("kaiming_uniform", math.sqrt(2 / FAN))),
        *(("xavier_normal", math.sqrt(1 / FAN)), ("xavier_uniform", math.sqrt(1 / FAN))),
        *(("orthogonal", math.sqrt(1 / FAN)), ("default", math.sqrt(1 / 3 / FAN))),
    ],
)
def test_initial_weights_have_the_spread_their_name_promises(make_job: MakeJob, init: str, std: float) -> None:
    weight = initial(make_job, init).get_parameter("nodes.1.body.0.weight")
    assert weight.std().item() == pytest.approx(std, rel=0.03)
    assert weight.mean().item() == pytest.approx(0, abs=0.03 * std)
    bounded = init.endswith("uniform") or init == "default"
    assert (weight.abs().max().item() <= math.sqrt(3) * std * 1.001) == bounded


def test_orthogonal_filters_are_orthonormal(make_job: MakeJob) -> None:
    rows = initial(make_job, "orthogonal").get_parameter("nodes.1.body.0.weight").detach().flatten(1)
    assert torch.allclose(rows @ rows.T, torch.eye(64), atol=1e-5)


def test_dirac_filters_pass_their_channel_on(make_job: MakeJob) -> None:
    network = initial(make_job, "dirac")
    for name, channels in (("nodes.0.body.0.weight", 3), ("nodes.1.body.0.weight", 64)):
        weight = network.get_parameter(name).detach()
        x = torch.randn(2, weight.shape[1], 5, 5)
        out = functional.conv2d(x, weight, padding="same")
        assert torch.equal(out[:, :channels], x[:, :channels])
        assert not torch.allclose(out[:, channels:], torch.zeros(1)) or channels == len(weight)


@pytest.mark.parametrize("layer", [(3, 8, 5, 1), (8, 3, 1, 1), (8, 8, 3, 8), (6, 12, 3, 3), (1, 16, 3, 1)])
def test_passing_on_is_torchs_dirac_initialisation(layer: tuple[int, int, int, int]) -> None:
    inputs, outputs, kernel, groups = layer
    conv = nn.Conv2d(inputs, outputs, kernel, groups=groups, bias=False)
    torch.manual_seed(0)
    initialise(conv, "dirac")
    torch.manual_seed(0)
    expected = torch.empty_like(conv.weight)
    nn.init.kaiming_normal_(expected, nonlinearity="relu")
    nn.init.dirac_(expected[:inputs], groups)
    assert torch.equal(conv.weight, expected)


def test_dirac_lets_separable_and_inception_blocks_pass_on_above_zero() -> None:
    graph = Graph.chain(["conv_16_3", "sepconv_16_5", "inception_16", "dense_8_3"], Shape(3, 8, 8), 10)
    network = build(graph).eval()
    initialise(network, "dirac")
    x = torch.randn(2, 16, 8, 8)
    scale = 1 / math.sqrt(1 + 1e-5)  # of a normalisation that has seen nothing yet
    separable, inception = (network.get_submodule(f"nodes.{n}")(x) for n in (1, 2))
    assert torch.allclose(separable, (x * scale + 1.5).relu(), atol=1e-5)
    assert torch.allclose(inception[:, :4], (x[:, :4] * scale + 1.5).relu(), atol=1e-5)
    assert not torch.allclose(inception[:, 4:8], inception[:, :4], atol=0.1)
    others = [
        p
        for n in (0, 3)
        for name, p in network.get_submodule(f"nodes.{n}").named_parameters()
        if name.endswith("bias")
    ]
    assert others
    assert not any(bias.any() for bias in others)


# Not cgp-cnn-res, whose sums of sums double the maps from node to node: deep ones hardly learn in few epochs.
@pytest.mark.parametrize("name", ["resnet", "vgg-sep", "inception"])
def test_deep_networks_learn_in_their_first_epoch(make_job: MakeJob, name: str) -> None:
    space = Space(name, 60, 60, Shape(1, 8, 8), 10, max_flops=32_000_000)  # the usual limit at this image size
    graph = draw(space, np.random.default_rng(1)).graph(space)
    result = evaluate(make_job(graph=graph, lr=recipe("fast").lr, train_size=640, precision="auto"))
    assert result.status == "ok", result.error
    assert result.curve[0]["train_accuracy"] > 0.2  # of ten classes


def test_weights_of_fan_in_and_of_depth_have_their_size(make_job: MakeJob) -> None:
    plain, scaled, steep = (
        initial(make_job, "kaiming_normal"),
        initial(make_job, "depth_scaled"),
        initial(make_job, "depth_scaled", 1.0),
    )
    layers = [name for name, module in plain.named_modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    for name in layers:
        weight = plain.get_parameter(f"{name}.weight")
        torch.testing.assert_close(scaled.get_parameter(f"{name}.weight"), weight * len(layers) ** -0.5)
        torch.testing.assert_close(steep.get_parameter(f"{name}.weight"), weight / len(layers))
    uniform = initial(make_job, "fan_in")
    for name in layers:
        weight = uniform.get_parameter(f"{name}.weight")
        assert 0.9 < weight.abs().max().item() * weight[0].numel() <= 1


def test_initialisations_differ_and_start_with_plain_norms(make_job: MakeJob) -> None:
    networks = {init: initial(make_job, init) for init in INITIALISATIONS}
    name = "nodes.0.body.0.weight"
    sums = {network.get_parameter(name).square().sum().item() for network in networks.values()}
    assert len(sums) == len(INITIALISATIONS)
    for init, network in networks.items():
        assert (network.get_parameter("nodes.0.body.1.weight") == 1).all()
        assert (network.get_parameter("head.bias") == 0).all() == (init != "default")


@pytest.mark.parametrize("init", INITIALISATIONS)
def test_every_initialisation_trains(make_job: MakeJob, init: str) -> None:
    result = evaluate(make_job(init=init, epochs=6, lr=0.05, train_size=None))
    assert result.status == "ok"
    assert result.metrics["val_accuracy"] > 0.4  # of ten classes


# Recipes at work


def test_train_loss_is_the_smoothed_cross_entropy(make_job: MakeJob) -> None:
    job = make_job(batch_size=200, lr=1e-9, augment=False, label_smoothing=0.3)
    x, y = Images.of(load(job.train.data), ("train",), "cpu").batch(slice(None))
    logits = fresh_network(job.train.model, setting_of(job, CPU)).train()(x)
    expected = functional.cross_entropy(logits, y, label_smoothing=0.3).item()
    assert evaluate(job).curve[0]["train_loss"] == pytest.approx(expected, rel=1e-5)
    assert expected != pytest.approx(functional.cross_entropy(logits, y).item(), rel=1e-3)


def test_patience_stops_early_and_keeps_the_best_weights(make_job: MakeJob) -> None:
    job = make_job(epochs=60, patience=3, lr=0.3, schedule="constant")
    result = evaluate(job)
    best = best_epoch(result.curve)
    assert len(result.curve) == best["epoch"] + 3 < 60
    assert result.metrics["val_accuracy"] == best["val_accuracy"] == max(r["val_accuracy"] for r in result.curve)
    assert read_tensors(Path(job.folder) / BEST)[1]["epoch"] == best["epoch"]
    assert not torch.equal(weights(job, BEST)["head.weight"], weights(job)["head.weight"])


def test_a_training_below_twice_chance_is_abandoned(make_job: MakeJob) -> None:
    """As one that is out of patience it has ended as its recipe says: it is `ok`, with the score that it reached."""
    hopeless = evaluate(make_job("one", epochs=5, abandon=2, optimizer="sgd", lr=1e-9, schedule="constant"))
    assert (hopeless.status, len(hopeless.curve)) == ("ok", 2)
    assert hopeless.metrics["val_accuracy"] < 0.2
    learning = evaluate(make_job("two", epochs=4, abandon=3, lr=0.05, train_size=None))
    assert (learning.status, len(learning.curve)) == ("ok", 4)
    curve = [{"epoch": 1, "val_accuracy": 0.19, "val_loss": 1.0}, {"epoch": 2, "val_accuracy": 0.2, "val_loss": 1.0}]
    assert abandoned(curve[:1], 1, 0.1)
    assert not abandoned(curve[:1], 2, 0.1)
    assert not abandoned(curve, 2, 0.1)
    assert not abandoned(curve[:1], 0, 0.1)
    assert not abandoned([{"epoch": 1, "train_loss": 1.0}], 1, 0.1)  # without validation


def test_what_the_head_reads_is_dropped_in_training_alone(make_job: MakeJob) -> None:
    job = make_job(dropout=0.5)
    network = fresh_network(job.train.model, setting_of(job, CPU))
    x = torch.randn(4, 1, 8, 8)
    assert not torch.equal(network.train()(x), network(x))
    assert torch.equal(network.eval()(x), network(x))
    assert dict(network.named_parameters()).keys() == dict(build(job.train.model).named_parameters()).keys()


def test_what_an_epoch_drops_comes_from_seed_and_epoch(make_job: MakeJob) -> None:
    whole, parts = make_job("whole", epochs=3, dropout=0.4), make_job("parts", epochs=3, dropout=0.4)
    plain = make_job("plain", epochs=3)
    for job in (whole, plain):
        evaluate(job)
    assert evaluate(dataclasses.replace(parts, until=1)).status == "paused"
    torch.manual_seed(99)
    assert evaluate(parts).status == "ok"
    assert same(weights(whole), weights(parts))
    assert not same(weights(whole), weights(plain))


def test_the_lower_loss_breaks_a_tie_of_accuracy() -> None:
    curve = [
        {"epoch": n, "val_accuracy": accuracy, "val_loss": loss}
        for n, (accuracy, loss) in enumerate([(0.5, 1.0), (0.7, 0.9), (0.7, 0.8), (0.7, 0.85)], 1)
    ]
    assert best_epoch(curve)["epoch"] == 3


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_each_precision_learns_and_keeps_weights_in_fp32(make_job: MakeJob, precision: str) -> None:
    job = make_job(precision=precision, epochs=6, train_size=None)
    result = evaluate(job)
    assert result.numerics["precision"] == precision
    assert result.metrics["val_accuracy"] > 0.4
    assert {t.dtype for name, t in weights(job).items() if name.endswith("weight")} == {torch.float32}


def test_precisions_round_differently(make_job: MakeJob) -> None:
    losses = {evaluate(make_job(name, precision=name)).curve[0]["train_loss"] for name in ("fp32", "bf16")}
    assert len(losses) == 2


@pytest.mark.parametrize(("train_size", "batch"), [(200, 64), (20, 64), (200, 200)])
def test_any_batch_size_fits_any_number_of_images(make_job: MakeJob, train_size: int, batch: int) -> None:
    job = make_job(train_size=train_size, batch_size=batch, epochs=2)
    result = evaluate(job)
    assert result.status == "ok"
    assert all(math.isfinite(row["train_loss"]) for row in result.curve)
    fresh = fresh_network(job.train.model, setting_of(job, CPU)).get_parameter("head.weight")
    assert not torch.equal(weights(job)["head.weight"], fresh)


def test_a_loss_that_is_not_finite_is_divergence(make_job: MakeJob) -> None:
    job = make_job(optimizer="sgd", lr=1e30, schedule="constant")
    setting = setting_of(job, CPU)
    images = Images.of(load(job.train.data), ("train",), "cpu")
    with pytest.raises(Diverged, match="epoch 1: loss is not finite"):
        train(fresh_network(job.train.model, setting), images, images, setting, ModelFolder(Path(job.folder), {}))


# The same weights every time


def test_the_same_seed_gives_the_same_weights_to_the_bit(make_job: MakeJob) -> None:
    jobs = [make_job("one", epochs=2), make_job("two", epochs=2)]
    results = [evaluate(jobs[0])]
    torch.manual_seed(99)
    results.append(evaluate(jobs[1]))
    assert same(weights(jobs[0]), weights(jobs[1]))
    assert untimed(results[0]) == untimed(results[1])


def test_another_seed_gives_another_network(make_job: MakeJob) -> None:
    results = [evaluate(make_job(str(seed), seed=seed, epochs=2)) for seed in (1, 2)]
    assert untimed(results[0]) != untimed(results[1])


def test_each_epoch_of_each_seed_has_its_own_order() -> None:
    images = dots(8, flip=False, column=3)

    def order(seed: int, epoch: int) -> tuple[int, ...]:
        return tuple(int(y) for _, labels in images.epoch(seed, epoch, 50, augment=False) for y in labels)

    orders = [order(seed, epoch) for seed in (1, 2) for epoch in (0, 1)]
    assert len(set(orders)) == 4
    assert order(2, 1) == orders[-1]
    assert all(sorted(found) == sorted(images.labels.tolist()) for found in orders)


def test_an_epoch_has_whole_batches_only() -> None:
    images = dots(8, flip=False, column=3)
    assert [len(y) for _, y in images.epoch(1, 0, 150, augment=True)] == [150, 150]


def interrupted(job: Job) -> Result:
    """Return the result of `job`, stopped after each of its first two epochs."""
    stop = Path(str(job.stop_file))
    stop.touch()
    assert [evaluate(job).status for _ in range(2)] == ["interrupted"] * 2
    stop.unlink()
    return evaluate(job)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_an_interrupted_training_ends_as_if_nothing_had_happened(
    make_job: MakeJob, optimizer: str, schedule: str
) -> None:
    changes: dict[str, Any] = {"optimizer": optimizer, "schedule": schedule, "epochs": 4, "weight_decay": 1e-3}
    if schedule == "variation":
        changes["graph"] = ResidualMLP(3, 4, Shape(1, 8, 8), 10)
    whole, broken = make_job("whole", **changes), make_job("broken", **changes)
    assert untimed(evaluate(whole)) == untimed(interrupted(broken))
    for name in (BEST, LAST):
        assert same(weights(whole, name), weights(broken, name))


@pytest.mark.parametrize(
    "changes",
    [
        {"patience": 1, "epochs": 20, "lr": 0.3},
        {"precision": "bf16", "epochs": 3},
        {"optimizer": "sgd", "momentum": 0.0, "epochs": 3},
        {
            "graph": Graph.chain(["res_8_3", "dense_4_3", "transition", "sepconv_8_5"], Shape(1, 8, 8), 10),
            "epochs": 3,
        },
    ],
    ids=["patience", "bf16", "no momentum", "blocks"],
)
def test_so_does_one_with_other_settings(make_job: MakeJob, changes: dict[str, Any]) -> None:
    whole, broken = make_job("whole", **changes), make_job("broken", **changes)
    assert untimed(evaluate(whole)) == untimed(interrupted(broken))
    assert same(weights(whole), weights(broken))


# Batches and augmentation


def dots(size: int, flip: bool, column: int = 8) -> Images:
    """Return 400 black images with one bright pixel in row 8 and `column`, its value the label."""
    labels = torch.arange(400) % 200 + 1
    pixels = torch.zeros(400, 1, size, size, dtype=torch.uint8)
    pixels[:, 0, size // 2, column] = labels.to(torch.uint8)
    return Images(pixels, labels, torch.arange(400), torch.zeros(1, 1, 1, 1), torch.ones(1, 1, 1, 1), flip)


def augmented(images: Images, seed: int = 0, epoch: int = 0) -> tuple[Tensor, Tensor]:
    """Return all images as one augmented batch of an epoch."""
    return next(images.epoch(seed, epoch, len(images), augment=True))


@pytest.mark.parametrize("size", [16, 20, 32])
def test_shifts_reach_an_eighth_of_the_size_and_no_further(size: int) -> None:
    x, _ = augmented(dots(size, flip=False))
    _, _, rows, columns = x.nonzero().T
    reach = set(range(-(size // 8), size // 8 + 1))
    assert {int(row) - size // 2 for row in rows} == reach
    assert {int(column) - 8 for column in columns} == reach


def test_images_are_mirrored_only_where_that_is_fair() -> None:
    _, _, _, plain = augmented(dots(16, flip=False, column=3))[0].nonzero().T
    _, _, _, flipped = augmented(dots(16, flip=True, column=3))[0].nonzero().T
    assert set(plain.tolist()) == {1, 2, 3, 4, 5}
    assert set(flipped.tolist()) == {1, 2, 3, 4, 5} | {10, 11, 12, 13, 14}
    assert 0.4 < (flipped > 7).float().mean().item() < 0.6


def test_labels_follow_their_images() -> None:
    x, labels = augmented(dots(16, flip=True))
    assert torch.equal(x.amax((1, 2, 3)), labels.float())


def test_images_too_small_to_shift_are_batched_as_they_are() -> None:
    images = Images.of(load(DataSpec("digits")), ("train",), "cpu")
    small = dataclasses.replace(images, pixels=images.pixels[..., :7, :7], flip=False)
    for (found, labels), (plain, expected) in zip(
        small.epoch(1, 0, 64, augment=True), small.epoch(1, 0, 64, augment=False), strict=True
    ):
        assert torch.equal(found, plain)
        assert torch.equal(labels, expected)


def test_every_image_is_mirrored_in_every_other_epoch() -> None:
    images = dataclasses.replace(dots(16, flip=True, column=3), labels=torch.arange(400))
    sides = []
    for epoch in range(3):
        x, number = augmented(images, epoch=epoch)
        side = torch.empty(400, dtype=torch.bool)
        side[number] = x.amax((1, 2)).argmax(1) > 7
        sides.append(side)
    assert torch.equal(sides[0], ~sides[1])
    assert torch.equal(sides[0], sides[2])


def test_augmentation_comes_from_seed_and_epoch() -> None:
    images = dots(16, flip=True)
    assert torch.equal(augmented(images, seed=1)[0], augmented(images, seed=1)[0])
    assert not torch.equal(augmented(images, seed=1)[0], augmented(images, seed=2)[0])


def test_what_is_shifted_in_has_the_mean_colour() -> None:
    images = dots(16, flip=False)
    grey = dataclasses.replace(images, pixels=torch.full_like(images.pixels, 255), mean=images.mean + 100)
    assert set(augmented(grey)[0].unique().tolist()) == {0.0, 155.0}


def test_training_images_have_mean_zero_and_unit_spread() -> None:
    x, _ = Images.of(load(DataSpec("digits")), ("train",), "cpu").batch(slice(None))
    assert x.mean().item() == pytest.approx(0, abs=1e-4)
    assert x.std().item() == pytest.approx(1, abs=1e-3)


def test_splits_are_put_together_in_the_order_asked_for() -> None:
    data = load(DataSpec("digits"))
    images = Images.of(data, ("validation", "train"), "cpu")
    assert len(images) == 359 + 1079
    assert images.batch(slice(359))[1].tolist() == data.labels[data.splits["validation"]].tolist()


# What nothing above would miss


def test_sgd_looks_ahead_as_nesterov_does(make_job: MakeJob) -> None:
    """Two steps along a gradient of 1: v = m v + 1, then the weights move by lr (1 + m v)."""
    job = make_job(optimizer="sgd", lr=0.1, momentum=0.5)
    layer = nn.Linear(1, 1)
    optimizer = make_optimizer(layer, job.train.recipe)
    moves = []
    for _ in range(2):
        layer.weight.grad, layer.bias.grad = torch.ones(1, 1), torch.ones(1)
        before = layer.weight.item()
        optimizer.step()
        moves.append(before - layer.weight.item())
    assert moves == pytest.approx([0.1 * (1 + 0.5), 0.1 * (1 + 0.5 * 1.5)], rel=1e-4)


def test_batch_statistics_keep_three_tenths_of_each_batch() -> None:
    network = build(Graph.chain(["conv_8_3"], Shape(1, 8, 8), 10)).train()
    (norm,) = (module for module in network.modules() if isinstance(module, nn.BatchNorm2d))
    seen = list[Tensor]()
    norm.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0].detach()))
    expected = torch.zeros(8)
    for _ in range(2):
        network(torch.randn(16, 1, 8, 8))
        expected = 0.7 * expected + 0.3 * seen[-1].mean((0, 2, 3))
    assert norm.running_mean is not None
    assert torch.allclose(norm.running_mean, expected, atol=1e-6)


def test_a_worker_on_a_gpu_would_choose_the_same_kernels_every_time_and_round_fp32_as_fp32() -> None:
    """These switches hold on machines without a GPU too; with one, test_gpu.py compares what comes of them."""
    script = (
        "import torch; from torch.backends import cuda, cudnn; from evaluate.devices.place import settle_process\n"
        "cudnn.deterministic, cudnn.benchmark = False, True\n"
        "settle_process('cpu')\n"
        "print(cudnn.deterministic, cudnn.benchmark, cudnn.allow_tf32, cuda.matmul.allow_tf32)"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "True False False False\n"
