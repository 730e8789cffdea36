"""Who was bred from whom, what was changed, and what that gained. No torch."""

from collections.abc import Iterable

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


def line(run: Run) -> list[str]:
    """Return the ids of the best network and its ancestors, the best first; none where no network has a score yet."""
    return _with_ancestors(best(run, 1)["id"], _parents(run))


def _of(run: Run) -> pd.DataFrame:
    models = run.models[run.models["stage"] == SEARCH]
    if len(models) > MOST:
        models = models[models["id"].isin(_with_ancestors(best(run, BEST)["id"], _parents(run)))]
    kept = models[["id", "parent", "job", "generation", "status", "val_accuracy"]]
    accuracy = models.set_index("id")["val_accuracy"].where(models.set_index("id")["status"] == "ok").to_dict()
    return kept.assign(
        gain=kept["id"].map(accuracy).astype("float64") - kept["parent"].map(accuracy).astype("float64"),
        line=kept["id"].isin(line(run)),
        change=_changes(run, kept),
    )


def _parents(run: Run) -> dict[str, str]:
    bred = run.models.dropna(subset=["parent"])
    return dict(zip(bred["id"].tolist(), bred["parent"].tolist(), strict=True))


def _with_ancestors(identities: Iterable[str], parents: dict[str, str]) -> list[str]:
    """Return these networks and all their ancestors, each behind its child, once."""
    found = dict[str, None]()
    for identity in identities:
        now: str | None = identity
        while now is not None and now not in found:
            found[now] = None
            now = parents.get(now)
    return list(found)


def _changes(run: Run, kept: pd.DataFrame) -> list[str]:
    graphs = run.graphs(sorted({*kept["id"], *kept["parent"].dropna()}))
    pairs = zip(kept["id"], kept["parent"], strict=True)
    return [change(graphs[parent], graphs[child]) if parent in graphs else "" for child, parent in pairs]
