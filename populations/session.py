"""A session of driving a run: the run folder opened for it, and what it runs with noted."""

from pathlib import Path
from typing import Any

from evaluate.data import Data
from evaluate.executors import device_names
from evaluate.pool import Usage
from evaluate.probe import probe_precision
from populations.config import Config
from populations.folder import create_run, next_run, note_session, renew_run
from populations.store import Plan, Store


def open_session(config: Config, plan: Plan, data: Data, workers: list[dict[str, Any]], startup: Usage) -> Store:
    """Create the run, or go on with one, and note what this session runs with: `workers`, up after `startup`.

    Raises BadInput where the folder is taken, cannot be written, or is of a run on other images.
    """
    folder = config.resume or Path(config.run or next_run(Path("runs"), config.dataset))
    resolved = config.resolved(plan.recipe) | {"data_fingerprint": data.fingerprint}
    if not config.resume:
        create_run(folder, resolved)
    store = Store(folder, plan)
    if config.resume:
        renew_run(folder, resolved)
    store.note_usage(startup)
    automatic = config.recipe().precision == "auto"
    probe = probe_precision(tuple(device_names(config.devices))).milliseconds if automatic else {}
    note_session(folder, config.seed, workers, probe)
    return store
