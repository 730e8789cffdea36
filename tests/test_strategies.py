import random
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as settings_of_hypothesis
from hypothesis import strategies as st

from cgp import BadInput, Shape, Space
from evaluate.fitness import objectives
from evaluate.job import Result
from populations.record import FINAL, Candidate, Generation, History, Record
from populations.strategies import STRATEGIES, FinalRanking, Settings, Strategy, strategy
from populations.strategies.aging import Aging

SPACE = Space("resnet", 3, 9, Shape(1, 8, 8), 10)


def settings(goals: str = "val_accuracy", population: int = 4, offspring: int = 3, generations: int = 4) -> Settings:
    return Settings(SPACE, objectives(goals), 7, population, offspring, generations, 0.1, deterministic=True)


def judged(candidate: Candidate, accuracy: float | None = None) -> Record:
    """A record whose accuracy follows from the graph, so that equal graphs score equal."""
    score = int(candidate.graph.id[:6], 16) / 16**6 if accuracy is None else accuracy
    return Record(candidate, str(candidate.number), Result("ok", {"val_accuracy": score, "val_loss": 1 - score}))


def failed(candidate: Candidate) -> Record:
    return Record(candidate, str(candidate.number), Result("failed", error="no"))


def live(breeding: Strategy, slots: int, shuffle: int) -> tuple[list[Candidate], list[Generation]]:
    """Run a whole search with `slots` in flight, results arriving in an order that `shuffle` decides."""
    order = random.Random(shuffle)
    flying, asked, closed = list[Candidate](), list[Candidate](), list[Generation]()
    while not breeding.done:
        new = breeding.ask(slots - len(flying))
        asked += new
        flying += new
        arrived = flying.pop(order.randrange(len(flying)))
        closed += breeding.tell(judged(arrived))
    return asked, closed


@pytest.mark.parametrize("name", STRATEGIES)
def test_order_of_arrival_and_number_of_slots_change_nothing(name: str) -> None:
    asked, closed = live(strategy(name, settings()), 1, 0)
    for slots, shuffle in ((2, 1), (3, 2), (8, 3)):
        others, generations = live(strategy(name, settings()), slots, shuffle)
        assert others == asked
        assert generations == closed


@pytest.mark.parametrize("name", STRATEGIES)
def test_as_many_networks_as_announced(name: str) -> None:
    breeding = strategy(name, settings())
    asked, closed = live(breeding, 2, 0)
    assert [candidate.number for candidate in asked] == list(range(breeding.total))
    assert [generation.number for generation in closed] == [0, 1, 2, 3]
    assert breeding.ask(5) == []


@pytest.mark.parametrize("name", STRATEGIES)
def test_best_is_the_best_of_all_and_the_elder_of_equals(name: str) -> None:
    breeding = strategy(name, settings())
    asked, _ = live(breeding, 3, 1)
    scores = [judged(candidate).result.metrics["val_accuracy"] for candidate in asked]
    assert breeding.best is not None
    assert breeding.best.candidate.number == scores.index(max(scores))


def test_mu_plus_lambda_keeps_the_best_of_parents_and_children() -> None:
    breeding = strategy("mu-plus-lambda", settings())
    asked, closed = live(breeding, 2, 0)
    score = [judged(candidate).result.metrics["val_accuracy"] for candidate in asked]
    for generation in closed:
        seen = [c.number for c in asked if c.generation <= generation.number]
        best = sorted(seen, key=lambda number: (-score[number], number))[:4]
        assert generation.members == tuple(best)


def test_children_differ_from_their_parents() -> None:
    asked, _ = live(strategy("mu-plus-lambda", settings()), 2, 0)
    children = [candidate for candidate in asked if candidate.parent is not None]
    assert len(children) == 9
    assert all(child.graph.id != asked[child.parent or 0].graph.id for child in children)


def test_a_failed_network_is_no_parent_and_no_survivor() -> None:
    breeding = strategy("mu-plus-lambda", settings())
    first = breeding.ask(4)
    for candidate in first[:3]:
        breeding.tell(failed(candidate))
    (closed,) = breeding.tell(judged(first[3]))
    assert closed.members == (3,)
    assert closed.statistics["failed"] == 3
    assert {candidate.parent for candidate in breeding.ask(3)} == {3}


def test_when_all_failed_the_next_generation_is_drawn_anew() -> None:
    breeding = strategy("one-plus-lambda", settings())
    for candidate in breeding.ask(4):
        closed = breeding.tell(failed(candidate))
    (finished,) = closed
    assert finished.statistics["best"] is None
    assert [candidate.parent for candidate in breeding.ask(3)] == [None, None, None]


def test_one_plus_lambda_replaces_only_by_a_strictly_better_child() -> None:
    breeding = strategy("one-plus-lambda", replace(settings(population=1), mutation_rate=0.5))
    (parent,) = breeding.ask(1)
    breeding.tell(judged(parent, 0.5))
    children = breeding.ask(3)
    for child, accuracy in zip(children, (0.5, 0.4, 0.3), strict=True):
        closed = breeding.tell(judged(child, accuracy))
    (finished,) = closed
    assert finished.members == (0,)
    drifted = breeding.individuals[0].record.candidate
    assert drifted.genome != parent.genome
    assert drifted.genome.graph(SPACE).id == parent.graph.id
    for child, accuracy in zip(breeding.ask(3), (0.5, 0.6, 0.55), strict=True):
        closed = breeding.tell(judged(child, accuracy))
    (finished,) = closed
    assert finished.members == (5,)


def test_later_objectives_break_ties() -> None:
    breeding = strategy("mu-plus-lambda", settings("val_accuracy,params"))
    asked = breeding.ask(4)
    for candidate in asked:
        closed = breeding.tell(judged(candidate, 0.5))
    (finished,) = closed
    params = [asked[number].graph.params for number in finished.members]
    assert params == sorted(params)


def test_minimised_objectives() -> None:
    breeding = strategy("mu-plus-lambda", settings("flops"))
    asked = breeding.ask(4)
    for candidate in asked:
        breeding.tell(judged(candidate))
    assert breeding.best is not None
    assert breeding.best.candidate.graph.flops == min(candidate.graph.flops for candidate in asked)


def test_telling_what_was_not_asked_is_refused() -> None:
    breeding = strategy("random", settings())
    candidate, *_ = breeding.ask(1)
    breeding.tell(judged(candidate))
    with pytest.raises(ValueError, match="told of job 0"):
        breeding.tell(judged(candidate))


def test_another_seed_is_another_search() -> None:
    other = Settings(SPACE, objectives("val_accuracy"), 8, 4, 3, 4, 0.1)
    assert strategy("random", settings()).ask(4) != strategy("random", other).ask(4)


def test_unknown_names_are_answered_with_the_closest() -> None:
    with pytest.raises(BadInput, match="did you mean 'random'"):
        strategy("randon", settings())
    with pytest.raises(BadInput, match="did you mean 'params'"):
        objectives("val_accuracy,param")


def test_global_random_state_of_numpy_is_not_used() -> None:
    np.random.seed(1)
    one, _ = live(strategy("mu-plus-lambda", settings()), 1, 0)
    np.random.seed(2)
    two, _ = live(strategy("mu-plus-lambda", settings()), 1, 0)
    assert one == two


# Aging, without `deterministic`: what is bred depends on what has arrived


def free_aging(population: int = 4) -> Aging:
    return Aging(replace(settings(population=population), deterministic=False))


def test_aging_never_waits_for_a_generation() -> None:
    breeding = free_aging()
    flying = breeding.ask(4)
    for _ in range(breeding.total - 4):
        breeding.tell(judged(flying.pop(0)))
        (child,) = breeding.ask(1)
        assert child.heard == child.number - 3
        flying.append(child)
    assert breeding.ask(1) == []


def test_aging_breeds_from_the_latest_and_lets_the_eldest_die() -> None:
    """With a population of 2 the sample is the whole population: the better of the latest two is the parent."""
    breeding = free_aging(population=2)
    score, parents = dict[int, float](), list[tuple[int, int | None]]()
    while not breeding.done:
        (candidate,) = breeding.ask(1)
        record = judged(candidate)
        breeding.tell(record)
        score[candidate.number] = record.result.metrics["val_accuracy"]
        parents.append((candidate.number, candidate.parent))
    for number, parent in parents[2:]:
        assert parent == max((number - 2, number - 1), key=lambda earlier: (score[earlier], -earlier))


@settings_of_hypothesis(max_examples=30, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 6), st.integers(0, 30))
def test_a_resumed_aging_search_breeds_the_same_children(shuffle: int, slots: int, kept: int) -> None:
    """However many results an earlier session had heard, and whatever order the rest arrives in."""
    asked, _ = live(free_aging(), slots, shuffle)
    breeding = free_aging()
    order = random.Random(shuffle)
    told, flying = list[int](), list[Candidate]()
    while not breeding.done:  # the same session again, to learn in which order it heard
        flying += breeding.ask(slots - len(flying))
        arrived = flying.pop(order.randrange(len(flying)))
        breeding.tell(judged(arrived))
        told.append(arrived.number)
    opened = [c for c in asked if c.heard is not None and c.heard <= kept]
    heard = {c.number: c.heard for c in opened if c.heard is not None}
    resumed = free_aging()
    resumed.recall(History(tuple(told[:kept]), heard))
    again, pending = list[Candidate](), list[Candidate]()
    while len(again) < len(opened):
        new = resumed.ask(7)
        again += new
        pending += new
        for candidate in [c for c in pending if c.number in told[:kept]]:  # from the journal
            pending.remove(candidate)
            resumed.tell(judged(candidate))
        assert new
    assert again[: len(opened)] == opened


def test_the_best_is_known_as_soon_as_it_is_told() -> None:
    """Whatever the order in which results count for breeding: the store keeps the weights of `best`."""
    breeding = strategy("aging", settings())
    first = breeding.ask(4)
    breeding.tell(judged(first[2], 0.9))
    assert breeding.best is not None
    assert breeding.best.candidate == first[2]


# The final ranking of inherited weights


def test_the_final_ranking_trains_the_population_from_scratch_and_has_the_last_word() -> None:
    searching = strategy("mu-plus-lambda", settings())
    breeding = FinalRanking(searching)
    asked = list[Candidate]()
    while not searching.done:
        for candidate in breeding.ask(1):
            asked.append(candidate)
            breeding.tell(judged(candidate))
    assert breeding.best == searching.best
    finalists = breeding.ask(1)
    assert [c.number - FINAL for c in finalists] == [i.record.candidate.number for i in searching.individuals]
    assert all(c.from_scratch and c.parent == c.number - FINAL and c.generation == 4 for c in finalists)
    assert [c.graph for c in finalists] == [i.record.candidate.graph for i in searching.individuals]
    scores = (0.1, 0.4, 0.3, 0.2)
    for candidate, accuracy in zip(finalists, scores, strict=True):
        assert not breeding.done
        closed = breeding.tell(judged(candidate, accuracy))
    (finished,) = closed
    assert finished.members == tuple(finalists[n].number for n in (1, 2, 3, 0))
    assert breeding.best is not None
    assert breeding.best.candidate == finalists[1]
    assert breeding.done
    assert len(asked) + len(finalists) == breeding.total
    assert breeding.ask(1) == []
