"""Checkpoints: whole or absent, and they say what they are."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from cgp.errors import BadInput
from cgp.graph import Graph
from cgp.layers import Shape
from cgp.network import build
from evaluate.checkpoint import read_tensors, read_weights
from evaluate.data import load
from evaluate.files import BEST, LAST, write_atomically
from evaluate.job import Job
from evaluate.worker import evaluate


@pytest.fixture
def trained(make_job: Callable[..., Job]) -> Job:
    """Return a job whose network is trained, in its folder."""
    job = make_job("trained", epochs=2)
    assert evaluate(job).status == "ok"
    return job


# What they hold


def test_best_weights_are_plain_safetensors_of_the_network(trained: Job) -> None:
    tensors = load_file(Path(trained.folder) / BEST)
    network = build(trained.graph)
    initial = network.head.get_parameter("weight").clone()
    network.load_state_dict(tensors, strict=True)
    assert torch.equal(network.head.get_parameter("weight"), tensors["head.weight"])
    assert not torch.equal(network.head.get_parameter("weight"), initial)


def test_last_weights_are_read_without_the_optimizers_state(trained: Job) -> None:
    path = Path(trained.folder) / LAST
    network = build(trained.graph)
    assert len(read_weights(path, network)["curve"]) == 2
    assert torch.equal(network.head.get_parameter("weight"), load_file(path)["head.weight"])


@pytest.mark.parametrize("name", [BEST, LAST])
def test_checkpoints_describe_themselves(trained: Job, name: str) -> None:
    _, description = read_tensors(Path(trained.folder) / name)
    assert description["job"] == trained.about()
    assert Graph.from_json(description["job"]["graph"]) == trained.graph
    assert description["job"]["recipe"]["optimizer"] == "sgd"
    assert description["numerics"]["torch"] == torch.__version__
    assert description["numerics"]["precision"] == "fp32"
    assert description["numerics"]["data_fingerprint"] == load(trained.data).fingerprint


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
        read_weights(path, build(trained.graph))
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

    monkeypatch.setattr("evaluate.checkpoint.write_atomically", kill)
    with pytest.raises(KeyboardInterrupt):
        evaluate(killed)
    monkeypatch.undo()
    assert evaluate(killed).metrics == expected.metrics
    best = [load_file(Path(job.folder) / BEST) for job in (whole, killed)]
    assert all(torch.equal(best[0][name], best[1][name]) for name in best[0])


def test_no_checkpoint_holds_pickles(trained: Job) -> None:
    for name in (BEST, LAST):
        with safe_open(Path(trained.folder) / name, framework="pt") as file:
            assert list(file.metadata()) == ["description"]
