"""What an ageing search keeps, and what it is bred from when a kill has left gaps in its journal."""

import gc
import weakref
from dataclasses import replace

from populations.record import Candidate, History, Record
from populations.strategies.aging import Aging
from test_strategies import free_aging, judged, settings


def kept(breeding: Aging, networks: int) -> int:
    """Search on and return how many of the records told are still held."""
    told = list[weakref.ref[Record]]()
    for _ in range(networks):
        (candidate,) = breeding.ask(1)
        record = judged(candidate)
        told.append(weakref.ref(record))
        breeding.tell(record)
    del record
    gc.collect()
    return sum(found() is not None for found in told)


def test_only_who_may_still_breed_is_kept() -> None:
    long = replace(settings(population=4), generations=200)
    for deterministic in (False, True):
        breeding = Aging(replace(long, deterministic=deterministic))
        few = kept(breeding, 60)
        assert kept(breeding, 200) <= few <= 20
        assert breeding.best is not None


def test_a_resumed_search_keeps_no_more() -> None:
    long = replace(settings(population=4), generations=200, deterministic=False)
    first = Aging(long)
    for _ in range(200):
        (candidate,) = first.ask(1)
        first.tell(judged(candidate))
    resumed = Aging(long)
    resumed.recall(History(tuple(range(200)), {n: n if n >= 4 else 0 for n in range(200)}))
    assert kept(resumed, 200) <= 20


def test_jobs_that_a_kill_left_unwritten_take_nothing_from_those_written_after_them() -> None:
    """Of five children asked for at once the last was written; the others are bred again, from more results."""
    breeding = free_aging(population=2)
    asked = list[Candidate]()
    for _ in range(4):
        asked += breeding.ask(1)
        breeding.tell(judged(asked[-1]))
    asked += breeding.ask(5)
    last = asked[-1]
    resumed = free_aging(population=2)
    resumed.recall(History((0, 1, 2, 3), {c.number: c.heard or 0 for c in [*asked[:4], last]}))
    again = list[Candidate]()
    while len(again) < len(asked):
        again += resumed.ask(1)
        if again[-1].number != last.number:
            resumed.tell(judged(again[-1]))
    assert again[-1] == last
