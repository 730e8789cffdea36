"""Search for convolutional networks by evolution: the command line, and `run` for Python.

The loop is `search` in populations/search/loop.py: ask a strategy, train, tell it.

A genome becomes a network in two calls: `evaluate(job)` (evaluate/worker.py) calls `build(graph)`
(cgp/network.py).
"""

import os
import signal
import sys
from collections.abc import Sequence
from typing import Any


def leave_when_asked() -> None:
    """Let every signal to stop end this process at once, in one line: no exception is sure to get through imports."""

    def leave(*_: object) -> None:
        os.write(2, b"stopped before the search began\n")
        os._exit(130)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, leave)


if __name__ == "__main__":
    leave_when_asked()

import populations
from cgp.errors import BadInput
from populations.search.conduct import conduct
from populations.search.observers import Observer
from populations.search.stop import Stopped, refusing_disk_said, signals_restored, stop_at_once
from populations.setup.config import Config, from_flags, parse
from populations.terminal.programs import program, search_command
from populations.terminal.screen import Screen


def run(*, observers: Sequence[Observer] = (), screen: bool = False, **flags: Any) -> "populations.Run":
    """Search from Python and return the run: `evolve.run(dataset="digits", num_max_depth=30, seed=1)`.

    `flags` are those of the command line with underscores; None stands for one that is not given. Each of
    `observers` hears of the search in a thread of its own; `screen` shows what the command shows.

    Raises BadInput, one line, for what cannot be used, and Stopped, a KeyboardInterrupt, when the user stops the
    search, which `resume=` goes on with. Only the main thread heeds signals; a file `stop` in the run folder stops
    a search in any.
    """
    with signals_restored():
        folder, finished = conduct(from_flags(flags), Screen(quiet=not screen), observers)
    if not finished:
        raise Stopped(folder)
    return populations.load(folder)


def show(config: Config) -> None:
    """Show what `--dry-run` or `--profile` asks for."""
    screen = Screen()
    screen.doing(f"reading the images of {config.evaluation.dataset}")
    from populations.setup.composition import preview  # imports torch

    stop_at_once()
    with refusing_disk_said():
        print(preview(config, screen))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; 0: done, 2: bad input or disk (one line on stderr), 130: stopped."""
    leave_when_asked()
    try:
        config = parse(sys.argv[1:] if argv is None else argv)
        if config.dry_run or config.profile:
            show(config)
            return 0
        _, finished = conduct(config, Screen())
        return 0 if finished else 130
    except BadInput as error:
        print(f"{program()}: error: {error}", file=sys.stderr)
        return 2
    except Stopped as stopped:
        again = f"at once; go on with: {search_command()} --resume {stopped.folder}"
        print(f"stopped {again if stopped.folder else 'before the search began'}", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
