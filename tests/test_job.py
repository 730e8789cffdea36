"""Recipes, jobs and results as values, and what `evaluate` makes of a job, whatever happens."""

import csv
import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional

from cgp.errors import BadInput
from cgp.graph import Graph
from cgp.layers import Shape
from cgp.network import build
from evaluate import worker
from evaluate.data.splits import load
from evaluate.files import BEST
from evaluate.job import INITIALISATIONS, RECIPES, Job, Recipe, Result, recipe
from evaluate.worker import evaluate


def raiser(error: BaseException) -> Callable[..., NoReturn]:
    """Return a function that raises `error`, whatever it is given."""

    def fail(*arguments: object, **options: object) -> NoReturn:
        raise error

    return fail


# Recipes


@pytest.mark.parametrize(
    ("field", "value", "flag"),
    [
        ("epochs", 0, "--epochs: 0;"),
        ("batch_size", 1, "--batch-size: 1;"),
        ("patience", -1, "--patience: -1;"),
        ("weight_decay", -0.1, "--weight-decay: -0.1;"),
        ("lr", 0.0, "--lr: 0.0;"),
        ("lr", float("nan"), "--lr: nan;"),
        ("lr", float("inf"), "--lr: inf;"),
        ("weight_decay", float("nan"), "--weight-decay: nan;"),
        ("momentum", 1.0, "--momentum: 1.0;"),
        ("momentum", -0.5, "--momentum: -0.5;"),
        ("label_smoothing", 1.0, "--label-smoothing: 1.0;"),
        *(
            ("dropout", 1.0, "--dropout: 1.0;"),
            ("abandon", -1, "--abandon: -1;"),
            ("init_beta", -1.0, "--init-beta: -1.0;"),
        ),
        ("label_smoothing", -0.1, "--label-smoothing: -0.1;"),
        ("optimizer", "adma", "--optimizer: unknown 'adma' (did you mean 'adam'?)"),
        ("schedule", "cosin", "--schedule: unknown 'cosin' (did you mean 'cosine'?)"),
        ("init", "orthogonl", "--init: unknown 'orthogonl' (did you mean 'orthogonal'?)"),
        ("precision", "bf17", "--precision: unknown 'bf17' (did you mean 'bf16'?)"),
    ],
)
def test_a_value_out_of_range_is_refused_by_its_flag(field: str, value: object, flag: str) -> None:
    with pytest.raises(BadInput, match=r"expected|one of") as caught:
        recipe("fast", **{field: value})
    assert str(caught.value).startswith(flag)


@pytest.mark.parametrize(
    "changes", [{"epochs": 1}, {"batch_size": 2}, {"patience": 0}, {"momentum": 0.0}, {"lr": 9.0}]
)
def test_values_at_the_edge_are_taken(changes: dict[str, Any]) -> None:
    made = recipe("fast", **changes)
    assert {name: getattr(made, name) for name in changes} == changes


def test_changes_leave_the_rest_of_a_recipe_alone() -> None:
    changed = recipe("retrain", epochs=3)
    assert (changed.epochs, changed.optimizer, changed.lr) == (3, "sgd", RECIPES["retrain"].lr)
    assert RECIPES["retrain"].epochs == 200


def test_unknown_recipe_suggests_the_closest() -> None:
    with pytest.raises(
        BadInput, match=r"--recipe: unknown 'fsat' \(did you mean 'fast'\?\); one of fast, peer, retrain"
    ):
        recipe("fsat")


# Jobs and results are plain


def test_what_a_job_says_of_itself_survives_json(make_job: Callable[..., Job]) -> None:
    job = make_job(init=INITIALISATIONS[-1])
    about = json.loads(json.dumps(job.about()))
    assert Graph.from_json(about["graph"]) == job.train.model
    assert Recipe(**about["recipe"]) == job.train.recipe
    assert about["data"] == {"name": "digits", "data_dir": "data", "train_size": 200, "image_size": None}
    assert (about["seed"], about["id"], about["number"]) == (job.seed, job.id, job.number)


def test_results_survive_json(make_job: Callable[..., Job]) -> None:
    for result in (evaluate(make_job(epochs=2)), Result("lost", error="gone"), Result("interrupted")):
        assert Result.from_json(json.loads(json.dumps(result.to_json()))) == result


# evaluate(job) -> Result


def test_an_ok_result_is_complete(make_job: Callable[..., Job]) -> None:
    result = evaluate(make_job(epochs=2))
    assert (result.status, result.error, result.log) == ("ok", None, None)
    assert [row["epoch"] for row in result.curve] == [1, 2]
    assert result.metrics["val_accuracy"] == max(row["val_accuracy"] for row in result.curve)
    assert result.seconds == pytest.approx(sum(row["seconds"] for row in result.curve))
    assert result.peak_memory_mb is not None
    assert result.peak_memory_mb > 10
    assert result.numerics["data_fingerprint"] == load(make_job("other").train.data).fingerprint


def test_metrics_are_those_of_the_best_weights(make_job: Callable[..., Job]) -> None:
    job = make_job(epochs=3)
    result = evaluate(job)
    network = build(job.train.model).eval()
    network.load_state_dict(load_file(Path(job.folder) / BEST))
    data = load(job.train.data)
    index = data.splits["validation"]
    x = (torch.tensor(data.images[index]).float() - data.mean[0]) / data.std[0]
    with torch.no_grad():
        logits = network(x)
    y = torch.tensor(data.labels[index])
    assert result.metrics["val_accuracy"] == int((logits.argmax(1) == y).sum()) / len(y)
    assert result.metrics["val_loss"] == pytest.approx(functional.cross_entropy(logits, y).item(), rel=1e-5)


def test_curve_csv_is_the_curve(make_job: Callable[..., Job]) -> None:
    job = make_job(epochs=3)
    result = evaluate(job)
    header, *rows = csv.reader((Path(job.folder) / "curve.csv").read_text().splitlines())
    assert [dict(zip(header, map(float, row), strict=True)) for row in rows] == result.curve


def test_curve_csv_is_the_whole_curve_though_a_kill_took_a_line(make_job: Callable[..., Job]) -> None:
    job = make_job(epochs=4)
    stop = Path(str(job.stop_file))
    stop.touch()
    assert [evaluate(job).status for _ in range(2)] == ["interrupted"] * 2
    stop.unlink()
    path = Path(job.folder) / "curve.csv"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
    result = evaluate(job)
    assert [float(row["epoch"]) for row in csv.DictReader(path.read_text().splitlines())] == [1, 2, 3, 4]
    assert len(result.curve) == 4


@pytest.mark.parametrize(("image", "classes"), [(Shape(3, 8, 8), 10), (Shape(1, 16, 16), 10), (Shape(1, 8, 8), 7)])
def test_a_network_for_other_images_fails(make_job: Callable[..., Job], image: Shape, classes: int) -> None:
    result = evaluate(make_job(graph=Graph.chain(["conv_8_3"], image, classes)))
    assert result.status == "failed"
    assert result.error == (
        f"BadInput: digits: images (1, 8, 8) of 10 classes; the network expects {tuple(image)} of {classes}"
    )


def test_training_that_diverges_is_a_result_with_a_log(make_job: Callable[..., Job]) -> None:
    result = evaluate(make_job(lr=1e30, optimizer="sgd", schedule="constant"))
    assert (result.status, result.metrics) == ("diverged", {})
    assert str(result.error).startswith("Diverged: epoch 1")
    assert "Traceback" in Path(str(result.log)).read_text()


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (KeyError("odd"), "failed"),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), "failed"),
        (PermissionError(errno.EACCES, "Permission denied", "weights"), "failed"),
        (MemoryError("too large"), "oom"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"), "oom"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"), "oom"),
    ],
)
def test_an_exception_becomes_a_result(
    make_job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch, error: Exception, status: str
) -> None:
    monkeypatch.setattr(worker, "carry_out", raiser(error))
    result = evaluate(make_job())
    assert (result.status, result.error) == (status, f"{type(error).__name__}: {error}")
    log = Path(str(result.log)).read_text()
    assert "Traceback" in log
    assert str(error) in log


def test_what_earlier_recipes_lacked_is_unsaid_where_it_changes_nothing() -> None:
    """By this text a command finds what it has trained already, in runs of older programs too."""
    about = recipe("fast").about()
    assert not {"dropout", "abandon", "init_beta"} & about.keys()
    assert Recipe(**about) == recipe("fast")
    for changes in ({"dropout": 0.1}, {"abandon": 1}, {"init_beta": 1.0}):
        assert recipe("fast", **changes).about() == about | changes


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS])
def test_a_full_disk_leaves_the_job_open(
    make_job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    monkeypatch.setattr(
        "evaluate.training.checkpoint.write_atomically", raiser(OSError(number, os.strerror(number), "draft"))
    )
    assert evaluate(make_job()) == Result("interrupted", error=f"{os.strerror(number)}: draft; free some space")


def test_a_job_whose_folder_is_gone_still_ends_as_a_result(make_job: Callable[..., Job]) -> None:
    job = make_job()
    Path(job.folder).rmdir()
    result = evaluate(job)
    assert (result.status, result.log) == ("failed", None)
    assert job.folder in str(result.error)


def test_a_stop_file_interrupts_after_the_epochs_checkpoint(make_job: Callable[..., Job]) -> None:
    job = make_job(epochs=3)
    Path(str(job.stop_file)).touch()
    assert evaluate(job) == Result("interrupted")
    assert len((Path(job.folder) / "curve.csv").read_text().splitlines()) == 2
