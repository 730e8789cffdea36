"""What passes between a strategy and the store: plain, frozen values. No torch."""

from dataclasses import dataclass, field
from typing import Any

from cgp.genome import Genome
from cgp.model import Model
from evaluate.job import SEARCH, Key, Result, Task


@dataclass(frozen=True)
class Candidate:
    """A network that a strategy wants judged, or measured."""

    number: int  #: counted from 0 within its stage
    generation: int
    parent: Key | None  #: what it was bred from, or is about; None for a random draw
    genome: Genome | None  #: None for a network that was made by hand
    model: Model
    heard: int | None = None  #: results told when it was bred, where that decides what is bred
    stage: str = SEARCH  #: only of a search's networks weights and results are taken over
    again: bool = False  #: of a job that is history: its result replaces the old one, the search goes by that
    task: Task | None = None  #: what its job does; None: train by the run's recipe
    reason: str | None = None  #: why a strategy that has several chose it
    predicted: float | None = None  #: its first objective as foretold, where that was the reason

    @property
    def key(self) -> Key:
        """Which job of the run it is."""
        return Key(self.stage, self.number)


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
    stage: str = SEARCH  #: of its members
