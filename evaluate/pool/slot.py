"""Where jobs run: what a pool asks of a slot, and of a cluster whose slots come and go. No torch."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, Protocol, TypeVar

Sent = TypeVar("Sent")
Returned = TypeVar("Returned")

START_S = 300.0  #: a first worker is up after seconds; one that is not by then hangs in its device's driver
HERE = "this machine"  #: what local slots call their machine


class Slot(Protocol):
    """A place where one job at a time runs."""

    name: str
    device: str  #: `cpu`, `cuda:0`, ..., as its machine names it
    machine: str  #: slots of the same one share its memory
    began_at: float  #: `time.monotonic()` when its first worker was begun
    retired: str | None  #: why it takes no more jobs: its pool says so, or the slot whose place is gone

    @property
    def ready(self) -> "Future[dict[str, Any]]":
        """What the worker computes with, once it is up."""

    @property
    def ready_at(self) -> float | None:
        """`time.monotonic()` when the worker was up; None until then."""

    def submit(self, function: Callable[[Sent], Returned], job: Sent) -> "Future[Returned]":
        """Start `function(job)` in the worker. Raises RuntimeError when the worker has ended."""

    def restart(self) -> None:
        """Kill the worker, whatever it does, and start another. Raises RuntimeError when either cannot be done."""

    def stop(self) -> None:
        """Kill the worker."""


class Cluster(Protocol):
    """Where slots come and go while a search runs."""

    flag: str  #: of the command line that names it, and its value
    patience: float  #: seconds to wait for a slot when there is none

    def joined(self) -> Sequence[Slot]:
        """Return the slots that are up and were not returned before."""


def names(slots: Sequence[Slot]) -> str:
    """Return the names of the first of `slots`, and how many more there are."""
    first = ", ".join(slot.name for slot in slots[:3])
    return first if len(slots) <= 3 else f"{first} and {len(slots) - 3} more"
