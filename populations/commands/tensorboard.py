"""The command `tensorboard`: a run as event files for TensorBoard."""

import argparse

from cgp.errors import BadInput
from populations.commands.tracked import track
from populations.reading.frame import load
from populations.tracking.tensorboard import TensorBoard


def write_events(arguments: argparse.Namespace) -> int:
    """Write the run, and what comes while it is searching with --follow; say where."""
    load(arguments.run)  # refused first where it is no run
    out = arguments.out or arguments.run / "tensorboard"
    if not out.parent.is_dir():
        raise BadInput(f"--out: {out}: there is no folder {out.parent}; make it first")
    if out.exists() and not out.is_dir():
        raise BadInput(f"--out: {out} is a file; expected a folder")
    track(arguments, lambda config: TensorBoard(out, config))
    print(f"see it: tensorboard --logdir {out}")
    return 0
