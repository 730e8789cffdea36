"""What comes before a search: a line on the screen, the workers' server, and imports that take seconds."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import TYPE_CHECKING

from evaluate.pool.forkserver import prepare
from populations.search.stop import stop_at_once
from populations.setup.config import Config
from populations.terminal.screen import Screen

if TYPE_CHECKING:
    from populations.setup.composition import Opened


def start(config: Config, screen: Screen) -> "Callable[..., AbstractContextManager[Opened]]":
    """Say what is being done and return what opens the run of `config`: see `opened` in composition.

    From here on a signal to stop raises Stopped.
    """
    screen.doing(f"reading the images of {config.evaluation.dataset}")
    if config.resources.executor == "local":
        prepare()
    # This imports torch, which takes seconds, and pandas: help, an error in a flag and the screen's first line
    # do not wait for them.
    from populations.setup.composition import opened

    stop_at_once()
    return partial(opened, config, screen)
