"""Objectives by name: what is optimised, and in which direction. No torch."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from cgp.errors import BadInput, did_you_mean
from cgp.model import Model
from evaluate.job import Result


@dataclass(frozen=True)
class Objective:
    """A number of an evaluated network; `weight` is +1 to maximise, -1 to minimise."""

    name: str
    weight: float
    value: Callable[[Model, Result], float]


OBJECTIVES: Mapping[str, Objective] = {
    objective.name: objective
    for objective in (
        Objective("val_accuracy", +1.0, lambda model, result: result.metrics["val_accuracy"]),
        Objective("params", -1.0, lambda model, result: float(model.params)),
        Objective("flops", -1.0, lambda model, result: float(model.flops)),
        Objective("seconds", -1.0, lambda model, result: result.seconds or 0.0),
    )
}


def objectives(names: str) -> tuple[Objective, ...]:
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
