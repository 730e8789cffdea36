"""Work that is asked of a run once its search has begun: its jobs go through the pool and the store of a search.

They are written to the run at once: a command that was killed goes on when it is given again.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from populations.record import Candidate
from populations.search.loop import search
from populations.search.observers import Observers
from populations.search.stop import refusing_disk_said
from populations.setup.config import parse
from populations.setup.start import start
from populations.terminal.screen import Screen


def carry_out(run: Path, flags: Sequence[str], asked: Sequence[Candidate], screen: Screen | None = None) -> bool:
    """Train or measure what is `asked`, with the workers that `flags` of `evolve.py` ask for.

    `screen` shows how far it is; without one that is shown on standard output. Returns whether all is done: False
    where the user has stopped it. Raises BadInput for what cannot be used.
    """
    config, screen = parse(["--resume", str(run), *flags]), screen or Screen()
    opened = start(config, screen)
    heard = Observers([screen])
    with refusing_disk_said(), screen, heard, opened(asked) as (breeding, schedule, pool, store):
        return search(breeding, schedule, pool, store, heard)


def worker_flags(arguments: argparse.Namespace) -> list[str]:
    """Return the flags of `evolve.py` that a command was given to choose its workers."""
    given = ((name, getattr(arguments, name)) for name in ("workers", "devices"))
    return [word for name, value in given if value is not None for word in (f"--{name}", str(value))]
