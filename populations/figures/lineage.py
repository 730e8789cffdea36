"""Who was bred from whom, what was changed, and what that gained. No torch."""

import pandas as pd

from evaluate.job import SEARCH
from populations.figures.changes import change
from populations.figures.chosen import Runs, best, joined
from populations.reading.frame import Run

MOST = 2000  #: networks of a run that are shown whole; of more, the best and their ancestors are
BEST = 100


def table(runs: Runs) -> pd.DataFrame:
    """Return a row for each network of the search; of a run of more than `MOST` the best `BEST` and their ancestors.

    Columns: run, id, parent (empty for a draw), job, generation, status, val_accuracy, gain (over the parent's
    accuracy), line (whether it is the best network or an ancestor of it), change (from the parent, in words).
    """
    return joined(runs, _of)


def _of(run: Run) -> pd.DataFrame:
    models = run.models[run.models["stage"] == SEARCH]
    winners = list(best(run, BEST)["id"])
    parents = {
        child: parent for child, parent in zip(models["id"], models["parent"], strict=True) if pd.notna(parent)
    }
    if len(models) > MOST:
        models = models[models["id"].isin(_line(winners, parents))]
    kept = models[["id", "parent", "job", "generation", "status", "val_accuracy"]]
    accuracy = models.set_index("id")["val_accuracy"].where(models.set_index("id")["status"] == "ok")
    return kept.assign(
        gain=kept["id"].map(accuracy) - kept["parent"].map(accuracy),
        line=kept["id"].isin(_line(winners[:1], parents)),
        change=_changes(run, kept),
    )


def _line(identities: list[str], parents: dict[str, str]) -> set[str]:
    """Return these networks and all their ancestors."""
    found = set[str]()
    for identity in identities:
        now: str | None = identity
        while now is not None and now not in found:
            found.add(now)
            now = parents.get(now)
    return found


def _changes(run: Run, kept: pd.DataFrame) -> list[str]:
    graphs = run.graphs(sorted({*kept["id"], *kept["parent"].dropna()}))
    pairs = zip(kept["id"], kept["parent"], strict=True)
    return [change(graphs[parent], graphs[child]) if parent in graphs else "" for child, parent in pairs]
