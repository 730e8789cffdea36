"""Where the time of a run's slots went, and what was not spent. No torch."""

import pandas as pd

from populations.reading.frame import Run
from populations.setup.recorded import require

_FAILURES = ("failed", "diverged", "oom", "timeout", "lost")


def ledger(run: Run) -> pd.DataFrame:
    """Return the parts of a run's slot-time: part, slot_seconds, slot_hours, percent.

    The parts up to `waiting` add up to `total`, wall time times slots over all sessions. What was
    saved is not in it; its percentage is of that total too. Raises BadInput where the run's epochs are not recorded.
    """
    require(run.config, ("epochs",), run.folder)
    models, sessions = run.models, run.sessions
    spent = _spent(sessions, models[models["same_as"].isna()])
    total = float((sessions["wall"] * sessions["slots"]).sum())
    spent["waiting"] = total - sum(spent.values())
    saved = {"saved by cache": _cached(models), "saved by racing": _raced(models, int(run.config["epochs"]))}
    rows = spent | {"total": total} | saved
    table = pd.DataFrame({"part": list(rows), "slot_seconds": list(rows.values())})
    table["slot_hours"] = table["slot_seconds"] / 3600
    table["percent"] = table["slot_seconds"] / total * 100 if total else float("nan")
    return table


def _spent(sessions: pd.DataFrame, own: pd.DataFrame) -> dict[str, float]:
    """Return the seconds of the parts in which slots were starting up or ran a job; `own` copied no result.

    An unfinished training may have gone on after the last word of a driver that was killed. It is
    recorded with its result but lies outside the sessions, so training is at most what they held. Epochs that
    a lost or overdue job had finished are failures here; where it went on from them later, they are in its
    seconds too, and then show as training instead of engine.
    """
    busy = pd.DataFrame(list(sessions["busy"])).sum()  # by status
    failures = float(busy[busy.index.isin(_FAILURES)].sum())
    held = float(busy.sum()) - failures
    training = min(held, float(own.loc[own["status"] == "ok", "seconds"].sum()))
    pruned = min(held - training, float(own.loc[own["status"] == "pruned", "seconds"].sum()))
    return {
        "start-up": float((sessions["startup"] * sessions["slots"]).sum()),
        "training": training,
        "pruned": pruned,
        "failures": failures,
        "engine": held - training - pruned,
    }


def _cached(models: pd.DataFrame) -> float:
    """Return the training time of results that were taken over, once for each time."""
    seconds = models.set_index("id")["seconds"]
    return float(seconds.reindex(models["same_as"].dropna()).sum())


def _raced(models: pd.DataFrame, epochs: int) -> float:
    """Return the time that the epochs left out would have taken, at the pace of those trained."""
    pruned = models[(models["status"] == "pruned") & models["same_as"].isna()]
    return float((pruned["seconds"] / pruned["epochs"] * (epochs - pruned["epochs"])).sum())
