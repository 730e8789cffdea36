"""Groups of networks side by side: how good they are, how sure that is, and how many have no score. No torch."""

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import DegenerateDataWarning, bootstrap

from cgp.errors import BadInput, did_you_mean
from evaluate.job import IMPORTED, SEARCH
from evaluate.metrics import METRICS
from populations.reading.columns import SHARED
from populations.reading.frame import Run
from populations.setup.config import Config

RESAMPLES, CONFIDENCE = 9_999, 0.95
_BATCH = 100  # resamples drawn at once: of large groups all of them fill the memory
_FAILED = ("failed", "diverged", "oom", "timeout", "lost")

Numbers = NDArray[np.float64]


def compare(runs: Sequence[Run], by: str, metric: str | None = None, stage: str = SEARCH) -> pd.DataFrame:
    """One row for each value of `by`, a column of the models or a flag of the searches, numbers in their order.

    `n` networks ended ok and have the `metric`: their `mean`, `sd` (of a sample), `best`, and the bootstrap interval
    of the mean, `low` to `high`; the `difference` of the mean from that of the first row, `from` .. `to`. What n
    leaves out is counted: `pruned`, `failed` (whatever else did not end ok), `open`, `copies` (the result of an equal
    graph taken over) and `unmeasured` (ended ok, without the metric). Fewer than two networks have no interval.

    Without a `metric` it is that of `usual_metric`. Raises BadInput for a run without models in `stage`, a run that
    is there twice, and unknown names.
    """
    metric = metric or usual_metric(runs)
    tables = [_models(run, label, by, stage) for run, label in zip(runs, _labels(runs), strict=True)]
    models = pd.concat(tables, ignore_index=True)
    numeric = [name for name in models.columns if pd.api.types.is_numeric_dtype(models[name])]
    if metric not in numeric:
        raise BadInput(f"--metric: no number {metric!r}{did_you_mean(metric, numeric)}; one of {', '.join(numeric)}")
    groups = [(value, models[models[_GROUP] == value]) for value in _in_order(models[_GROUP])]
    first = _scores(groups[0][1], metric)
    rows = [{by: value} | _row(group, metric, None if n == 0 else first) for n, (value, group) in enumerate(groups)]
    return pd.DataFrame(rows)


def usual_metric(runs: Sequence[Run]) -> str:
    """Return what all of `runs` have: the validation accuracy, or its loss where one is a regression."""
    return "val_loss" if any(run.regression for run in runs) else "val_accuracy"


_GROUP = "group of the comparison"


def _labels(runs: Sequence[Run]) -> list[str]:
    """Return what each run is called: the name of its folder, or its path where several have one name."""
    paths = [run.folder.resolve() for run in runs]
    if twice := [str(run.folder) for run, path in zip(runs, paths, strict=True) if paths.count(path) > 1]:
        raise BadInput(f"{twice[0]}: is there twice; name each run once")
    names = [path.name for path in paths]
    return [name if names.count(name) == 1 else str(path) for name, path in zip(names, paths, strict=True)]


def _models(run: Run, label: str, by: str, stage: str) -> pd.DataFrame:
    models = run.models[run.models["stage"] == stage]
    if models.empty:
        found = ", ".join(run.models["stage"].unique()) or "none"
        raise BadInput(f"{run.folder}: has no models of stage {stage} to compare; it has {found}")
    flags = Config.of(run.config, run.folder).values
    flags = {name: value for name, value in flags.items() if name not in SHARED}  # of a family the column says more
    if by == "run":
        values: Any = label
    elif by in flags:
        values = flags[by]
    elif by in models:
        values = models[by]
    else:
        known = list(dict.fromkeys((*models.columns, *flags)))
        raise BadInput(f"--by: no column or flag {by!r}{did_you_mean(by, known)}; one of {', '.join(known)}")
    grouped = models.assign(**{_GROUP: values})
    return grouped.assign(**{_GROUP: grouped[_GROUP].astype(object).where(grouped[_GROUP].notna(), "none")})


def _in_order(values: "pd.Series[Any]") -> list[Any]:
    """Return each value once: numbers in their order, others as they come first."""
    found = list(values.unique())
    numbers = sorted(value for value in found if isinstance(value, int | float | np.number))
    return [*numbers, *(value for value in found if value not in numbers)]


def _row(group: pd.DataFrame, metric: str, first: Numbers | None) -> dict[str, Any]:
    """Return the row of `group`, beside the scores of the `first` one, unless it is that."""
    own = group[group["same_as"].isna()]
    scores = _scores(group, metric)
    low, high = _interval(np.mean, scores)
    smaller = metric in METRICS and METRICS[metric].weight < 0
    row = {
        "n": len(scores),
        "mean": scores.mean() if len(scores) else np.nan,
        "sd": scores.std(ddof=1) if len(scores) > 1 else np.nan,
        "best": (scores.min() if smaller else scores.max()) if len(scores) else np.nan,
        "low": low,
        "high": high,
        **_difference(scores, first),
        "pruned": int((own["status"] == "pruned").sum()),
        "failed": int(own["status"].isin(_FAILED).sum()),
        "open": int((own["status"] == "open").sum()),
        "copies": len(group) - len(own),
    }
    return row | {"unmeasured": int(_counts(own).sum()) - len(scores)}


def _difference(scores: Numbers, first: Numbers | None) -> dict[str, float]:
    if first is None or not (len(scores) and len(first)):
        return dict.fromkeys(("difference", "from", "to"), np.nan)
    low, high = _interval(lambda a, b, axis: np.mean(a, axis=axis) - np.mean(b, axis=axis), scores, first)
    return {"difference": float(scores.mean() - first.mean()), "from": low, "to": high}


def _counts(group: pd.DataFrame) -> "pd.Series[bool]":
    """Which models are compared: those that ended ok, and imported ones, of which only the costs are known."""
    return (group["status"] == "ok") | (group["stage"] == IMPORTED)


def _scores(group: pd.DataFrame, metric: str) -> Numbers:
    ended = group[_counts(group) & group["same_as"].isna()]
    return ended[metric].dropna().to_numpy(dtype=np.float64)


def _interval(statistic: Callable[..., Any], *samples: Numbers) -> tuple[float, float]:
    """Return the bootstrap interval of `statistic` over `samples`, always the same; nan where one is too small."""
    if min(map(len, samples)) < 2:
        return np.nan, np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DegenerateDataWarning)  # of equal scores the interval is a point
        found = bootstrap(
            samples,
            statistic,
            n_resamples=RESAMPLES,
            batch=_BATCH,
            confidence_level=CONFIDENCE,
            method="percentile",
            random_state=np.random.default_rng(0),
        )
    return float(found.confidence_interval.low), float(found.confidence_interval.high)
