"""The one function that crosses processes: `evaluate(job)` returns a Result, whatever happens."""

import errno
import math
import os
import signal
import threading
import traceback
from multiprocessing.process import BaseProcess, parent_process
from pathlib import Path
from typing import Any

import torch
from joblib.externals.loky import process_executor

from cgp.errors import BadInput
from evaluate.augment import Images
from evaluate.checkpoint import Interrupted, ModelFolder
from evaluate.data import load
from evaluate.inherit import inherit
from evaluate.job import Job, Result, Status
from evaluate.memory import peak_memory_mb, reset_peak_memory
from evaluate.numerics import Numerics, describe_device
from evaluate.probe import resolve_precision
from evaluate.train import Diverged, Setting, best_epoch, fresh_network, out_of_patience, train

_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


def start(device: str, visible: str | None) -> None:
    """Make this process a worker on `device` (`cpu` or `cuda`), where `visible` names the one GPU it may see.

    One CPU thread; ends itself when the driver is gone; leaves Ctrl-C to the driver.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if visible is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = visible
    # Each second loky collects all of torch's garbage and replaces a worker that has grown by 300 MB, which
    # is what training a network does.
    process_executor._MEMORY_LEAK_CHECK_DELAY = math.inf
    if driver := parent_process():
        threading.Thread(target=_end_with, args=(driver,), daemon=True).start()
    settle_numerics(device)


def settle_numerics(device: str) -> None:
    """Make this process compute on `device` as every worker does, to the bit on a CPU."""
    global _device
    _device = device
    torch.set_num_threads(1)
    # cudnn.benchmark picks the convolution that is fastest at the moment, another one perhaps in a replay:
    # the recorded score would not come back to the last bit.
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False


_device = "cpu"


def _end_with(driver: BaseProcess) -> None:
    driver.join()
    os._exit(1)


def describe(_: object = None) -> dict[str, Any]:
    """Return what this worker computes with: its first task, and the proof that it started."""
    return describe_device(_device) | {"pid": os.getpid()}


def setting_of(job: Job) -> Setting:
    """Return the job's setting on this process's device."""
    numerics = Numerics(_device, resolve_precision(job.recipe.precision, _device))
    return Setting(job.recipe, job.seed, numerics, job.until)


def evaluate(job: Job) -> Result:
    """Train and score the network of `job`; every exception becomes a result."""
    folder = ModelFolder(Path(job.folder), {"job": job.about()}, Path(job.stop_file) if job.stop_file else None)
    try:
        return _evaluate(job, folder)
    except Interrupted:
        return Result("interrupted")
    except Diverged as error:
        return _broken("diverged", error, folder)
    except (MemoryError, torch.OutOfMemoryError) as error:
        return _broken("oom", error, folder)
    except OSError as error:
        if error.errno in _DISK:
            return Result("interrupted", error=f"{error.strerror}: {error.filename or job.folder}")
        return _broken("failed", error, folder)
    except Exception as error:  # a network must not end the search
        out_of_memory = isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
        return _broken("oom" if out_of_memory else "failed", error, folder)


def _evaluate(job: Job, folder: ModelFolder) -> Result:
    setting = setting_of(job)
    data = load(job.data)
    if data.shape != job.graph.image or len(data.classes) != job.graph.classes:
        raise BadInput(
            f"{job.data.name}: images {tuple(data.shape)} of {len(data.classes)} classes; the network "
            f"expects {tuple(job.graph.image)} of {job.graph.classes}"
        )
    images = Images.of(data, ("train",), setting.numerics.device)
    validation = Images.of(data, ("validation",), setting.numerics.device)
    reset_peak_memory(setting.numerics.device)
    numerics = setting.numerics.describe() | {"data_fingerprint": data.fingerprint}
    folder.about |= {"numerics": numerics}
    folder.discard_corrupt()
    network = fresh_network(job.graph, setting)
    share = inherit(network, job.graph, Path(job.inherit)) if job.inherit else None
    curve = train(network, images, validation, setting, folder)[: job.until]  # it may have been farther, once
    best = best_epoch(curve)
    whole = len(curve) == job.recipe.epochs or out_of_patience(curve, job.recipe.patience)
    return Result(
        "ok" if whole else "paused",
        metrics={name: best[name] for name in ("val_accuracy", "val_loss")},
        curve=curve,
        seconds=sum(row["seconds"] for row in curve),
        peak_memory_mb=peak_memory_mb(setting.numerics.device),
        parent=Path(job.inherit).name if job.inherit else None,
        scratch_share=share,
        numerics=numerics,
    )


def _broken(status: Status, error: BaseException, folder: ModelFolder) -> Result:
    message = f"{type(error).__name__}: {error}"
    try:
        log = folder.log("".join(traceback.format_exception(error)))
    except OSError:
        return Result(status, error=message)
    return Result(status, error=message, log=str(log))
