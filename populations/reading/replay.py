"""Score or train a recorded model again, and say whether it is the same to the bit."""

import dataclasses
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from cgp.errors import BadInput
from evaluate.data.images import Images
from evaluate.data.splits import Data, load
from evaluate.devices.place import settle_process
from evaluate.files import BEST, LAST, sync, write_atomically
from evaluate.job import Job, Recipe, Result, Train
from evaluate.training.checkpoint import ModelFolder, read_weights, write_weights
from evaluate.training.inherit import inherit
from evaluate.training.train import Row, Setting, best_epoch, fresh_network, score, train
from evaluate.worker import setting_of
from populations.reading.frame import RecordedModel, Run
from populations.setup.config import Config


@dataclass(frozen=True)
class Replay:
    """A recorded and a repeated score, and what differs in how they were computed."""

    recorded: dict[str, float]
    repeated: dict[str, float]
    differences: list[str]
    weights_equal: bool | None = None  #: after a retraining, whether it ended in the same weights
    stretches: list[str] = field(default_factory=list)  #: where the recorded training changed how it was computed

    @property
    def identical(self) -> bool:
        """Whether scores, and weights where compared, are equal to the bit."""
        return self.recorded == self.repeated and self.weights_equal is not False


def recorded_job(run: Run, model: RecordedModel, recipe: Recipe | None = None) -> Job:
    """Return the job of `model` as it was sent, in the precision that its worker used.

    Raises BadInput where the model has no score to compare with.
    """
    if model.result is None or model.result.status not in ("ok", "pruned"):
        status = "open" if model.result is None else model.result.status
        raise BadInput(f"model {model.id}: its status is {status}; expected ok, so that there is a score to compare")
    asked, parent = Config.of(run.config, run.folder), None
    if recipe is None:
        recipe = dataclasses.replace(asked.recipe(), precision=model.result.numerics["precision"])
        parent = model.result.parent
    inherited = str(model.folder.parent / parent) if parent else None
    folder = str(model.folder)
    task = Train(model.model, recipe, asked.data(), inherited)
    return Job(model.key.number, model.id, task, model.seed, folder, stage=model.key.stage)


def rescore(run: Run, model: RecordedModel) -> Replay:
    """Load the best weights of `model` and score them on the validation images again.

    Raises BadInput where the weights are missing or damaged.
    """
    job, setting, data = _ready(run, model)
    repeated = _score(job, setting, data, "validation")
    return _compare(model, setting, data, {f"val_{name}": value for name, value in repeated.items()})


def test_score(run: Run, model: RecordedModel) -> dict[str, float]:
    """Return `accuracy` and `loss` of the best weights of `model` on the test images."""
    job, setting, data = _ready(run, model)
    return _score(job, setting, data, "test")


Heard = Callable[[list[Row]], None]  # told the curve so far after each epoch


class _Watched(ModelFolder):
    """A model's folder that tells of every epoch."""

    def __init__(self, path: Path, about: dict[str, Any], heard: Heard | None) -> None:
        super().__init__(path, about)
        self._heard = heard

    def keep(
        self, network: nn.Module, optimizer: Optimizer, scheduler: LRScheduler, curve: list[Row], best: bool
    ) -> None:
        super().keep(network, optimizer, scheduler, curve, best)
        if self._heard:
            self._heard(curve)


def retrain(run: Run, model: RecordedModel, heard: Heard | None = None) -> Replay:
    """Train `model` again from its genome, with its recipe and seed, and compare scores and weights.

    `heard` is called with the curve after each epoch.
    """
    job, setting, data = _ready(run, model)
    device = setting.numerics.device
    network = fresh_network(job.train.model, setting)
    if job.train.inherit:
        inherit(network, job.train.model, Path(job.train.inherit))
    setting = dataclasses.replace(setting, until=len(model.result.curve) if model.result else None)
    with tempfile.TemporaryDirectory() as folder:
        kept = _Watched(Path(folder), {"job": job.about()}, heard)
        images, validation = (Images.of(data, (name,), device) for name in ("train", "validation"))
        best = best_epoch(train(network, images, validation, setting, kept))
    repeated = {name: best[name] for name in ("val_accuracy", "val_loss")}
    replay = _compare(model, setting, data, repeated)
    if not (model.folder / LAST).exists():  # dropped by --keep best
        return replay
    recorded = fresh_network(job.train.model, setting)
    try:
        read_weights(model.folder / LAST, recorded)
    except BadInput as error:
        return dataclasses.replace(replay, differences=[*replay.differences, f"weights cannot be compared: {error}"])
    pairs = zip(network.state_dict().values(), recorded.state_dict().values(), strict=True)
    return dataclasses.replace(replay, weights_equal=all(torch.equal(a, b) for a, b in pairs))


def polish(
    run: Run, model: RecordedModel, recipe: Recipe, compiled: bool = False, heard: Heard | None = None
) -> tuple[dict[str, float], Path]:
    """Train `model` from scratch by `recipe` on training and validation images together.

    Returns `accuracy` and `loss` on the test images, scored once at the end, and the folder with
    the weights. An interrupted polish goes on from its last epoch. `heard` is called with the curve after each epoch.

    `compiled` trains by torch.compile; weights and scores are the plain network's. On a CPU it does not
    pay (AVX512-BF16, one thread, bf16, batches of 128 images of 32 x 32, once): 43 s to compile a ResNet
    genome of depth 20, then steps of 503 ms against 505; 80 s at depth 50, then 1583 ms against 1558. On
    a GPU it is not measured yet. Raises BadInput where there is no C++ compiler.
    """
    if compiled:
        _require_compiler()
    place = settle_process("cuda" if torch.cuda.is_available() else "cpu")
    job = recorded_job(run, model, recipe)
    setting, data = setting_of(job, place), load(job.train.data)
    folder = model.folder / f"polish-{recipe.name}-{recipe.epochs}"
    folder.mkdir(exist_ok=True)
    network = fresh_network(job.train.model, setting)
    images = Images.of(data, ("train", "validation"), setting.numerics.device)
    numerics = setting.numerics.describe() | {"data_fingerprint": data.fingerprint, "compiled": compiled}
    about: dict[str, Any] = {"job": job.about(), "numerics": numerics}
    kept = _Watched(folder, about, heard)
    kept.discard_unusable()
    if compiled:
        network.compile()
    train(network, images, None, setting, kept)
    plain = fresh_network(job.train.model, setting)  # scoring would compile again, for its own batch sizes
    plain.load_state_dict(network.state_dict())
    found = score(plain, Images.of(data, ("test",), setting.numerics.device), setting)
    about |= {"stretches": kept.stretches, "test": found}
    write_weights(folder / BEST, plain, about)
    sync(folder / BEST)
    write_atomically(folder / "polish.json", json.dumps(about, indent=1).encode())
    return found, folder


def _require_compiler() -> None:
    name = os.environ.get("CXX", "g++")  # as torch's inductor looks for it
    if shutil.which(name) is None:
        raise BadInput(
            f"--compile: found no C++ compiler {name!r}; install one, name one by CXX, or leave --compile out"
        )


def _ready(run: Run, model: RecordedModel) -> tuple[Job, Setting, Data]:
    job = recorded_job(run, model)
    numerics = model.result.numerics if model.result else {}
    on_gpu = numerics.get("device") == "cuda" and torch.cuda.is_available()
    place = settle_process("cuda" if on_gpu else "cpu")
    return job, setting_of(job, place), load(job.train.data)


def _score(job: Job, setting: Setting, data: Data, split: str) -> dict[str, float]:
    network = fresh_network(job.train.model, setting)
    path = Path(job.folder) / BEST
    if not path.exists():
        raise BadInput(f"{path}: no weights are kept for this model (--keep best?); replay it with --retrain")
    read_weights(path, network)
    return score(network, Images.of(data, (split,), setting.numerics.device), setting)


def _compare(model: RecordedModel, setting: Setting, data: Data, repeated: dict[str, float]) -> Replay:
    result = model.result or Result("lost")  # `recorded_job` has turned away models without a score
    now: dict[str, Any] = setting.numerics.describe() | {"data_fingerprint": data.fingerprint}
    stretches = result.stretches or [{"numerics": result.numerics}]  # older programs recorded the last one alone
    differences = [
        f"{_place(stretch, stretches)}{name}: recorded {stretch['numerics'].get(name)}, now {value}"
        for stretch in stretches
        for name, value in now.items()
        if stretch["numerics"].get(name) != value
    ]
    return Replay(result.metrics, repeated, differences, stretches=_changes(stretches))


def _changes(stretches: list[dict[str, Any]]) -> list[str]:
    """Return a line for each of several stretches, with what is not the same in all of them."""
    names = dict.fromkeys(name for stretch in stretches for name in stretch["numerics"])
    changed = [name for name in names if len({str(s["numerics"].get(name)) for s in stretches}) > 1]
    ran = (", ".join(f"{name} {stretch['numerics'].get(name)}" for name in changed) for stretch in stretches)
    return [_place(stretch, stretches) + how for stretch, how in zip(stretches, ran, strict=True) if changed]


def _place(stretch: dict[str, Any], stretches: list[dict[str, Any]]) -> str:
    return f"epochs {stretch['from']}..{stretch['to']}: " if len(stretches) > 1 else ""
