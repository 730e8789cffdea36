"""How the jobs of runs ended. No torch."""

import pandas as pd

from populations.figures.chosen import Runs, joined
from populations.reading.frame import Run

ORDER = ("ok", "pruned", "open", "failed", "diverged", "oom", "timeout", "lost")


def table(runs: Runs) -> pd.DataFrame:
    """Return run, stage, status and jobs: how many jobs of a stage have that status, those that train."""
    return joined(runs, _of)


def _of(run: Run) -> pd.DataFrame:
    counts = run.models.groupby(["stage", "status"], sort=False).size().rename("jobs").reset_index()
    return counts.sort_values("status", key=lambda statuses: statuses.map(ORDER.index), kind="stable")
