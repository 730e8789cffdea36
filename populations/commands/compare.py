"""The command `compare`: groups of networks, of one run or several, side by side. No torch."""

import argparse

from populations.reading.compare import CONFIDENCE, RESAMPLES, compare, usual_metric
from populations.reading.frame import load
from populations.terminal.tables import print_table

_SPARE = ("unmeasured", "open", "copies", "sd", "best")  # first to go where there is no room


def compare_groups(arguments: argparse.Namespace) -> int:
    """Show a row for each value of a column or flag, and what the intervals are."""
    runs = [load(folder) for folder in arguments.runs]
    metric = arguments.metric or usual_metric(runs)
    table = compare(runs, arguments.by, metric, arguments.stage)
    print_table(table, arguments.format, _SPARE)
    if arguments.format == "table":
        print(
            f"\n{metric} of the n networks that ended ok; low..high: {CONFIDENCE:.0%} bootstrap interval "
            f"of the mean ({RESAMPLES:,} resamples);\ndifference, from..to: from the mean of the first row"
        )
    return 0
