"""Metrics by name: numbers of a trained network, each with its direction and where it comes from. No torch.

An objective of a search is a metric that every network has which ended ok. A new metric is a `score`: enter it here,
and it is a column of the models table from then on; compute it in `evaluate/training/trained.py`. What is told of the
model or of the result itself has a column in the journal.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from cgp.errors import BadInput, did_you_mean
from cgp.model import Model
from evaluate.job import Result


@dataclass(frozen=True)
class Metric:
    """A number of a trained network."""

    name: str
    weight: float  #: +1: greater is better, -1: less is
    #: `model`: an attribute of the model; `result`: one of the result; `score`: among the result's scores
    source: Literal["model", "result", "score"]
    meaning: str  #: with its unit
    objective: bool = False  #: whether a search may optimise it

    def value(self, model: Model, result: Result) -> float:
        """Return it of `model` with `result`. Raises KeyError for a score that the result lacks."""
        if self.source == "score":
            return result.scores[self.name]
        return float(getattr(model if self.source == "model" else result, self.name) or 0)


_MEMORY = "most memory while it was trained, in MB of 2^20 bytes: of the GPU, or of the worker on a CPU"
_FLOPS = "floating-point operations of a forward pass of one image, two per multiply-add"
_RIGHT = "share of the {} images classified rightly, 0..1"

METRICS: Mapping[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("val_accuracy", +1.0, "score", f"{_RIGHT.format('validation')}, in the best epoch", objective=True),
        Metric("val_loss", -1.0, "score", "cross-entropy on them in that epoch, in nats", objective=True),
        Metric("train_accuracy", +1.0, "score", f"{_RIGHT.format('training')}, while that epoch trained"),
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
    )
}
OBJECTIVES: Mapping[str, Metric] = {name: metric for name, metric in METRICS.items() if metric.objective}


def objectives(names: str) -> tuple[Metric, ...]:
    """Return comma-separated objectives, the first deciding and each later one breaking ties.

    Raises BadInput for an unknown name.
    """
    chosen = [name.strip() for name in names.split(",")]
    for name in chosen:
        if name not in OBJECTIVES:
            raise BadInput(
                f"--objectives: unknown {name!r}{did_you_mean(name, OBJECTIVES)}; any of {', '.join(OBJECTIVES)}"
            )
    return tuple(OBJECTIVES[name] for name in dict.fromkeys(chosen))
