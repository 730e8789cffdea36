"""What a child takes over of its parent's weights, and files that are whole or absent."""

import errno
import resource
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from cgp.errors import BadInput
from cgp.graph import Graph, Node
from cgp.layers import Shape
from cgp.network import build
from evaluate.files import BEST, cache_root, write_atomically
from evaluate.job import Fresh, Inherit, Job
from evaluate.training.inherit import inherit
from evaluate.worker import evaluate

IMAGE = Shape(1, 8, 8)
PARENT = Graph.chain(["conv_8_3", "conv_8_3", "conv_4_3"], IMAGE, 10)


@pytest.fixture
def parent(make_job: Callable[..., Job]) -> Path:
    """The folder of a trained network of three convolutions."""
    job = make_job("parent", graph=PARENT)
    assert evaluate(job).status == "ok"
    return Path(job.folder)


def heir(graph: Graph, parent: Path) -> tuple[nn.Module, dict[str, bool], float]:
    """Return a child, which parts of it are the parent's (by name of their tensors' beginning), and its share."""
    child = build(graph)
    before = {name: value.clone() for name, value in child.state_dict().items()}
    share = inherit(child, graph, parent)
    theirs, taken = load_file(parent / BEST), dict[str, bool]()
    for name, value in child.state_dict().items():
        same = name in theirs and theirs[name].shape == value.shape and torch.equal(value, theirs[name])
        assert same or torch.equal(value, before[name])
        part = ".".join(name.split(".")[: 1 if name.startswith("head") else 2])
        taken[part] = taken.get(part, True) and same
    return child, taken, share


def parameters(module: nn.Module, *parts: str) -> int:
    return sum(p.numel() for name, p in module.named_parameters() if name.startswith(parts))


def test_a_copy_of_the_parent_has_all_its_weights_and_statistics(parent: Path) -> None:
    child, taken, share = heir(PARENT, parent)
    assert (set(taken.values()), share) == ({True}, 0)
    assert int(dict(child.named_buffers())["nodes.0.body.1.num_batches_tracked"]) == 200 // 32


def test_a_changed_block_and_what_then_has_other_shapes_begin_anew(parent: Path) -> None:
    child, taken, share = heir(Graph.chain(["conv_8_3", "conv_16_3", "conv_4_3"], IMAGE, 10), parent)
    assert taken == {"nodes.0": True, "nodes.1": False, "nodes.2": False, "head": True}
    fresh = parameters(child, "nodes.1.", "nodes.2.")
    assert share == pytest.approx(fresh / parameters(child, ""))


@pytest.mark.parametrize("blocks", [["conv_8_3"], ["conv_8_3"] * 2 + ["conv_4_3"] * 2], ids=["shallower", "deeper"])
def test_a_child_of_another_depth_takes_what_there_is(parent: Path, blocks: list[str]) -> None:
    _, taken, share = heir(Graph.chain(blocks, IMAGE, 10), parent)
    expected = {f"nodes.{n}": n < 3 for n in range(len(blocks))}
    assert taken == expected | {"head": blocks[-1] == "conv_4_3"}
    assert 0 < share < 1


@pytest.mark.parametrize("change", [("compress", 1, 2), ("transition", 2, 1)], ids=["inputs", "block"])
def test_a_node_that_computes_something_else_begins_anew_though_its_tensors_would_fit(
    make_job: Callable[..., Job], change: tuple[str, int, int]
) -> None:
    def joined(block: str, third: int, second: int) -> Graph:
        nodes = (Node("conv_4_3", (0,)), Node("conv_4_3", (1,)), Node(block, (third,)), Node("concat", (3, second)))
        return Graph(nodes, IMAGE, 10)

    job = make_job(graph=joined("compress", 2, 1))
    assert evaluate(job).status == "ok"
    _, taken, _ = heir(joined(*change), Path(job.folder))
    assert taken == {"nodes.0": True, "nodes.1": True, "nodes.2": False, "head": True}


def test_a_head_for_other_classes_begins_anew(parent: Path) -> None:
    _, taken, _ = heir(Graph.chain(["conv_8_3", "conv_8_3", "conv_4_3"], IMAGE, 7), parent)
    assert taken == {"nodes.0": True, "nodes.1": True, "nodes.2": True, "head": False}


def test_a_child_leaves_its_parents_file_alone(parent: Path) -> None:
    before = (parent / BEST).read_bytes()
    child, _, _ = heir(PARENT, parent)
    with torch.no_grad():
        for parameter in child.parameters():
            parameter.add_(1.0)
    assert (parent / BEST).read_bytes() == before


@pytest.mark.parametrize("damage", [None, b"spam"])
def test_a_parent_whose_weights_cannot_be_read_is_named(parent: Path, damage: bytes | None) -> None:
    (parent / BEST).unlink()
    if damage:
        (parent / BEST).write_bytes(damage)
    with pytest.raises(BadInput, match=r"no such checkpoint|corrupt") as caught:
        inherit(build(PARENT), PARENT, parent)
    assert str(parent / BEST) in str(caught.value)


def test_a_trained_heir_says_whose_child_it_is_and_ends_elsewhere(parent: Path, make_job: Callable[..., Job]) -> None:
    def trained(name: str, inherited: str | None) -> tuple[dict[str, Tensor], str | None, float | None]:
        job = make_job(name, graph=PARENT)
        job = replace(job, task=replace(job.train, start=Inherit(inherited) if inherited else Fresh()))
        result = evaluate(job)
        return load_file(Path(job.folder) / BEST), result.parent, result.scratch_share

    fresh, *alone = trained("alone", None)
    heirs, *child = trained("child", str(parent))
    assert (alone, child) == ([None, None], ["parent", 0.0])
    assert not torch.equal(fresh["head.weight"], heirs["head.weight"])


# Files


def test_a_reader_of_the_old_file_goes_on_reading_it(tmp_path: Path) -> None:
    write_atomically(tmp_path / "file", b"old")
    with (tmp_path / "file").open("rb") as reader:
        write_atomically(tmp_path / "file", b"new and longer")
        assert reader.read() == b"old"
    assert (tmp_path / "file").read_bytes() == b"new and longer"


def test_a_write_that_cannot_take_its_place_leaves_no_draft(tmp_path: Path) -> None:
    (tmp_path / "file").mkdir()
    with pytest.raises(IsADirectoryError):
        write_atomically(tmp_path / "file", b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    with pytest.raises(FileNotFoundError):
        write_atomically(tmp_path / "none" / "file", b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("durable", [True, False])
def test_a_write_that_breaks_off_leaves_the_old_file_and_no_draft(tmp_path: Path, durable: bool) -> None:
    """Beyond the size that this process may write, the system refuses, as it does on a full disk."""
    write_atomically(tmp_path / "file", b"old")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    former = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large") as caught:
            write_atomically(tmp_path / "file", b"x" * 10_000, durable)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, former)
    assert caught.value.errno == errno.EFBIG
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"file": b"old"}


def test_the_cache_is_where_the_user_wants_it_or_at_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "mine"))
    assert cache_root() == tmp_path / "mine" / "cgp-evolve"
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    assert cache_root() == tmp_path / ".cache" / "cgp-evolve"
    assert list(tmp_path.iterdir()) == []
