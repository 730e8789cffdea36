"""Which runs are looked at, and which of their networks: shared by the tables. No torch."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import pandas as pd

from cgp.errors import BadInput
from evaluate.job import SEARCH
from populations.reading.frame import Run, load
from populations.terminal.programs import studies_command

Runs = Mapping[str, Run]


def named(folders: Iterable[Path]) -> dict[str, Run]:
    """Open the runs in `folders`, each named by as much of the end of its path as tells it from the others.

    Raises BadInput for one that is given twice, for what is no run, for a run without models, and for a regression.
    """
    given = list(folders)
    paths = [folder.resolve() for folder in given]
    for path, count in Counter(paths).items():
        if count > 1:
            raise BadInput(f"{path}: given {count} times; expected each run once")
    runs = {_name(path, paths): load(folder) for path, folder in zip(paths, given, strict=True)}
    for run in runs.values():
        if run.models.empty:
            raise BadInput(f"{run.folder}: has no models yet; expected a run that has begun, try again later")
        if run.regression:
            raise BadInput(
                f"{run.folder}: a regression, without the accuracies that figures are of; expected: "
                f"{studies_command()} limit {run.folder}"
            )
    return runs


def _name(path: Path, paths: list[Path]) -> str:
    parts = 1
    while sum(other.parts[-parts:] == path.parts[-parts:] for other in paths) > 1:
        parts += 1
    return "/".join(path.parts[-parts:])


def joined(runs: Runs, table: Callable[[Run], pd.DataFrame]) -> pd.DataFrame:
    """Return the rows of the `table` of every run, below each other, with the run's name as the first column."""
    tables = [table(run) for run in runs.values()]
    for name, one in zip(runs, tables, strict=True):
        one.insert(0, "run", name)
    filled = [one for one in tables if len(one)] or tables[:1]
    return pd.concat(filled, ignore_index=True)


def scored(run: Run) -> pd.DataFrame:
    """Return the networks of the search that were trained to their end, in order of job number.

    Pruned ones have no final score, and those of a last ranking were trained in another way.
    """
    models = run.models
    kept = (models["stage"] == SEARCH) & (models["status"] == "ok") & models["val_loss"].notna()
    return models[kept]


def best(run: Run, count: int) -> pd.DataFrame:
    """Return the `count` most accurate networks of `scored`, the best first; a tie goes to the lower job number."""
    return scored(run).sort_values("val_accuracy", ascending=False, kind="stable").head(count)


def spread(table: pd.DataFrame, count: int) -> pd.DataFrame:
    """Return at most `count` rows of `table`, evenly spaced, the first and the last among them."""
    if len(table) <= count:
        return table
    return table.iloc[[round(n * (len(table) - 1) / (count - 1)) for n in range(count)]]
