"""What passes between a strategy and the store: plain, frozen values. No torch."""

from dataclasses import dataclass
from typing import Any

from cgp.genome import Genome
from cgp.graph import Graph
from evaluate.job import Result


@dataclass(frozen=True)
class Candidate:
    """A genome that a strategy wants judged."""

    number: int  #: counted from 0 within the run
    generation: int
    parent: int | None  #: number of the parent; None for a random draw
    genome: Genome
    graph: Graph
    heard: int | None = None  #: results told when it was bred, where that decides what is bred


@dataclass(frozen=True)
class Record:
    """A candidate and its result, as stored."""

    candidate: Candidate
    id: str
    result: Result


@dataclass(frozen=True)
class Generation:
    """A finished generation: the job numbers of its population, best first, and its statistics."""

    number: int
    members: tuple[int, ...]
    statistics: dict[str, Any]
