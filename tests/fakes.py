"""Slots without workers, for tests of what is around them."""

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from evaluate.pool.slot import HERE, Returned, Sent


class Silent:
    """A slot whose worker never answers."""

    device = "cpu"

    def __init__(self, name: str = "slot", machine: str = HERE) -> None:
        self.name, self.machine, self.began_at = name, machine, 0.0
        self.ready = Future[dict[str, Any]]()
        self.ready_at: float | None = 0.0
        self.retired: str | None = None

    def submit(self, function: Callable[[Sent], Returned], job: Sent) -> Future[Returned]:
        return Future()

    def restart(self) -> None: ...

    def stop(self) -> None: ...


class AtOnce(Silent):
    """A slot that is done at once."""

    def submit(self, function: Callable[[Sent], Returned], job: Sent) -> Future[Returned]:
        future = Future[Returned]()
        future.set_result(function(job))
        return future
