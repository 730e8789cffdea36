"""Whatever an observer does, the search goes on as without it."""

import io
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from cgp.errors import BadInput
from evaluate.job import Result
from populations.record import Record
from populations.search import observers as module
from populations.search.observers import Aside, Observer, Observers
from populations.strategies import strategy
from test_screen import record
from test_strategies import settings

OK = record(Result("ok", {"val_accuracy": 0.5}))
BREEDING = strategy("random", settings())


class Counting(Observer):
    def __init__(self) -> None:
        self.heard = 0

    def told(self, record: Record) -> None:
        self.heard += 1


class Waiting(Counting):
    """Waits within the first that it hears until it is let go on."""

    def __init__(self) -> None:
        super().__init__()
        self.go_on = Event()

    def told(self, record: Record) -> None:
        self.go_on.wait(60)
        super().told(record)


class Raising(Counting):
    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error

    def told(self, record: Record) -> None:
        super().told(record)
        raise self.error


@pytest.fixture
def waiting() -> Iterator[Waiting]:
    observer = Waiting()
    yield observer
    observer.go_on.set()


@pytest.mark.parametrize("wrapped", [Aside, lambda observer: observer], ids=["aside", "here"])
@pytest.mark.parametrize("error", [ValueError("no\nroom"), SystemExit(1)], ids=repr)
def test_one_that_raises_is_named_in_a_line_and_told_no_more(
    wrapped: Callable[[Observer], Observer], error: BaseException, capsys: pytest.CaptureFixture[str]
) -> None:
    broken, sound = Raising(error), Counting()
    with Observers([wrapped(broken), wrapped(sound)]) as observers:
        for _ in range(5):
            observers.told(OK)
        observers.end(Path("r"), BREEDING, True)
    assert (broken.heard, sound.heard) == (1, 5)
    said = capsys.readouterr().err
    assert said.startswith("observer Raising is told no more: ")
    assert ("ValueError: no room" if isinstance(error, ValueError) else "SystemExit") in said
    assert said.count("\n") == 1


def test_one_that_raises_at_the_end_is_named_too(capsys: pytest.CaptureFixture[str]) -> None:
    class Last(Observer):
        def end(self, *_: Any) -> None:
            raise OSError("no such chart")

    Observers([Aside(Last())]).end(Path("r"), BREEDING, True)
    assert capsys.readouterr().err == "observer Last is told no more: OSError: no such chart\n"


def test_a_closed_standard_error_breaks_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr(sys, "stderr", closed)
    Observers([Raising(ValueError())]).told(OK)


def test_one_that_is_slow_hears_all_in_its_own_time(waiting: Waiting) -> None:
    swift = Counting()
    with Observers([swift, Aside(waiting)]) as observers:
        for _ in range(100):
            observers.told(OK)
        assert (swift.heard, waiting.heard) == (100, 0)
        waiting.go_on.set()
        observers.end(Path("r"), BREEDING, True)
    assert waiting.heard == 100


def test_one_that_falls_far_behind_is_told_no_more(waiting: Waiting, capsys: pytest.CaptureFixture[str]) -> None:
    with Observers([Aside(waiting)]) as observers:
        for _ in range(1_100):
            observers.told(OK)
    assert capsys.readouterr().err == ("observer Waiting is told no more: RuntimeError: it is 1,000 events behind\n")


def test_one_that_does_not_end_is_left(
    waiting: Waiting, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_PATIENCE_S", 0.01)
    with Observers([Aside(waiting)]) as observers:
        observers.told(OK)
        observers.end(Path("r"), BREEDING, True)
    said = "observer Waiting is told no more: TimeoutError: it has not ended 0.01 s after the search\n"
    assert capsys.readouterr().err == said


def test_to_be_asked_to_stop_is_told_once() -> None:
    class Stopping(Counting):
        def stopping(self) -> None:
            self.heard += 1

    asked = Stopping()
    observers = Observers([asked])
    observers.stopping()
    observers.stopping()
    assert asked.heard == 1


@pytest.mark.parametrize(("wrong", "said"), [(3, "3"), (Counting, "the class Counting")], ids=["3", "class"])
def test_what_is_no_observer_is_refused(wrong: Any, said: str) -> None:
    with pytest.raises(BadInput, match=f"observers: {said} is no observer; expected an object of a subclass"):
        Aside(wrong)
