"""The command `report`: runs as one HTML page, which opens offline. No torch."""

import argparse

from evaluate.files import write_atomically
from populations.commands.output import checked_kind
from populations.figures.chosen import named
from populations.report.data import gathered
from populations.report.details import for_report
from populations.report.page import plotly_script, report


def write_report(arguments: argparse.Namespace) -> int:
    """Write the page, and say where it is."""
    checked_kind(arguments.out, arguments.force, (".html",))
    plotly = plotly_script()
    runs = named(arguments.run)
    written = report(gathered(runs), for_report(runs), plotly)
    write_atomically(arguments.out, written.encode(), durable=False)
    print(arguments.out)
    return 0
