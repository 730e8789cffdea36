"""Score or train a recorded model again, and say whether it is the same to the bit."""

import dataclasses
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
from evaluate.data.images import OnDevice
from evaluate.data.preprocessing import as_in_run
from evaluate.data.splits import load
from evaluate.devices.place import settle_process
from evaluate.files import BEST, LAST
from evaluate.job import Fresh, Inherit, Job, Recipe, Start, Train
from evaluate.training.checkpoint import ModelFolder, read_weights
from evaluate.training.train import Row, Setting, fresh_network, score
from evaluate.training.trained import carry_out
from evaluate.worker import numerics_of, setting_of
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
    once: dict[str, float] = field(default_factory=dict)  #: what was measured in the search and is not repeated

    @property
    def identical(self) -> bool:
        """Whether scores, and weights where compared, are equal to the bit."""
        return self.recorded == self.repeated and self.weights_equal is not False


def recorded_job(run: Run, model: RecordedModel) -> Job:
    """Return the job of `model` as it was sent, in the precision that its worker used.

    Raises BadInput where the model has no score to compare with.
    """
    result = model.scored
    asked = Config.of(run.config, run.folder)
    options = model.options or {}
    trained = Recipe(**options["recipe"]) if options else asked.recipe()
    start: Start = Fresh()
    if result.parent:
        start = Inherit(str(model.folder.parent / result.parent))
    elif not options and (weights := asked.start()):
        start = weights.within(run.folder)
    task = Train(
        model.model,
        dataclasses.replace(trained, precision=result.numerics["precision"]),
        asked.data(),
        start,
        options.get("polish", False),
        options.get("compiled", False),
    )
    return Job(model.key.number, model.id, task, model.seed, str(model.folder), stage=model.key.stage)


def rescore(run: Run, model: RecordedModel) -> Replay:
    """Load the weights of `model` and score them again, on the images that its recorded score is of.

    Raises BadInput where the weights are missing or damaged.
    """
    job, setting, images = _ready(run, model)
    split, prefix = ("test", "test_") if job.train.polish else ("validation", "val_")
    repeated = _score(job, setting, images, split)
    return _compare(model, job, setting, images, {f"{prefix}{name}": value for name, value in repeated.items()})


def test_score(run: Run, model: RecordedModel) -> dict[str, float]:
    """Return `accuracy` and `loss` of the best weights of `model` on the test images."""
    job, setting, images = _ready(run, model)
    return _score(job, setting, images, "test")


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
    job, setting, images = _ready(run, model)
    setting = dataclasses.replace(setting, until=len(model.scored.curve))
    with tempfile.TemporaryDirectory() as folder:
        trained = carry_out(job.train, setting, images, _Watched(Path(folder), {"job": job.about()}, heard))
    replay = _compare(model, job, setting, images, trained.metrics)
    if not (model.folder / LAST).exists():  # dropped by --keep best
        return replay
    recorded = fresh_network(job.train.model, setting)
    try:
        read_weights(model.folder / LAST, recorded)
    except BadInput as error:
        return dataclasses.replace(replay, differences=[*replay.differences, f"weights cannot be compared: {error}"])
    pairs = zip(trained.network.state_dict().values(), recorded.state_dict().values(), strict=True)
    return dataclasses.replace(replay, weights_equal=all(torch.equal(a, b) for a, b in pairs))


def _ready(run: Run, model: RecordedModel) -> tuple[Job, Setting, OnDevice]:
    job = recorded_job(run, model)
    on_gpu = model.scored.numerics.get("device") == "cuda" and torch.cuda.is_available()
    place = settle_process("cuda" if on_gpu else "cpu")
    return job, setting_of(job, place), OnDevice(as_in_run(load(job.train.data), run.folder), place.kind)


def _score(job: Job, setting: Setting, images: OnDevice, split: str) -> dict[str, float]:
    network = fresh_network(job.train.model, setting)
    path = Path(job.folder) / BEST
    if not path.exists():
        raise BadInput(f"{path}: no weights are kept for this model (--keep best?); replay it with --retrain")
    read_weights(path, network)
    return score(network, images.of(split), setting.numerics)


def _compare(
    model: RecordedModel, job: Job, setting: Setting, images: OnDevice, repeated: dict[str, float]
) -> Replay:
    result, now = model.scored, numerics_of(job.train, setting, images)
    stretches = result.stretches or [{"numerics": result.numerics}]  # older programs recorded the last one alone
    differences = [
        f"{_place(stretch, stretches)}{name}: recorded {stretch['numerics'].get(name)}, now {value}"
        for stretch in stretches
        for name, value in now.items()
        if stretch["numerics"].get(name) != value
    ]
    return Replay(result.metrics, repeated, differences, stretches=_changes(stretches), once=result.measured)


def _changes(stretches: list[dict[str, Any]]) -> list[str]:
    """Return a line for each of several stretches, with what is not the same in all of them."""
    names = dict.fromkeys(name for stretch in stretches for name in stretch["numerics"])
    changed = [name for name in names if len({str(s["numerics"].get(name)) for s in stretches}) > 1]
    ran = (", ".join(f"{name} {stretch['numerics'].get(name)}" for name in changed) for stretch in stretches)
    return [_place(stretch, stretches) + how for stretch, how in zip(stretches, ran, strict=True) if changed]


def _place(stretch: dict[str, Any], stretches: list[dict[str, Any]]) -> str:
    return f"epochs {stretch['from']}..{stretch['to']}: " if len(stretches) > 1 else ""
