"""A session of driving a run: the run folder opened for it, and how its user ends it."""

import signal
from pathlib import Path
from types import FrameType
from typing import Any

from evaluate.data import Data
from evaluate.executors import device_names
from evaluate.pool import Usage
from evaluate.probe import probe_precision
from populations.config import Config
from populations.folder import create_next_run, create_run, note_session, renew_run
from populations.store import Plan, Store


def open_session(config: Config, plan: Plan, data: Data, workers: list[dict[str, Any]], startup: Usage) -> Store:
    """Create the run, or go on with one, and note what this session runs with: `workers`, up after `startup`.

    Raises BadInput where the folder is taken, cannot be written, or is of a run on other images.
    """
    resolved = config.resolved(plan.recipe) | {"data_fingerprint": data.fingerprint}
    if config.resume:
        store = Store(config.resume, plan)
        renew_run(store.folder, resolved)
    else:
        if config.run is not None:
            lock = create_run(Path(config.run), resolved)
        else:
            lock = create_next_run(Path("runs"), config.dataset, resolved)
        store = Store(lock.folder, plan, lock)
    store.note_usage(startup)
    automatic = config.recipe().precision == "auto"
    probe = probe_precision(tuple(device_names(config.devices))).milliseconds if automatic else {}
    note_session(store.folder, config.seed, workers, probe)
    return store


class Stop:
    """Ctrl-C or SIGTERM: once, stop asking and let workers checkpoint; twice, at once."""

    def __init__(self, store: Store) -> None:
        """Take over both signals; what this driver was asked before still holds."""
        self.asked, self._file = store.stop_file.exists(), store.stop_file
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._ask)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
        self._file.touch()
