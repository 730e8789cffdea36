"""The command line that the recorders share: photographs, minutes, and how many of what is recorded."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks import photographs
from cgp import BadInput

#: Records on the photographs in a folder, for so many minutes, so many; returns what to say in the end.
Recorder = Callable[[Path, float, int], str]


def command(argv: Sequence[str], about: str | None, counted: tuple[str, int], recorder: Recorder) -> int:
    """Record as `argv` asks; 0: done or to be gone on with, 2: bad input.

    `about` is the docstring of the module; `counted` names the flag that says how many, and its default.
    """
    first, _, _ = (about or "").partition("\n")
    parser = argparse.ArgumentParser(prog="benchmarks.searches", description=first)
    name, usual = counted
    parser.add_argument("--data-dir", help="CIFAR-10 in class folders; or set CGP_DATA")
    parser.add_argument("--minutes", type=float, default=60.0, help="after which nothing more begins [default: 60]")
    parser.add_argument(f"--{name}", dest="count", type=int, default=usual, help=f"how many [default: {usual}]")
    arguments = parser.parse_args(argv)
    if arguments.data_dir is not None:
        os.environ["CGP_DATA"] = arguments.data_dir
    try:
        print(recorder(photographs.folder(), arguments.minutes, arguments.count))
    except BadInput as error:
        print(f"benchmarks: error: {error}", file=sys.stderr)
        return 2
    return 0
