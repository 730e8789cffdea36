"""The command `plot`: a figure of a run for a paper. No torch."""

import argparse

from cgp.errors import BadInput, did_you_mean
from evaluate.files import write_atomically
from populations.commands.output import checked_kind
from populations.figures.chosen import named
from populations.plotting.drawn import FORMATS
from populations.plotting.plots import PLOTS, plotted


def plot_run(arguments: argparse.Namespace) -> int:
    """Draw the figure into a file, and say where that is."""
    what = arguments.what
    if what not in PLOTS:
        raise BadInput(f"plot: no figure {what!r}{did_you_mean(what, PLOTS)}; expected one of {', '.join(PLOTS)}")
    kind = checked_kind(arguments.out, arguments.force, FORMATS)
    write_atomically(arguments.out, plotted(what, named([arguments.run]), kind), durable=False)
    print(arguments.out)
    return 0
