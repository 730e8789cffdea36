"""Where the time of the slots went, run by run. No torch."""

import pandas as pd

from populations.figures.chosen import Runs, joined
from populations.reading.ledger import ledger


def table(runs: Runs) -> pd.DataFrame:
    """Return the ledger of every run: run, part, slot_seconds, slot_hours, percent."""
    return joined(runs, ledger)
