"""Work that is asked of a run once its search has begun: its jobs go through the pool and the store of a search.

They are written to the run at once: a command that was killed goes on when it is given again.
"""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from evaluate.job import DataSpec
from populations.record import Candidate
from populations.search.loop import search
from populations.search.observers import Observers
from populations.search.stop import refusing_disk_said, signals_restored
from populations.setup.config import parse
from populations.setup.flags import FLAGS, spelled
from populations.setup.start import start
from populations.terminal.screen import Screen

#: Flags of `evolve.py` that commands take, too: where what is asked for is done, and where the images are.
SESSION = ("workers", "devices", "executor", "scheduler", "data_dir", "dataset")


def carry_out(run: Path, flags: Sequence[str], asked: Sequence[Candidate], screen: Screen | None = None) -> bool:
    """Train or measure what is `asked`, where `flags` of `evolve.py` say.

    `screen` shows how far it is; without one that is shown on standard output. Returns whether all is done: False
    where the user has stopped it. Raises BadInput for what cannot be used.
    """
    config, screen = parse(["--resume", str(run), *flags]), screen or Screen()
    asked, heard = [_with_images(candidate, config.data()) for candidate in asked], Observers([screen])
    with signals_restored(), refusing_disk_said():
        opened = start(config, screen)
        with screen, heard, opened(asked) as (breeding, schedule, pool, store):
            return search(breeding, schedule, pool, store, heard)


def _with_images(candidate: Candidate, data: DataSpec) -> Candidate:
    """Return `candidate` with its images where they are in this session."""
    return replace(candidate, task=replace(candidate.task, data=data)) if candidate.task else candidate


def add_session_flags(command: argparse.ArgumentParser) -> None:
    """Let `command` take the flags of `SESSION`, which `session_flags` reads."""
    for name in SESSION:
        known = FLAGS[name]
        shown = f"{known.help.partition(' [')[0]} [default: the run's]"
        command.add_argument(known.spelled, type=known.type, metavar=known.type.__name__.upper(), help=shown)


def session_flags(arguments: argparse.Namespace) -> list[str]:
    """Return the flags of `evolve.py` that a command was given, of those in `SESSION`."""
    given = ((name, getattr(arguments, name)) for name in SESSION)
    return [word for name, value in given if value is not None for word in (spelled(name), str(value))]
