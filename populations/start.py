"""What comes before a search: a line on the screen, the workers' server, and imports that take seconds."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import TYPE_CHECKING

from evaluate.forkserver import prepare
from populations.config import Config
from populations.screen import Screen
from populations.stop import stop_at_once

if TYPE_CHECKING:
    from populations.composition import Opened


def start(config: Config, screen: Screen) -> "Callable[..., AbstractContextManager[Opened]]":
    """Say what is being done and return what opens the run of `config`: see `opened` in composition.

    From here on a signal to stop raises Stopped.
    """
    screen.doing(f"reading the images of {config.dataset}")
    if config.executor == "local":
        prepare()
    # This imports torch, which takes seconds, and pandas: help, an error in a flag and the screen's first line
    # do not wait for them.
    from populations.composition import opened

    stop_at_once()
    return partial(opened, config, screen)
