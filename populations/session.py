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
from populations.folder import create_run, next_run, note_session, renew_run
from populations.store import Plan, Store


def open_session(config: Config, plan: Plan, data: Data, workers: list[dict[str, Any]], startup: Usage) -> Store:
    """Create the run, or go on with one, and note what this session runs with: `workers`, up after `startup`.

    Raises BadInput where the folder is taken, cannot be written, or is of a run on other images.
    """
    folder = config.resume or Path(config.run or next_run(Path("runs"), config.dataset))
    decided = {"max_flops": plan.space.max_flops or 0, "data_fingerprint": data.fingerprint}
    resolved = config.resolved(plan.recipe) | decided
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
