"""The command line that the recorders share: photographs, minutes, and how many of what is recorded."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import photographs
from benchmarks.measure import hardware
from cgp import BadInput


@dataclass(frozen=True)
class Recording:
    """What is to be recorded, and where it is computed."""

    photographs: Path
    minutes: float  #: after which nothing more begins
    count: int  #: of networks, or of seeds
    device: str = "cpu"
    workers: int = 1

    @property
    def hardware(self) -> str:
        """The machine, and where it computes on how many workers."""
        return f"{hardware()}; {self.workers} workers on {self.device}"


#: Records; returns what to say in the end.
Recorder = Callable[[Recording], str]


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
    parser.add_argument("--device", default="cpu", help="where all of it is computed: cpu or cuda:N [default: cpu]")
    cores = os.cpu_count() or 1
    parser.add_argument("--workers", type=int, default=cores, help="processes side by side [default: one per core]")
    arguments = parser.parse_args(argv)
    if arguments.data_dir is not None:
        os.environ["CGP_DATA"] = arguments.data_dir
    try:
        asked = (arguments.minutes, arguments.count, arguments.device, arguments.workers)
        print(recorder(Recording(photographs.folder(), *asked)))
    except BadInput as error:
        print(f"benchmarks: error: {error}", file=sys.stderr)
        return 2
    return 0
