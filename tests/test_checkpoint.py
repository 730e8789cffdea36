"""Checkpoints: whole or absent, and they say what they are."""

import dataclasses
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from cgp.errors import BadInput
from cgp.graph import Graph
from cgp.layers import Shape
from cgp.network import build
from evaluate.data.splits import load
from evaluate.devices.place import this_place
from evaluate.files import BEST, LAST, kept_epochs, write_atomically
from evaluate.job import Job
from evaluate.training.checkpoint import read_tensors, read_weights
from evaluate.training.train import fresh_network
from evaluate.worker import evaluate, setting_of


@pytest.fixture
def trained(make_job: Callable[..., Job]) -> Job:
    """Return a job whose network is trained, in its folder."""
    job = make_job("trained", epochs=2)
    assert evaluate(job).status == "ok"
    return job


# What they hold


def test_best_weights_are_plain_safetensors_of_the_network(trained: Job) -> None:
    tensors = load_file(Path(trained.folder) / BEST)
    network = build(trained.train.model)
    initial = network.get_parameter("head.weight").clone()
    network.load_state_dict(tensors, strict=True)
    assert torch.equal(network.get_parameter("head.weight"), tensors["head.weight"])
    assert not torch.equal(network.get_parameter("head.weight"), initial)


def test_last_weights_are_read_without_the_optimizers_state(trained: Job) -> None:
    path = Path(trained.folder) / LAST
    network = build(trained.train.model)
    assert len(read_weights(path, network)["curve"]) == 2
    assert torch.equal(network.get_parameter("head.weight"), load_file(path)["head.weight"])


@pytest.mark.parametrize("name", [BEST, LAST])
def test_checkpoints_describe_themselves(trained: Job, name: str) -> None:
    _, description = read_tensors(Path(trained.folder) / name)
    assert description["job"] == trained.about()
    assert Graph.from_json(description["job"]["graph"]) == trained.train.model
    assert description["job"]["recipe"]["optimizer"] == "sgd"
    assert description["numerics"]["torch"] == torch.__version__
    assert description["numerics"]["precision"] == "fp32"
    assert description["numerics"]["data_fingerprint"] == load(trained.train.data).fingerprint


def test_best_weights_carry_the_metrics_of_their_epoch(make_job: Callable[..., Job]) -> None:
    job = make_job(epochs=4)
    result = evaluate(job)
    _, description = read_tensors(Path(job.folder) / BEST)
    assert description["metrics"] == result.curve[description["epoch"] - 1]
    assert description["metrics"]["val_accuracy"] == result.metrics["val_accuracy"]


def test_nothing_but_the_models_files_is_left(trained: Job) -> None:
    assert {path.name for path in Path(trained.folder).iterdir()} == {BEST, LAST, "curve.csv"}


# Damage


def damage(path: Path, how: str) -> None:
    """Put an unreadable file in the place of the checkpoint at `path`."""
    whole = path.read_bytes()
    path.unlink()  # tensors that were read before are mapped to the old file
    path.write_bytes(
        {"truncated": whole[:-100], "header only": whole[:50], "empty": b"", "garbage": b"spam" * 99}[how]
    )


@pytest.mark.parametrize("how", ["truncated", "header only", "empty", "garbage"])
def test_a_damaged_checkpoint_is_named(trained: Job, how: str) -> None:
    path = Path(trained.folder) / BEST
    damage(path, how)
    with pytest.raises(BadInput, match="corrupt or truncated") as caught:
        read_weights(path, build(trained.train.model))
    assert str(path) in str(caught.value)
    assert "--retrain" in str(caught.value)


def test_a_missing_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no such checkpoint") as caught:
        read_tensors(tmp_path / BEST)
    assert str(tmp_path / BEST) in str(caught.value)


def test_tensors_without_a_description_are_refused(tmp_path: Path) -> None:
    save_file({"weight": torch.zeros(3)}, tmp_path / BEST)
    with pytest.raises(BadInput, match=BEST):
        read_tensors(tmp_path / BEST)


@pytest.mark.parametrize("blocks", [["conv_8_3"], ["conv_16_3", "maxpool", "conv_8_3"]])
def test_weights_of_another_network_are_refused(trained: Job, blocks: list[str]) -> None:
    path = Path(trained.folder) / BEST
    with pytest.raises(BadInput, match="not the weights of this network") as caught:
        read_weights(path, build(Graph.chain(blocks, Shape(1, 8, 8), 10)))
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", [BEST, LAST])
@pytest.mark.parametrize("how", ["truncated", "empty", "garbage"])
def test_training_starts_over_where_a_checkpoint_is_damaged(trained: Job, name: str, how: str) -> None:
    folder = Path(trained.folder)
    expected = load_file(folder / name)
    damage(folder / name, how)
    assert evaluate(trained).status == "ok"
    found = load_file(folder / name)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[key], expected[key]) for key in expected)
    assert "training starts over" in (folder / "log.txt").read_text()


def test_a_finished_training_is_not_repeated(trained: Job) -> None:
    path = Path(trained.folder) / LAST
    before = path.stat()
    curve = read_tensors(path)[1]["curve"]
    assert evaluate(trained).curve == curve
    assert path.stat().st_mtime_ns == before.st_mtime_ns


# Writing


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_an_interrupted_write_leaves_the_old_content_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def fail(handle: int) -> None:
        raise error

    write_atomically(tmp_path / "file", b"old")
    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(type(error)):
        write_atomically(tmp_path / "file", b"new")
    assert (tmp_path / "file").read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]


def test_a_write_replaces_and_whoever_may_read_a_new_file_may_read_it(tmp_path: Path) -> None:
    for content in (b"old", b"new"):
        write_atomically(tmp_path / "file", content)
    assert (tmp_path / "file").read_bytes() == b"new"
    (tmp_path / "plain").touch()
    assert (tmp_path / "file").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_kill_between_best_and_last_changes_nothing(
    make_job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, killed = make_job("whole", epochs=2), make_job("killed", epochs=2)
    expected = evaluate(whole)

    def kill(path: Path, content: bytes, durable: bool) -> None:
        if path.name == LAST:
            raise KeyboardInterrupt
        write_atomically(path, content, durable)

    monkeypatch.setattr("evaluate.training.checkpoint.write_atomically", kill)
    with pytest.raises(KeyboardInterrupt):
        evaluate(killed)
    monkeypatch.undo()
    assert evaluate(killed).metrics == expected.metrics
    best = [load_file(Path(job.folder) / BEST) for job in (whole, killed)]
    assert all(torch.equal(best[0][name], best[1][name]) for name in best[0])


def test_what_a_killed_worker_was_writing_is_removed_when_the_job_goes_on(make_job: Callable[..., Job]) -> None:
    job = make_job(epochs=2)
    draft = Path(job.folder) / f".{LAST}.draft-77"
    draft.write_bytes(bytes(1000))
    assert evaluate(job).status == "ok"
    assert {path.name for path in Path(job.folder).iterdir()} == {BEST, LAST, "curve.csv"}


def test_no_checkpoint_holds_pickles(trained: Job) -> None:
    for name in (BEST, LAST):
        with safe_open(Path(trained.folder) / name, framework="pt") as file:
            assert list(file.metadata()) == ["description"]


# Of epochs


def test_weights_of_epochs_are_kept_from_the_beginning_on(make_job: Callable[..., Job]) -> None:
    whole = dataclasses.replace(make_job("whole", epochs=5), keep_epochs=2)
    assert evaluate(whole).status == "ok"
    kept = kept_epochs(Path(whole.folder))
    assert [(epoch, path.name) for epoch, path in kept.items()] == [
        (epoch, f"epoch-000{epoch}.safetensors") for epoch in (0, 2, 4)
    ]
    setting = setting_of(whole, this_place())
    begun = fresh_network(whole.train.model, setting).state_dict()
    found, about = read_tensors(kept[0])
    assert all(torch.equal(found[name], begun[name]) for name in begun)
    assert (about["epoch"], read_tensors(kept[4])[1]["epoch"]) == (0, 4)
    stopped = dataclasses.replace(make_job("stopped", epochs=5), keep_epochs=2)
    assert evaluate(dataclasses.replace(stopped, until=3)).status == "paused"
    assert list(kept_epochs(Path(stopped.folder))) == [0, 2]
    evaluate(stopped)
    again = kept_epochs(Path(stopped.folder))
    assert list(again) == [0, 2, 4]
    for epoch, path in kept.items():
        mine, theirs = load_file(path), load_file(again[epoch])
        assert all(torch.equal(mine[name], theirs[name]) for name in mine)


def test_a_training_that_starts_over_keeps_no_weights_of_another(make_job: Callable[..., Job]) -> None:
    job = dataclasses.replace(make_job(epochs=3), keep_epochs=1)
    evaluate(job)
    damage(Path(job.folder) / LAST, "garbage")
    evaluate(dataclasses.replace(job, keep_epochs=3))
    assert list(kept_epochs(Path(job.folder))) == [0, 3]


# In another's place


def same_files(one: Job, other: Job) -> bool:
    """Whether both jobs have left the same tensors, to the bit."""
    for name in (BEST, LAST):
        mine, theirs = (load_file(Path(job.folder) / name) for job in (one, other))
        if mine.keys() != theirs.keys() or not all(torch.equal(mine[key], theirs[key]) for key in mine):
            return False
    return True


@pytest.mark.parametrize("name", [BEST, LAST])
def test_training_starts_over_where_a_folder_is_in_a_checkpoints_place(
    trained: Job, make_job: Callable[..., Job], name: str
) -> None:
    path = Path(trained.folder) / name
    path.unlink()
    path.mkdir()
    (path / "mine.txt").write_text("precious")
    with pytest.raises(BadInput, match=f"{name}: is a folder, where a checkpoint belongs"):
        read_tensors(path)
    assert evaluate(trained).status == "ok"
    again = make_job("again", epochs=2)
    evaluate(again)
    assert same_files(trained, again)
    assert (path.with_name(f"{name}-was-a-folder") / "mine.txt").read_text() == "precious"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"seed": 2}, "seed"),
        ({"lr": 0.02}, "recipe lr"),
        ({"train_size": 150}, "data train_size, images"),
        ({"graph": Graph.chain(["conv_8_3", "maxpool", "conv_8_5"], Shape(1, 8, 8), 10)}, "graph"),
    ],
)
@pytest.mark.parametrize("names", [(BEST, LAST), (BEST,)])
def test_another_jobs_checkpoint_is_not_gone_on_with(
    trained: Job, make_job: Callable[..., Job], changes: dict[str, Any], said: str, names: tuple[str, ...]
) -> None:
    expected, mixed = (make_job(name, **{"epochs": 2} | changes) for name in ("expected", "mixed"))
    evaluate(expected)
    evaluate(mixed)
    for name in names:
        shutil.copy(Path(trained.folder) / name, mixed.folder)
    assert evaluate(mixed).metrics == evaluate(expected).metrics
    assert same_files(mixed, expected)
    log = (Path(mixed.folder) / "log.txt").read_text()
    assert log.startswith("training starts over: ")
    assert f": is of a job with other {said}; expected" in log
    assert log.count("\n") == 1


def described(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change what a checkpoint says of itself."""
    tensors, description = read_tensors(path)
    kept = {name: tensor.clone() for name, tensor in tensors.items()}  # they are mapped to the file
    change(description)
    path.unlink()
    save_file(kept, path, {"description": json.dumps(description)})


def test_a_checkpoint_of_an_older_program_is_gone_on_with(make_job: Callable[..., Job]) -> None:
    """It lacks fields that jobs have now, and says how it ran of its last stretch alone."""

    def older(description: dict[str, Any]) -> None:
        del description["stretches"]
        del description["job"]["recipe"]["cuda_graphs"]
        del description["job"]["data"]["image_size"]

    job = make_job(epochs=3)
    assert evaluate(dataclasses.replace(job, until=2)).status == "paused"
    for name in (BEST, LAST):
        described(Path(job.folder) / name, older)
    before = read_tensors(Path(job.folder) / LAST)[1]["curve"]
    result = evaluate(
        dataclasses.replace(
            job,
            number=7,
            id="moved",
            task=dataclasses.replace(job.train, data=dataclasses.replace(job.train.data, data_dir="x")),
        )
    )
    assert result.curve[:2] == before  # with the seconds of then
    assert [(s["from"], s["to"]) for s in result.stretches] == [(1, 3)]
    assert not (Path(job.folder) / "log.txt").exists()


# How each stretch ran


@pytest.fixture
def two_threads() -> Iterator[Callable[[], None]]:
    """Return a switch that lets this process compute with two threads, as another session might."""
    yield lambda: torch.set_num_threads(2)
    torch.set_num_threads(1)


def test_every_stretch_is_recorded_with_how_it_ran(
    make_job: Callable[..., Job], two_threads: Callable[[], None]
) -> None:
    job = make_job(epochs=4)
    for until in (1, 2):
        evaluate(dataclasses.replace(job, until=until))
    two_threads()
    result = evaluate(job)
    assert [(s["from"], s["to"], s["numerics"]["threads"]) for s in result.stretches] == [(1, 2, 1), (3, 4, 2)]
    assert result.numerics == result.stretches[-1]["numerics"]
    assert read_tensors(Path(job.folder) / LAST)[1]["stretches"] == result.stretches


def test_a_result_that_is_only_fetched_tells_how_it_was_computed(
    trained: Job, two_threads: Callable[[], None]
) -> None:
    """As after a kill between the last epoch and the record."""
    two_threads()
    result = evaluate(trained)
    assert result.numerics["threads"] == 1
    assert [(s["from"], s["to"]) for s in result.stretches] == [(1, 2)]


# Whose images


def test_other_images_than_the_searchs_leave_the_job_open(trained: Job) -> None:
    fingerprint = load(trained.train.data).fingerprint
    assert evaluate(dataclasses.replace(trained, fingerprint=fingerprint)).status == "ok"
    result = evaluate(dataclasses.replace(trained, fingerprint="0" * 64))
    assert result.status == "interrupted"
    assert result.error == (
        "digits: the images have changed since the search began, their fingerprint is "
        f"{fingerprint[:12]} and was 000000000000; restore them"
    )
