"""Metrics by name: numbers of a trained network, each with its direction and where it comes from. No torch.

An objective of a search is a metric that every network has which ended ok. A new metric is a `score`: enter it here,
and it is a column of the models table from then on; compute it in `evaluate/training/trained.py`. What is told of the
model or of the result itself has a column in the journal. What takes time of its own, `by` a measure or by code of
the user's, is measured once a network is trained, and a column, in the runs whose objectives ask for it.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

from cgp.errors import BadInput, did_you_mean
from cgp.model import Model
from evaluate.foreign import EXPECTED, PREFIX, Foreign, parsed
from evaluate.job import Goal, Result


@dataclass(frozen=True)
class Metric:
    """A number of a trained network."""

    name: str
    weight: float  #: +1: greater is better, -1: less is
    #: `model`: an attribute of the model; `result`: one of the result; `score`: among the result's scores
    source: Literal["model", "result", "score"]
    meaning: str  #: with its unit
    objective: bool = False  #: whether a search may optimise it
    by: Goal | None = None  #: what measures it once a network is trained; None: it comes with every result

    def known(self, result: Result) -> bool:
        """Whether `result` has it."""
        return self.source != "score" or self.name in result.scores

    def value(self, model: Model, result: Result) -> float:
        """Return it of `model` with `result`. Raises KeyError for a score that the result lacks."""
        if self.source == "score":
            return result.scores[self.name]
        return float(getattr(model if self.source == "model" else result, self.name) or 0)

    def by_epoch(self, model: Model, result: Result) -> list[float]:
        """Return it as of each epoch of a training, the last as `value` has it; that one alone where no epoch tells.

        Raises KeyError for a score that the result lacks.
        """
        bests = [best_epoch(result.curve[:end]) for end in range(1, len(result.curve))]
        told = [row[self.name] for row in bests if self.source == "score" and self.name in row]
        return [*told, self.value(model, result)]


def best_epoch(curve: Sequence[Mapping[str, float]]) -> Mapping[str, float]:
    """Return the row with the highest validation accuracy, the lower loss breaking ties.

    Of a regression it is the row with the lowest loss. Without validation that is the last row.
    """
    if "val_loss" not in curve[-1]:
        return curve[-1]
    return max(curve, key=lambda row: (row.get("val_accuracy", 0.0), -row["val_loss"]))


_MEMORY = "most memory while it was trained, in MB of 2^20 bytes: of the GPU, or of the worker on a CPU"
_FLOPS = "floating-point operations of a forward pass of one image, two per multiply-add"
_TRAINED = "share of the training images classified rightly, 0..1, while that epoch trained"
_RIGHT = "share of the {} images classified rightly, 0..1"

_ROBUST = f"{_RIGHT.format('validation')}, under each of 19 corruptions, a fifth of them at each of 5 severities"
_LATENCY = "time of a forward pass of {} where it was trained, in milliseconds: the median"


def _latency(name: str, what: str) -> tuple[Metric, ...]:
    return (
        Metric(name, -1.0, "score", _LATENCY.format(what), objective=True, by="latency"),
        Metric(f"{name}_n", +1.0, "score", f"of how many passes `{name}` is the median", by="latency"),
        Metric(f"{name}_iqr", -1.0, "score", f"spread of `{name}`: from quartile to quartile", by="latency"),
    )


METRICS: Mapping[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("val_accuracy", +1.0, "score", f"{_RIGHT.format('validation')}, in the best epoch", objective=True),
        Metric("val_loss", -1.0, "score", "cross-entropy on them in that epoch, in nats", objective=True),
        Metric("train_accuracy", +1.0, "score", _TRAINED, objective=True),
        Metric(
            "test_accuracy",
            +1.0,
            "score",
            f"{_RIGHT.format('test')}; empty unless a test was asked for",
        ),
        Metric("params", -1.0, "model", "trainable parameters", objective=True),
        Metric("flops", -1.0, "model", _FLOPS, objective=True),
        Metric("seconds", -1.0, "result", "time of training and validation, in seconds", objective=True),
        Metric("peak_memory_mb", -1.0, "result", _MEMORY, objective=True),
        Metric("robust_accuracy", +1.0, "score", _ROBUST, objective=True, by="robust"),
        *_latency("latency_ms", "one image"),
        *_latency("latency_ms_64", "a batch of 64 images"),
    )
}
OBJECTIVES: Mapping[str, Metric] = {name: metric for name, metric in METRICS.items() if metric.objective}


def objectives(names: str) -> tuple[Metric, ...]:
    """Return comma-separated objectives, the first deciding and each later one breaking ties.

    Raises BadInput for an unknown name.
    """
    chosen = dict[str, Metric]()
    for text in names.split(","):
        metric = _objective(text.strip())
        if chosen.setdefault(metric.name, metric) != metric:
            raise BadInput(f"--objectives: {metric.name} is there twice, of two files or ways; name each once")
    return tuple(chosen.values())


def known_objectives(names: str) -> tuple[Metric, ...]:
    """Return those of comma-separated objectives that this program knows: a run of another version has others."""
    found = list[Metric]()
    for name in names.split(","):
        with suppress(BadInput):
            found.append(_objective(name.strip()))
    return tuple(found)


def _objective(name: str) -> Metric:
    if name.startswith(PREFIX):
        code, weight = parsed(name)
        return Metric(code.name, weight, "score", f"what {code.name} returned", objective=True, by=code)
    if name not in OBJECTIVES:
        known = f"{did_you_mean(name, OBJECTIVES)}; any of {', '.join(OBJECTIVES)}, or {EXPECTED}"
        raise BadInput(f"--objectives: unknown {name!r}{known}")
    return OBJECTIVES[name]


def goals_of(metrics: Iterable[Metric]) -> tuple[Goal, ...]:
    """Return what has to measure a trained network so that it has all of `metrics`, each once."""
    return tuple(dict.fromkeys(metric.by for metric in metrics if metric.by is not None))


def sealed(goals: Iterable[Goal]) -> tuple[Goal, ...]:
    """Return `goals`, code of the user's with the digest of its file. Raises BadInput where that cannot be used."""
    return tuple(goal.sealed() if isinstance(goal, Foreign) else goal for goal in goals)


def measured_by(goals: Iterable[Goal]) -> list[str]:
    """Return the names of the metrics that `goals` measure, in the order of columns."""
    goals = list(goals)
    named = [metric.name for metric in METRICS.values() if metric.by in goals]
    return named + [goal.name for goal in goals if isinstance(goal, Foreign)]
