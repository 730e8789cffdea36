"""How a search got on: its best network, the median, and every network. No torch."""

import pandas as pd

from evaluate.job import SEARCH
from populations.figures.chosen import Runs, joined, scored
from populations.reading.frame import Run

WINDOW = 50  #: networks that the median is of: the last ones


def table(runs: Runs) -> pd.DataFrame:
    """Return a row for each network that was trained to its end, in the order in which the results came.

    Columns: run, id, networks (results so far, pruned and failed ones too), slot_seconds (of all trainings so far),
    val_accuracy, best (so far), median (of the last `WINDOW` of these rows).
    """
    return joined(runs, _of)


def _of(run: Run) -> pd.DataFrame:
    models = run.models.set_index("id")
    arrived = pd.Index(run.arrivals).intersection(models.index[models["stage"] == SEARCH], sort=False)
    own = models["seconds"].where(models["same_as"].isna(), 0.0)  # a copy took no time
    so_far = pd.DataFrame(
        {"networks": range(1, len(arrived) + 1), "slot_seconds": own.loc[arrived].fillna(0.0).cumsum()}, index=arrived
    )
    found = so_far.join(scored(run).set_index("id")["val_accuracy"], how="inner")
    accuracy = found["val_accuracy"]
    found = found.assign(best=accuracy.cummax(), median=accuracy.rolling(WINDOW, min_periods=1).median())
    return found.rename_axis("id").reset_index()
