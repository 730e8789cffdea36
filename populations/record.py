"""What passes between a strategy and the store: plain, frozen values. No torch."""

from dataclasses import dataclass, field
from typing import Any

from cgp.genome import Genome
from cgp.graph import Graph
from evaluate.job import Result

FINAL = 10**9  # the from-scratch training of job n is job FINAL + n, in however long a search


@dataclass(frozen=True)
class Candidate:
    """A genome that a strategy wants judged."""

    number: int  #: counted from 0 within the run
    generation: int
    parent: int | None  #: number of the parent; None for a random draw
    genome: Genome
    graph: Graph
    heard: int | None = None  #: results told when it was bred, where that decides what is bred
    from_scratch: bool = False  #: part of a final ranking: neither weights nor a result are taken over


@dataclass(frozen=True)
class Record:
    """A candidate and its result, as stored."""

    candidate: Candidate
    id: str
    result: Result
    copied: bool = False  #: whether the result is that of an earlier job with the same graph


@dataclass(frozen=True)
class History:
    """In which order an asynchronous strategy heard of results, in all sessions so far."""

    told: tuple[int, ...] = ()  #: job numbers
    heard: dict[int, int] = field(default_factory=dict)  #: by job: how many results it was bred from


@dataclass(frozen=True)
class Generation:
    """A finished generation: the job numbers of its population, best first, and its statistics."""

    number: int
    members: tuple[int, ...]
    statistics: dict[str, Any]
