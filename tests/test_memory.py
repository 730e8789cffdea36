"""Memory: what a training is predicted to take and what it takes, what a worker keeps, and what is free."""

import ctypes
import mmap
import os
import resource
import sys
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from cgp.genome import draw
from cgp.graph import Graph
from cgp.layers import Shape
from cgp.space import Space
from evaluate.data.images import Images
from evaluate.data.splits import load
from evaluate.devices.numerics import Numerics
from evaluate.files import LAST
from evaluate.job import DataSpec, Job, recipe
from evaluate.memory.control_groups import free_in_groups
from evaluate.memory.footprint import PROCESS_BYTES, held_bytes, predicted_bytes
from evaluate.memory.ledger import Ledger
from evaluate.memory.peak import peak_memory_mb, reset_peak_memory
from evaluate.memory.room import free_bytes
from evaluate.metrics import objectives
from evaluate.pool.executors import local_slots
from evaluate.training.checkpoint import ModelFolder
from evaluate.training.step import Step
from evaluate.training.train import Setting, fresh_network, make_optimizer, make_schedule, train
from evaluate.worker import evaluate
from populations.run_folder.store import Plan
from populations.search.racing import Race
from populations.setup.forecast import Work, worker_bytes
from populations.strategies import Settings, Strategy, strategy
from test_strategies import SPACE
from workers import serve_as_torch_does

IMAGE = Shape(1, 8, 8)
FAST = recipe("fast", precision="fp32")
PLAN = Plan(SPACE, FAST, DataSpec("digits"), 7, True, "all")
CHAIN = Graph.chain(["conv_32_3"] * 8, Shape(3, 32, 32), 10)


# What is predicted


def test_predicted_memory_grows_with_batch_and_optimizer() -> None:
    def predicted(optimizer: str = "sgd", batch_size: int = 512, precision: str = "fp32") -> int:
        return predicted_bytes(CHAIN, recipe("fast", optimizer=optimizer, batch_size=batch_size, precision=precision))

    assert predicted("adam") - predicted("sgd") == 4 * CHAIN.params
    one, two, three = (predicted(batch_size=512 * n) for n in (1, 2, 3))
    assert three - two == pytest.approx(two - one, rel=0.01)
    # A convolution keeps its input, normalisation its own, ReLU its output, which is the next one's input.
    maps = 2 * 8 * 4 * 32 * 32 * 32
    assert (two - one) / 512 == pytest.approx(maps, rel=0.2)
    assert 0.45 < predicted(precision="bf16") / predicted() < 0.6


def test_activations_that_no_way_back_needs_are_not_counted_twice() -> None:
    """Scoring holds a few maps of a chain, however long it is; training holds all."""
    small = replace(FAST, batch_size=2)
    shallow, deep = (Graph.chain(["conv_8_1"] * depth, Shape(1, 64, 64), 10) for depth in (4, 12))
    assert predicted_bytes(deep, small) < 1.05 * predicted_bytes(shallow, small)
    large = replace(FAST, batch_size=512)
    assert predicted_bytes(deep, large) > 2.5 * predicted_bytes(shallow, large)


def drawn(function_set: str, seed: int) -> Graph:
    """Return a network of digits as a search draws it."""
    space = Space(function_set, 3, 6, IMAGE, 10)
    return draw(space, np.random.default_rng(seed)).graph(space)


KINDS = {
    "weights": Graph.chain(["maxpool", "maxpool", *["conv_256_3"] * 3], IMAGE, 10),
    "one large tensor": Graph.chain(["maxpool", "maxpool", "conv_64_1", "conv_512_5", "conv_8_1"], IMAGE, 10),
    "maps": Graph.chain(["conv_16_3"] * 4, IMAGE, 10),
    "drawn plain": drawn("vgg", 1),
    "drawn residual": drawn("resnet", 2),
}


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("graph", KINDS.values(), ids=KINDS)
def test_tensors_hold_in_a_training_what_was_predicted(
    graph: Graph, optimizer: str, precision: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To its end: steps, validation, checkpoints of the best epoch and of the last. Tensors are counted.

    Beside them lie a few numbers for each image, and batch statistics.
    """
    for module in ("memory.footprint", "training.train"):
        monkeypatch.setattr(f"evaluate.{module}.EVALUATION_BATCH", 64)
    setting = Setting(recipe("fast", optimizer=optimizer, epochs=1), 0, Numerics("cpu", precision))
    data = load(DataSpec("digits", train_size=64, val_size=64))
    images, validation = (Images.of(data, (name,), "cpu") for name in ("train", "validation"))
    with Ledger() as ledger:
        network = fresh_network(graph, setting)
        ledger.peak = 0  # drawing the weights takes memory of its own
        train(network, images, validation, setting, ModelFolder(tmp_path, {}))
    predicted = held_bytes(graph, replace(setting.recipe, precision=precision))
    assert predicted / 1.15 <= ledger.peak <= 1.02 * predicted


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_the_prediction_has_room_for_a_convolutions_own_order(optimizer: str) -> None:
    """Of its weights and of their gradient: of the largest one, as convolutions come one after another."""
    trained = replace(FAST, optimizer=optimizer)
    graph = KINDS["one large tensor"]
    assert predicted_bytes(graph, trained) - held_bytes(graph, trained) == 2 * 4 * 512 * 64 * 5 * 5


def test_a_checkpoint_copies_one_tensor_at_a_time(tmp_path: Path) -> None:
    """Of the best epoch: weights twice, and the optimizer's state; in tensors, arrays and bytes together."""
    graph = KINDS["weights"]
    trained = replace(FAST, optimizer="adam", batch_size=2)
    network = fresh_network(graph, Setting(trained, 0, Numerics("cpu", "fp32")))
    optimizer = make_optimizer(network, trained)
    Step(network, optimizer, trained, Numerics("cpu", "fp32"))(
        torch.randn(2, *IMAGE), torch.zeros(2, dtype=torch.int64)
    )
    schedule, folder = make_schedule(optimizer, trained, 1), ModelFolder(tmp_path, {})
    tracemalloc.start()
    try:
        with Ledger() as ledger:
            folder.keep(network, optimizer, schedule, [{"epoch": 1, "val_accuracy": 0.5}], best=True)
        _, traced = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(list(tmp_path.glob("*.safetensors"))) == 2
    assert ledger.peak + traced <= 1.1 * 4 * 256 * 256 * 9


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_training_that_goes_on_does_not_hold_the_file_that_it_went_on_from(
    make_job: Callable[..., Job], optimizer: str
) -> None:
    """Nor, once that is replaced, its place on the disk."""
    job = make_job(optimizer=optimizer)
    assert evaluate(job).status == "ok"
    network = fresh_network(job.train.model, Setting(job.train.recipe, 0, Numerics("cpu", "fp32")))
    trained = make_optimizer(network, job.train.recipe)
    ModelFolder(Path(job.folder), {}).resume(network, trained, make_schedule(trained, job.train.recipe, 6))
    assert trained.state
    assert LAST not in Path("/proc/self/maps").read_text()


# What is measured, and given back


def test_a_peak_is_that_since_it_was_reset() -> None:
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        pytest.skip("this system cannot measure a peak anew")
    size = 200 * 2**20
    with mmap.mmap(-1, size) as memory:
        memory.write(b"x" * size)
        high = peak_memory_mb("cpu")
    reset_peak_memory("cpu")
    low = peak_memory_mb("cpu")
    assert high - low > 150
    with mmap.mmap(-1, size) as memory:
        memory.write(b"x" * size)
    assert peak_memory_mb("cpu") - low > 150


def test_a_peak_without_proc_is_in_mib_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evaluate.memory.peak._STATUS", Path("/nowhere"))
    for platform, unit in (("darwin", 1), ("linux", 2**10)):  # macOS counts bytes, others KiB
        monkeypatch.setattr(sys, "platform", platform)
        usage = SimpleNamespace(ru_maxrss=300 * 2**20 // unit)
        monkeypatch.setattr(resource, "getrusage", lambda who, usage=usage: usage)
        assert peak_memory_mb("cpu") == 300


CHUNK, CHUNKS = 2**22, 32  # bytes of a map, and how many maps a step has: twice what glibc may keep on its own


def churn(job: None) -> tuple[int, int, int]:
    """Take and free maps in each of some steps, as a training does.

    Return the resident bytes before and after, and the page faults of the last steps, when the heap grows no more.
    Tensors would take small memory as well, which sometimes lies at the heap's end and keeps it from shrinking.
    """
    libc = ctypes.CDLL(None)
    libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
    libc.free.argtypes = [ctypes.c_void_p]
    before, faults = resident_bytes(), [0]
    for _step in range(10):
        maps = [libc.malloc(CHUNK) for _map in range(CHUNKS)]
        for address in maps:
            ctypes.memset(address, 1, CHUNK)
        for address in reversed(maps):
            libc.free(address)
        faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
    return before, resident_bytes(), faults[-1] - faults[5]


def resident_bytes() -> int:
    """Return what this process has in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="the heap is not glibc's")
def test_a_worker_uses_freed_memory_again_until_its_job_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    slots = local_slots(["cpu"], 1)
    monkeypatch.setattr("evaluate.worker.serve", serve_as_torch_does)
    slots += local_slots(["cpu"], 1)
    try:
        (before, after, faults), (began, ended, many) = (slot.submit(churn, None).result(60) for slot in slots)
        given_back, *_ = slots[0].submit(churn, None).result(60)
    finally:
        for slot in slots:
            slot.stop()
    half = CHUNK * CHUNKS // 2
    if ended - began > half:
        pytest.skip("another allocator, which keeps freed memory by itself")
    assert 10 * faults < many
    assert given_back - before < half < after - before


def test_a_worker_stays_within_what_it_was_admitted_for(make_job: Callable[..., Job]) -> None:
    """The same worker trains a small network, a large one, and again a small one."""
    plan = replace(PLAN, recipe=replace(FAST, batch_size=800, epochs=1))
    spaces = (Space("conv_8_3", 1, 1, IMAGE, 10), Space("conv_64_1", 12, 12, IMAGE, 10))  # of one network each
    plans = [replace(plan, space=space) for space in spaces]
    small, large = (draw(plan.space, np.random.default_rng(0)).graph(plan.space) for plan in plans)
    (slot,) = local_slots(["cpu"], 1)
    try:
        graphs = (small, large, small)
        jobs = [make_job(str(n), graph=graph, batch_size=800, train_size=1000) for n, graph in enumerate(graphs)]
        results = [slot.submit(evaluate, job).result(60) for job in jobs]
    finally:
        slot.stop()
    room = [worker_bytes(Work(drawing(plan), plan, load(PLAN.data), Race()), "cpu") for plan in plans]
    first, peak, again = (2**20 * (result.peak_memory_mb or 0) for result in results)
    assert peak - first <= room[1] - room[0]
    assert again - first < (peak - first) / 2  # a peak is not that of an earlier network


def drawing(plan: Plan) -> Strategy:
    """A search of the plan's space."""
    return strategy("random", Settings(plan.space, objectives("val_accuracy"), plan.seed, 8, 8, 1, 0.05))


def test_a_gpu_worker_needs_room_for_the_images_too() -> None:
    data = load(PLAN.data)
    cpu, cuda = (worker_bytes(Work(drawing(PLAN), PLAN, data, Race()), device) for device in ("cpu", "cuda:1"))
    assert cuda - cpu == data.images.nbytes + PROCESS_BYTES["cuda"] - PROCESS_BYTES["cpu"]


# What is free

V2 = {"memory.max": "900", "memory.current": "500", "memory.stat": "anon 300\ninactive_file 120"}
V1 = {
    "memory.limit_in_bytes": "900",
    "memory.usage_in_bytes": "500",
    "memory.stat": "cache 150\ntotal_inactive_file 120",
}
NONE_V2 = {"memory.max": "max", "memory.current": "500", "memory.stat": "inactive_file 120"}
TIGHT_V2 = V2 | {"memory.max": "600"}


def process_in(folder: Path, groups: str, mounts: str, files: dict[str, dict[str, str]]) -> Path:
    """Lay out control groups, mounted at `top` in `folder`, and what `/proc` says of a process in them."""
    for group, contents in files.items():
        (folder / "top" / group).mkdir(parents=True, exist_ok=True)
        for name, text in contents.items():
            (folder / "top" / group / name).write_text(f"{text}\n")
    process = folder / "process"
    process.mkdir()
    (process / "cgroup").write_text(groups)
    others = "23 1 0:22 / /proc rw,nosuid - proc proc rw\n"
    (process / "mountinfo").write_text(others + mounts.format(top=folder / "top"))
    return process


UNIFIED = "30 23 0:26 / {top} rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"
MEMORY = "35 31 0:32 {root} {{top}} rw,relatime - cgroup cgroup rw,memory\n"
CPU = "32 31 0:29 / {top} rw,relatime - cgroup cgroup rw,cpu\n"


@pytest.mark.parametrize(
    ("groups", "mounts", "files", "free"),
    [
        pytest.param("0::/\n", UNIFIED, {".": V2}, 520, id="a container, version 2"),
        pytest.param("0::/user/job\n", UNIFIED, {"user": NONE_V2, "user/job": V2}, 520, id="its own group"),
        pytest.param("0::/user/job\n", UNIFIED, {"user": V2, "user/job": NONE_V2}, 520, id="a group above"),
        pytest.param("0::/user/job\n", UNIFIED, {"user": TIGHT_V2, "user/job": V2}, 220, id="the tightest"),
        pytest.param("0::/user/job\n", UNIFIED, {"user": V2, "user/other": TIGHT_V2}, 520, id="not another's"),
        pytest.param("0::/user\n", UNIFIED, {"user": NONE_V2}, sys.maxsize, id="no limit"),
        pytest.param("0::/\n", UNIFIED, {".": {}}, sys.maxsize, id="the system's top group"),
        pytest.param("0::/../outside\n", UNIFIED, {".": V2}, 520, id="a path outside of what is mounted"),
        pytest.param(
            "4:cpu:/a\n3:memory:/slurm/job_1\n0::/\n",
            MEMORY.format(root="/"),
            {"slurm/job_1": V1},
            520,
            id="version 1",
        ),
        pytest.param(
            "3:memory:/docker/1/sub\n",
            MEMORY.format(root="/docker/1"),
            {"sub": V1},
            520,
            id="below a container's top",
        ),
        pytest.param("3:memory:/docker/1\n", MEMORY.format(root="/"), {".": V1}, 520, id="a path that is not shown"),
        pytest.param("3:cpu,memory:/a\n", CPU, {"a": V1}, sys.maxsize, id="another controller's mount"),
        pytest.param("0::/a\n", UNIFIED, {"a": TIGHT_V2 | {"memory.current": "800"}}, 0, id="more used than allowed"),
    ],
)
def test_control_groups_leave_their_tightest_limit_less_what_is_used(
    tmp_path: Path, groups: str, mounts: str, files: dict[str, dict[str, str]], free: int
) -> None:
    assert free_in_groups(process_in(tmp_path, groups, mounts, files)) == free


def test_where_there_are_no_control_groups_there_is_no_limit(tmp_path: Path) -> None:
    assert free_in_groups(tmp_path) == sys.maxsize


def test_free_memory_is_within_the_machines_and_its_groups(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert 0 < free_bytes("cpu") <= machine
    monkeypatch.setattr("evaluate.memory.room._PROCESS", process_in(tmp_path, "0::/\n", UNIFIED, {".": V2}))
    assert free_bytes("cpu") == 520
    monkeypatch.setattr("evaluate.memory.room._MEMINFO", tmp_path / "none")
    assert free_bytes("cpu") == machine
