"""A worker process, and the one function it is there for: `evaluate(job)` returns a Result, whatever happens."""

import contextlib
import errno
import math
import os
import signal
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache, partial
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess, parent_process
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cgp.errors import BadInput
from cgp.model import Model
from cgp.network import build
from evaluate.data.images import OnDevice
from evaluate.data.preparation import Preparation
from evaluate.data.preprocessing import as_in_run
from evaluate.data.splits import load
from evaluate.devices.numerics import Numerics, describe_device
from evaluate.devices.place import Place, settle_process, this_place
from evaluate.files import BEST
from evaluate.foreign import ForeignCodeChanged
from evaluate.job import DataSpec, Inherit, Job, Measure, Result, Status, Train, Weights
from evaluate.measures import MEASURES, UNTRAINED, Subject
from evaluate.measures.goals import measured
from evaluate.memory.chunks import chunk_of
from evaluate.memory.heap import give_back_memory
from evaluate.memory.peak import peak_memory_mb, reset_peak_memory
from evaluate.pool.pool import STOP_SIGNALS
from evaluate.training.checkpoint import Interrupted, ModelFolder, read_weights
from evaluate.training.train import Diverged, Setting, ended_early
from evaluate.training.trained import carry_out

_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


class WrongImages(Exception):
    """A job's images are not those that its search began with: every job would be judged by others."""


def serve(pipe: "Connection[Any, Any]", device: str, visible: str | None) -> None:
    """Be a worker on `device` (`cpu` or `cuda`), where `visible` names the one GPU that it may see.

    Answers through `pipe`: first with what it computes with, then every (function, argument), both of which
    it must be able to import, with what the function returns; where that raises, with a RuntimeError that
    says so. One CPU thread; ends itself when it cannot start or the driver is gone; leaves signals to the driver.
    """
    # The driver is gone; or a fault has spoiled the GPU for this process, which its answer has said already.
    with contextlib.suppress(EOFError, OSError, torch.AcceleratorError):
        started = _answer(_start, device, visible)
        pipe.send(started)
        while not isinstance(started, RuntimeError):
            pipe.send(_answer(*pipe.recv()))
            give_back_memory()  # while the next job is on its way


def _answer(function: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return function(*arguments)
    except Exception as error:  # not every exception can be sent
        return RuntimeError(f"{type(error).__name__}: {error}")


def _start(device: str, visible: str | None) -> dict[str, Any]:
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    os.setpgrp()  # what is sent to the driver's whole group, as `timeout` does, must not end trainings
    if visible is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = visible
    if driver := parent_process():
        threading.Thread(target=_end_with, args=(driver,), daemon=True).start()
    settle_process(device)
    return describe_device(device) | {"pid": os.getpid()}


def _end_with(driver: BaseProcess) -> None:
    driver.join()
    os._exit(1)


def setting_of(job: Job, place: Place) -> Setting:
    """Return the job's setting in `place`. Raises MemoryError where its training is beyond its recipe's limit."""
    recipe, start = job.train.recipe, job.train.start
    rate = start.backbone_rate if isinstance(start, Weights) else 1.0
    chunk, chance = chunk_of(job.train.model, recipe), 1 / job.train.model.classes
    numerics = place.numerics(recipe.precision).scoring(chunk)
    return Setting(recipe, job.seed, numerics, job.until, rate, chunk, chance)


def evaluate(job: Job) -> Result:
    """Do here what the task of `job` says; every exception becomes a result, unless it spoils this process.

    `interrupted`, with an error that says why, means that no other job could be judged either: a full disk, or
    images or code of the user's that are not those of the search.
    Raises torch.AcceleratorError after a fault of the device that leaves nothing in this process able to use it.
    """
    about = {"job": job.about()} if isinstance(job.task, Train) else {}
    stop_file = Path(job.stop_file) if job.stop_file else None
    folder = ModelFolder(Path(job.folder), about, stop_file, job.keep_epochs)
    try:
        return _train(job, folder) if isinstance(job.task, Train) else _measure(job, job.task)
    except Interrupted:
        return Result("interrupted")
    except (WrongImages, ForeignCodeChanged) as error:
        return Result("interrupted", error=str(error))
    except Diverged as error:
        return _broken("diverged", error, folder)
    except (MemoryError, torch.OutOfMemoryError) as error:
        return _broken("oom", error, folder)
    except torch.AcceleratorError:  # the device is lost to this process: the pool starts another
        raise
    except OSError as error:
        if error.errno in _DISK:
            found = f"{error.strerror}: {error.filename or job.folder}"
            return Result("interrupted", error=f"{found}; free some space")
        return _broken("failed", error, folder)
    except Exception as error:  # a network must not end the search
        out_of_memory = isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
        return _broken("oom" if out_of_memory else "failed", error, folder)


def _train(job: Job, folder: ModelFolder) -> Result:
    task, setting = job.train, setting_of(job, this_place())
    images = _images(job, setting.numerics.device)
    reset_peak_memory(setting.numerics.device)
    prepared = Preparation.of(images.data, task.data)
    folder.about |= {"numerics": numerics_of(task, setting, images), "images": prepared.to_json()}
    folder.discard_unusable()
    trained = carry_out(task, setting, images, folder)  # beyond `until`, where it had been farther once
    curve = trained.curve
    whole = len(curve) == task.recipe.epochs or ended_early(curve, setting)
    peak = peak_memory_mb(setting.numerics.device)  # before others than the training take memory
    goals = task.goals if whole else ()
    best = partial(_subject, task.model, folder.path, images, setting.numerics, folder.path)
    return Result(
        "ok" if whole else "paused",
        metrics=trained.metrics,
        measured=measured(goals, best, job.seed),
        curve=curve,
        seconds=sum(row["seconds"] for row in curve),
        peak_memory_mb=peak,
        parent=Path(task.start.parent).name if isinstance(task.start, Inherit) else None,
        scratch_share=trained.scratch_share,
        numerics=folder.stretches[-1]["numerics"],
        stretches=folder.stretches,
    )


def numerics_of(task: Train, setting: Setting, images: OnDevice) -> dict[str, Any]:
    """Return everything beside the job that decides the last bit of its scores."""
    found = setting.numerics.describe() | {"data_fingerprint": images.data.fingerprint}
    if setting.chunk:
        found["chunks"] = math.ceil(setting.recipe.batch_size / setting.chunk)
    return found | ({"compiled": True} if task.compiled else {})


def _measure(job: Job, task: Measure) -> Result:
    began, numerics = time.perf_counter(), this_place().numerics(task.precision)
    images = _images(job, numerics.device)
    reset_peak_memory(numerics.device)
    trained = task.measure not in UNTRAINED
    subject = _subject(task.model, Path(task.source), images, numerics, Path(job.folder), trained)
    if job.stop_file:
        subject = replace(subject, stop_file=Path(job.stop_file))
    found = MEASURES[task.measure](subject, task.options, np.random.default_rng(job.seed))
    return Result(
        "ok",
        metrics=found.metrics,
        artifacts=found.artifacts,
        seconds=time.perf_counter() - began,
        peak_memory_mb=peak_memory_mb(numerics.device),
        parent=Path(task.source).name,
        numerics=numerics.describe() | {"data_fingerprint": images.data.fingerprint},
    )


def _subject(
    model: Model, source: Path, images: OnDevice, numerics: Numerics, folder: Path, trained: bool = True
) -> Subject:
    """Return the network of `model`, if `trained` with the best weights in the model folder `source`."""
    network = numerics.place(build(model)).eval()
    if trained:
        read_weights(source / BEST, network)
    return Subject(model, network, images, numerics, folder, source)


def _images(job: Job, device: str) -> OnDevice:
    """Return the job's images.

    Raises WrongImages where they are not the run's, and BadInput where the network expects others.
    """
    spec, model = job.task.data, job.task.model
    try:
        images = _opened(spec, device, Path(job.folder).parents[1])
    except BadInput as error:
        raise WrongImages(str(error)) from error
    except FileNotFoundError as error:
        raise WrongImages(f"{spec.name}: {error.filename} is gone; restore the images") from error
    data = images.data
    if job.fingerprint and job.fingerprint != data.fingerprint:
        raise WrongImages(
            f"{spec.name}: the images have changed since the search began, their fingerprint is "
            f"{data.fingerprint[:12]} and was {job.fingerprint[:12]}; restore them"
        )
    if data.shape != model.image or len(data.classes) != model.classes:
        raise BadInput(
            f"{spec.name}: images {tuple(data.shape)} of {len(data.classes)} classes; the network "
            f"expects {tuple(model.image)} of {model.classes}"
        )
    return images


@lru_cache(maxsize=1)
def _opened(spec: DataSpec, device: str, run: Path) -> OnDevice:
    """Return the images of a dataset, whitened as in the folder `run`: they stay on `device` for the next job."""
    return OnDevice(as_in_run(load(spec), run), device)


def _broken(status: Status, error: BaseException, folder: ModelFolder) -> Result:
    message = f"{type(error).__name__}: {error}"
    try:
        log = folder.log("".join(traceback.format_exception(error)))
    except OSError:
        return Result(status, error=message)
    return Result(status, error=message, log=str(log))
