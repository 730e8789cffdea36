import random
from dataclasses import replace

import numpy as np
import pytest

from cgp import BadInput, Shape, Space
from evaluate.fitness import objectives
from evaluate.job import Result
from populations.record import Candidate, Generation, Record
from populations.strategies import STRATEGIES, Generational, Settings, strategy

SPACE = Space("resnet", 3, 9, Shape(1, 8, 8), 10)


def settings(goals: str = "val_accuracy", population: int = 4, offspring: int = 3, generations: int = 4) -> Settings:
    return Settings(SPACE, objectives(goals), 7, population, offspring, generations, 0.1)


def judged(candidate: Candidate, accuracy: float | None = None) -> Record:
    """A record whose accuracy follows from the graph, so that equal graphs score equal."""
    score = int(candidate.graph.id[:6], 16) / 16**6 if accuracy is None else accuracy
    return Record(candidate, str(candidate.number), Result("ok", {"val_accuracy": score, "val_loss": 1 - score}))


def failed(candidate: Candidate) -> Record:
    return Record(candidate, str(candidate.number), Result("failed", error="no"))


def live(breeding: Generational, slots: int, shuffle: int) -> tuple[list[Candidate], list[Generation]]:
    """Run a whole search with `slots` in flight, results arriving in an order that `shuffle` decides."""
    order = random.Random(shuffle)
    flying, asked, closed = list[Candidate](), list[Candidate](), list[Generation]()
    while not breeding.done:
        new = breeding.ask(slots - len(flying))
        asked += new
        flying += new
        arrived = flying.pop(order.randrange(len(flying)))
        if generation := breeding.tell(judged(arrived)):
            closed.append(generation)
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
    closed = breeding.tell(judged(first[3]))
    assert closed is not None
    assert closed.members == (3,)
    assert closed.statistics["failed"] == 3
    assert {candidate.parent for candidate in breeding.ask(3)} == {3}


def test_when_all_failed_the_next_generation_is_drawn_anew() -> None:
    breeding = strategy("one-plus-lambda", settings())
    for candidate in breeding.ask(4):
        closed = breeding.tell(failed(candidate))
    assert closed is not None
    assert closed.statistics["best"] is None
    assert [candidate.parent for candidate in breeding.ask(3)] == [None, None, None]


def test_one_plus_lambda_replaces_only_by_a_strictly_better_child() -> None:
    breeding = strategy("one-plus-lambda", replace(settings(population=1), mutation_rate=0.5))
    (parent,) = breeding.ask(1)
    breeding.tell(judged(parent, 0.5))
    children = breeding.ask(3)
    for child, accuracy in zip(children, (0.5, 0.4, 0.3), strict=True):
        closed = breeding.tell(judged(child, accuracy))
    assert closed is not None
    assert closed.members == (0,)
    drifted = breeding.individuals[0].record.candidate
    assert drifted.genome != parent.genome
    assert drifted.genome.graph(SPACE).id == parent.graph.id
    for child, accuracy in zip(breeding.ask(3), (0.5, 0.6, 0.55), strict=True):
        closed = breeding.tell(judged(child, accuracy))
    assert closed is not None
    assert closed.members == (5,)


def test_later_objectives_break_ties() -> None:
    breeding = strategy("mu-plus-lambda", settings("val_accuracy,params"))
    asked = breeding.ask(4)
    for candidate in asked:
        closed = breeding.tell(judged(candidate, 0.5))
    assert closed is not None
    params = [asked[number].graph.params for number in closed.members]
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
    (candidate,) = breeding.ask(1)
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
