"""Why jobs failed. No torch."""

import pandas as pd

from populations.figures.chosen import Runs, joined
from populations.reading.frame import Run

MOST = 200  #: of a run, the last ones


def table(runs: Runs) -> pd.DataFrame:
    """Return run, id, status and error (the last line of what it raised) of the `MOST` last models that failed."""
    return joined(runs, _of)


def _of(run: Run) -> pd.DataFrame:
    failed = run.models[~run.models["status"].isin(("ok", "pruned", "open"))].tail(MOST)
    errors = run.errors(list(failed["id"]))
    lines = [(errors[identity].strip().splitlines() or [""])[-1] for identity in failed["id"]]
    return failed[["id", "status"]].assign(error=lines)
