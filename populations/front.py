"""The networks that no other is better than: the Pareto front of several objectives. No torch."""

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Generic, NamedTuple, TypeVar

from deap import base

from evaluate.metrics import Metric

T = TypeVar("T")


@cache
def _class(weights: tuple[float, ...]) -> type[base.Fitness]:
    return type("Fitness", (base.Fitness,), {"weights": weights})


def fitness(objectives: Sequence[Metric], values: Iterable[float], number: int | None = None) -> base.Fitness:
    """Return DEAP's fitness of the `values` of `objectives`: what dominance is judged by.

    With a job `number`, which is the last value then, it orders networks: of equals the older is better.
    """
    weights = tuple(objective.weight for objective in objectives)
    if number is None:
        return _class(weights)(tuple(values))
    return _class((*weights, -1.0))((*values, number))


class _Member(NamedTuple, Generic[T]):
    one: T
    graph: str
    goals: base.Fitness
    order: base.Fitness


class Front(Generic[T]):
    """What no other of those that were added dominates, each graph once, in an order that arrival does not decide."""

    def __init__(self, objectives: Sequence[Metric]) -> None:
        """Begin empty."""
        self._objectives = tuple(objectives)
        self._members: list[_Member[T]] = []

    def add(self, one: T, graph: str, values: Sequence[float], number: int) -> None:
        """Take in one of `graph` (an id) with the `values` of the objectives and its job `number`."""
        goals = fitness(self._objectives, values)
        new = _Member(one, graph, goals, fitness(self._objectives, values, number))
        if any(old.goals.dominates(goals) or self._stands_for(old, new) for old in self._members):
            return
        kept = [old for old in self._members if not (goals.dominates(old.goals) or self._stands_for(new, old))]
        self._members = sorted([*kept, new], key=lambda member: member.order, reverse=True)

    def _stands_for(self, one: _Member[T], other: _Member[T]) -> bool:
        return one.graph == other.graph and one.goals == other.goals and one.order >= other.order

    @property
    def members(self) -> list[T]:
        """Those on the front: the best by the first objective first, later objectives and then the number next."""
        return [member.one for member in self._members]
