"""Learning curves. No torch."""

import pandas as pd

from evaluate.job import SEARCH
from populations.figures.chosen import Runs, best, joined, spread
from populations.reading.frame import Run

MOST = 100  #: networks whose curves are shown: as many of the best, and of all others, evenly spaced


def table(runs: Runs) -> pd.DataFrame:
    """Return a row for each epoch of the `MOST` best networks, and of as many others.

    Columns: run, id, status, epoch, lr, train_loss, train_accuracy, val_accuracy, val_loss, seconds; where a run has
    no curve yet, the first four of them.
    """
    return joined(runs, _of)


def _of(run: Run) -> pd.DataFrame:
    models = run.models
    own = models[(models["stage"] == SEARCH) & models["epochs"].notna() & models["same_as"].isna()]
    winning = own["id"].isin(best(run, MOST)["id"])
    chosen = pd.concat([own[winning], spread(own[~winning], MOST)])
    points = run.curves_of(list(chosen["id"]))
    if points.empty:
        return pd.DataFrame(columns=["id", "status", "epoch"])
    points.insert(1, "status", points["id"].map(chosen.set_index("id")["status"]))
    return points
