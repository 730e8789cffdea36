"""What can be told without a GPU of how it is used: what lies on it, and what waits for it."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from evaluate.data.images import Images
from evaluate.data.splits import Data, load
from evaluate.devices.numerics import EVALUATION_BATCH, Numerics
from evaluate.devices.place import Place
from evaluate.job import OPTIMIZERS, DataSpec, Job
from evaluate.pool.executors import local_slots
from evaluate.training.checkpoint import ModelFolder
from evaluate.training.train import fresh_network, score, train
from evaluate.worker import setting_of
from workers import serve_with_cache

MakeJob = Callable[..., Job]

CPU = Place("cpu")

#: Operators whose answer Python has to have before it goes on: on a GPU, they wait for all work so far.
WAITING = {"_local_scalar_dense", "equal", "nonzero", "masked_select", "_unique2", "is_nonzero"}


class Watch(TorchDispatchMode):
    """Notes the name of every operator."""

    def __init__(self) -> None:
        TorchDispatchMode.__init__(self)
        self.called: list[str] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        self.called.append(func.overloadpacket.__name__)
        return func(*args, **(kwargs or {}))


def digits() -> Data:
    return load(DataSpec("digits", train_size=600))


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_nothing_waits_for_the_device_before_an_epoch_ends(make_job: MakeJob, optimizer: str, tmp_path: Path) -> None:
    job = make_job(optimizer=optimizer, augment=True, batch_size=64)
    setting = setting_of(job, CPU)
    images = Images.of(digits(), ("train",), "cpu")
    network = fresh_network(job.train.model, setting)
    with Watch() as watch:
        train(network, images, None, setting, ModelFolder(tmp_path, {}))
    waited = [n for n, name in enumerate(watch.called) if name in WAITING]
    last_convolution = max(n for n, name in enumerate(watch.called) if name == "convolution_backward")
    assert [watch.called[n] for n in waited] == ["_local_scalar_dense"] * 2, "sums of losses and of hits"
    assert waited[0] > last_convolution


def test_a_gpu_holds_its_split_alone_and_makes_every_batch_itself() -> None:
    """Fake tensors have a device and a shape but no data: operators refuse to mix devices, or to tell a value."""
    data = digits()
    with FakeTensorMode(allow_non_fake_inputs=True):
        images = Images.of(data, ("validation",), "cuda")
        assert len(images.pixels) == len(images) == len(data.splits["validation"])
        batches = [batch for epoch in range(2) for batch in images.epoch(1, epoch, 64, augment=True)]
        held = [value for value in vars(images).values() if isinstance(value, Tensor)]
        assert {tensor.device.type for tensor in [*held, *(t for batch in batches for t in batch)]} == {"cuda"}
    assert len(batches) == 2 * (len(images) // 64)
    assert all(x.is_contiguous(memory_format=torch.channels_last) for x, _ in batches)


def test_validation_waits_for_a_gpu_once_it_is_through(make_job: MakeJob) -> None:
    job, data, entered = make_job(), digits(), []
    with FakeTensorMode(allow_non_fake_inputs=True):
        images = Images.of(data, ("train",), "cuda")
        with torch.device("cuda:0"):
            network = fresh_network(job.train.model, setting_of(job, CPU))
        network.register_forward_pre_hook(lambda module, inputs: entered.append(len(inputs[0])))
        with pytest.raises(DataDependentOutputException):
            score(network, images, Numerics("cuda", "fp32"))
    assert sum(entered) == len(data.splits["train"])
    assert max(entered) == EVALUATION_BATCH


def count(folder: Path) -> int:
    """Return how many files are in `folder`."""
    return len(list(folder.iterdir()))


def test_a_gpus_cache_is_given_back_after_each_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evaluate.worker.serve", partial(serve_with_cache, tmp_path, None))
    (slot,) = local_slots(["cpu"], 1)
    counts = [slot.submit(count, tmp_path).result(60) for _ in range(3)]
    slot.stop()
    assert counts == [0, 1, 2]


def test_a_worker_ends_when_a_fault_keeps_it_from_giving_its_cache_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("evaluate.worker.serve", partial(serve_with_cache, tmp_path, "an illegal memory access"))
    (slot,) = local_slots(["cpu"], 1)
    assert slot.submit(count, tmp_path).result(60) == 0
    with pytest.raises(RuntimeError, match=r"exit code 0|has ended"):  # 1 after a traceback
        slot.submit(count, tmp_path).result(60)
    slot.stop()
