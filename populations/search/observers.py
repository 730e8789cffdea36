"""What hears of a search while it runs; whatever an observer does, the search goes on as without it. No torch."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from queue import Full, Queue
from threading import Thread
from typing import Any, Protocol, runtime_checkable

from cgp.errors import BadInput
from populations.record import Generation, Record
from populations.search.outlook import Outlook, Standing
from populations.strategies import Strategy

_EVERY_S = 1.0  # seconds from one `update` to the next
_BEHIND = 1_000  # events that may wait for an observer
_PATIENCE_S = 60.0  # in which an observer may come to its end when the search has


@runtime_checkable
class Observer(Protocol):
    """Hears of a search. A subclass writes the methods that it needs; the others do nothing."""

    def told(self, record: Record) -> None:
        """Hear of a network's result; a resumed search tells those that it knows again."""
        return

    def generation(self, generation: Generation) -> None:
        """Hear of a finished generation."""
        return

    def update(self, standing: Standing) -> None:
        """Hear how far the search is, about once a second."""
        return

    def stopping(self) -> None:
        """Hear that the search was asked to stop and waits for its workers; once."""
        return

    def end(self, run: Path, strategy: Strategy, finished: bool) -> None:
        """Hear that the search of `run`, which can be read now, is `finished` or stopped.

        A search that breaks off has no end.
        """
        return


class Observers:
    """Tells several observers; one that raises is told nothing more, which a line on standard error says.

    Use it as a context manager: in the end it lets the threads go that `Aside` has begun.
    """

    def __init__(self, observers: Iterable[Observer] = ()) -> None:
        """Tell `observers` in their order, in this thread."""
        self._observers = list(observers)
        self._looked: float | None = None
        self._stopping = False

    def told(self, record: Record) -> None:
        """Tell of a result."""
        self._tell(lambda observer: observer.told(record))

    def generation(self, generation: Generation) -> None:
        """Tell of a finished generation."""
        self._tell(lambda observer: observer.generation(generation))

    def update(self, outlook: Outlook) -> None:
        """Tell how far the search is, at most once a second: it never slows the search down."""
        now = time.monotonic()
        if self._observers and (self._looked is None or now >= self._looked + _EVERY_S):
            self._looked = now
            standing = outlook.standing()
            self._tell(lambda observer: observer.update(standing))

    def stopping(self) -> None:
        """Tell, once, that the search was asked to stop."""
        if not self._stopping:
            self._stopping = True
            self._tell(lambda observer: observer.stopping())

    def end(self, run: Path, strategy: Strategy, finished: bool) -> None:
        """Tell that the search has ended."""
        self._tell(lambda observer: observer.end(run, strategy, finished))

    def _tell(self, event: Callable[[Observer], None]) -> None:
        for observer in tuple(self._observers):
            try:
                event(observer)
            except (Exception, SystemExit) as error:  # the latter from rich, when standard output is closed
                self._observers = [other for other in self._observers if other is not observer]
                _let_go(observer)
                with contextlib.suppress(OSError, ValueError):  # standard error, too, may be closed
                    said = " ".join(f"{type(error).__name__}: {error}".split())
                    print(f"observer {_name(observer)} is told no more: {said}", file=sys.stderr)

    def __enter__(self) -> "Observers":
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Let the observers go."""
        for observer in self._observers:
            _let_go(observer)


class Aside(Observer):
    """Tells an observer in a thread of its own, in order, so that a slow one does not hold up the search.

    Its methods raise what the observer has raised since, and RuntimeError once it is 1,000 events behind.
    """

    def __init__(self, observer: Observer) -> None:
        """Take an observer. Raises BadInput for what lacks a method of `Observer`."""
        if isinstance(observer, type) or not isinstance(observer, Observer):
            what = f"the class {observer.__name__}" if isinstance(observer, type) else repr(observer)
            raise BadInput(f"observers: {what} is no observer; expected an object of a subclass of Observer")
        self.observer = observer
        self._error: Exception | None = None
        self._ended = False
        self._events: Queue[Callable[[], None]] = Queue(_BEHIND)
        self._thread = Thread(target=self._work, name=f"observer {_name(observer)}", daemon=True)

    def _work(self) -> None:
        while not self._ended and self._error is None:
            try:
                self._events.get()()
            except BaseException as error:  # SystemExit too is this observer's own affair
                self._error = error if isinstance(error, Exception) else RuntimeError(repr(error))

    def _put(self, event: Callable[..., None], *arguments: Any) -> None:
        if self._error is not None:
            raise self._error
        if self._thread.ident is None:
            self._thread.start()
        try:
            self._events.put_nowait(partial(event, *arguments))
        except Full:
            raise RuntimeError(f"it is {_BEHIND:,} events behind") from None

    def told(self, record: Record) -> None:
        """Let it hear of a result."""
        self._put(self.observer.told, record)

    def generation(self, generation: Generation) -> None:
        """Let it hear of a finished generation."""
        self._put(self.observer.generation, generation)

    def update(self, standing: Standing) -> None:
        """Let it hear how far the search is, unless it has not heard all that came before."""
        if self._error is not None or self._events.empty():
            self._put(self.observer.update, standing)

    def stopping(self) -> None:
        """Let it hear that the search was asked to stop."""
        self._put(self.observer.stopping)

    def end(self, run: Path, strategy: Strategy, finished: bool) -> None:
        """Let it hear the end, and wait for that up to a minute. Raises TimeoutError beyond."""
        self._put(self.observer.end, run, strategy, finished)
        self._put(self._leave)
        self._thread.join(_PATIENCE_S)
        if self._thread.is_alive():
            raise TimeoutError(f"it has not ended {_PATIENCE_S:g} s after the search")
        if self._error is not None:
            raise self._error

    def let_go(self) -> None:
        """End the thread after the event that it is at."""
        self._leave()
        with contextlib.suppress(Full):  # then it does not wait for one
            self._events.put_nowait(self._leave)

    def _leave(self) -> None:
        self._ended = True


def _let_go(observer: Observer) -> None:
    if isinstance(observer, Aside):
        observer.let_go()


def _name(observer: Observer) -> str:
    return type(observer.observer if isinstance(observer, Aside) else observer).__name__
