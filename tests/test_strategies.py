import random
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as settings_of_hypothesis
from hypothesis import strategies as st

from cgp import BadInput, Shape, Space
from evaluate.job import FINAL, SEARCH, Key, Result
from evaluate.metrics import objectives
from populations.record import Candidate, Generation, History, Record
from populations.setup.config import parse
from populations.strategies import STRATEGIES, FinalRanking, Settings, Strategy, strategy
from populations.strategies.aging import Aging

SPACE = Space("resnet", 3, 9, Shape(1, 8, 8), 10)


def settings(goals: str = "val_accuracy", population: int = 4, offspring: int = 3, generations: int = 4) -> Settings:
    return Settings(SPACE, objectives(goals), 7, population, offspring, generations, 0.1, deterministic=True)


def judged(candidate: Candidate, accuracy: float | None = None) -> Record:
    """A record whose accuracy follows from the graph, so that equal graphs score equal."""
    score = int(candidate.model.id[:6], 16) / 16**6 if accuracy is None else accuracy
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
    assert all(child.parent and child.model.id != asked[child.parent.number].model.id for child in children)


def test_a_failed_network_is_no_parent_and_no_survivor() -> None:
    breeding = strategy("mu-plus-lambda", settings())
    first = breeding.ask(4)
    for candidate in first[:3]:
        breeding.tell(failed(candidate))
    (closed,) = breeding.tell(judged(first[3]))
    assert closed.members == (3,)
    assert closed.statistics["failed"] == 3
    assert {candidate.parent for candidate in breeding.ask(3)} == {Key(SEARCH, 3)}


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
    assert drifted.genome is not None
    assert drifted.genome.graph(SPACE).id == parent.model.id
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
    params = [asked[number].model.params for number in finished.members]
    assert params == sorted(params)


def test_minimised_objectives() -> None:
    breeding = strategy("mu-plus-lambda", settings("flops"))
    asked = breeding.ask(4)
    for candidate in asked:
        breeding.tell(judged(candidate))
    assert breeding.best is not None
    assert breeding.best.candidate.model.flops == min(candidate.model.flops for candidate in asked)


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
    score, parents = dict[int, float](), list[tuple[int, Key | None]]()
    while not breeding.done:
        (candidate,) = breeding.ask(1)
        record = judged(candidate)
        breeding.tell(record)
        score[candidate.number] = record.result.metrics["val_accuracy"]
        parents.append((candidate.number, candidate.parent))
    for number, parent in parents[2:]:
        better = max((number - 2, number - 1), key=lambda earlier: (score[earlier], -earlier))
        assert parent == (SEARCH, better)


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
    assert [c.parent for c in finalists] == [i.record.candidate.key for i in searching.individuals]
    assert all(c.key == (FINAL, c.parent.number) and c.generation == 4 for c in finalists if c.parent)
    assert [c.model for c in finalists] == [i.record.candidate.model for i in searching.individuals]
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


# Statistics, and who breeds with whom


def told_all(breeding: Strategy, accuracies: dict[int, float | None]) -> Generation:
    """Ask for a generation and tell what its candidates reached, None for a failure; return it, finished."""
    closed = list[Generation]()
    for candidate in breeding.ask(99):
        accuracy = accuracies[candidate.number]
        closed += breeding.tell(failed(candidate) if accuracy is None else judged(candidate, accuracy))
    (finished,) = closed
    return finished


def test_a_generations_statistics_are_of_its_own_networks_and_of_the_populations_depths() -> None:
    breeding = strategy("mu-plus-lambda", settings())
    first = told_all(breeding, {0: 0.9, 1: 0.8, 2: 0.7, 3: None})
    children = breeding.ask(3)
    breeding.tell(judged(children[0], 0.1))
    breeding.tell(judged(children[1], 0.3))
    stopped = replace(judged(children[2], 0.99), result=Result("pruned", {"val_accuracy": 0.99}))
    (second,) = breeding.tell(stopped)
    assert first.statistics | {"min_depth": 0, "max_depth": 0} == {
        "generation": 0, "networks": 4, "best": 0.9, "median": 0.8, "min_depth": 0, "max_depth": 0,
        "pruned": 0, "failed": 1, "best_so_far": 0.9,
    }  # fmt: skip
    names = ("generation", "networks", "best", "best_so_far", "median", "pruned", "failed")
    assert [second.statistics[name] for name in names] == [1, 3, 0.3, 0.9, 0.2, 1, 0]
    assert second.members == (0, 1, 2, children[1].number)
    depths = [individual.record.candidate.model.depth for individual in breeding.individuals]
    assert [second.statistics[name] for name in ("min_depth", "max_depth")] == [min(depths), max(depths)]


def test_the_best_of_a_minimised_objective_is_the_smallest() -> None:
    asked, closed = live(strategy("random", settings("params")), 1, 0)
    params = [candidate.model.params for candidate in asked]
    assert [g.statistics["best"] for g in closed] == [min(params[n : n + 4]) for n in range(0, 16, 4)]
    assert [g.statistics["best_so_far"] for g in closed] == [min(params[: n + 4]) for n in range(0, 16, 4)]


def test_before_anything_ended_ok_there_is_no_best_so_far() -> None:
    breeding = strategy("mu-plus-lambda", settings())
    assert told_all(breeding, dict.fromkeys(range(4))).statistics["best_so_far"] is None
    assert told_all(breeding, {4: None, 5: 0.2, 6: None}).statistics["best_so_far"] == 0.2
    assert told_all(breeding, dict.fromkeys(range(7, 10))).statistics["best_so_far"] == 0.2


def test_how_many_are_drawn_and_bred_is_as_usual_with_the_strategy_unless_asked_otherwise() -> None:
    assert parse(["--population", "5"]).evolution.sizes == (5, 5)
    assert parse(["--population", "5", "--offspring", "3"]).evolution.sizes == (5, 3)
    assert parse(["--strategy", "mu-plus-lambda"]).evolution.sizes == (8, 8)
    assert parse(["--strategy", "screened"]).evolution.sizes == (24, 8)
    assert parse(["--strategy", "screened", "--population", "32"]).evolution.sizes == (32, 8)


@pytest.mark.parametrize(
    ("arguments", "name", "sizes"),
    [
        ([], "screened", (24, 8)),
        (["--strategy", "auto", "--population", "24", "--offspring", "4"], "screened", (24, 4)),
        (["--population", "23"], "mu-plus-lambda", (23, 23)),  # too few to learn from
        (["--family", "resnet"], "mu-plus-lambda", (8, 8)),  # whose networks are given: there is nothing to learn
    ],
)
def test_a_search_that_names_no_strategy_has_the_proven_one_where_there_is_enough_to_learn_from(
    arguments: list[str], name: str, sizes: tuple[int, int]
) -> None:
    evolution = parse(arguments).evolution
    assert (evolution.strategy, evolution.sizes) == (name, sizes)


@pytest.mark.parametrize("name", ["mu-plus-lambda", "random"])
def test_a_copy_of_a_survivor_takes_no_place_of_its_own(name: str) -> None:
    breeding = strategy(name, settings(offspring=4))
    first = breeding.ask(4)
    for candidate in first:
        breeding.tell(judged(candidate, 0.5 + candidate.number / 10))
    children = breeding.ask(4)
    copy = replace(children[0], genome=first[3].genome, model=first[3].model)
    breeding.tell(replace(judged(copy, 0.8), copied=True))
    for child in children[1:]:
        closed = breeding.tell(judged(child, 0.1))
    (finished,) = closed
    assert finished.members == (3, 2, 1, 0)


def test_parents_win_binary_tournaments_of_the_population() -> None:
    """So nobody's child is the worst's, unless it met itself; the best has about twice its share."""
    breeding = strategy("mu-plus-lambda", settings(population=4, offspring=400, generations=2))
    told_all(breeding, {0: 0.1, 1: 0.4, 2: 0.3, 3: 0.2})
    parents = [candidate.parent for candidate in breeding.ask(1)]
    counts = [parents.count(Key(SEARCH, number)) for number in (1, 2, 3, 0)]
    assert sum(counts) == 400
    for count, share in zip(counts, (7 / 16, 5 / 16, 3 / 16, 1 / 16), strict=True):
        assert count == pytest.approx(400 * share, abs=40)


def test_one_plus_lambda_breeds_from_the_best_of_the_first_and_keeps_it_while_children_fail() -> None:
    breeding = strategy("one-plus-lambda", settings(population=3))
    assert breeding.capacity == 1
    assert told_all(breeding, {0: 0.2, 1: 0.6, 2: 0.4}).members == (1,)
    children = breeding.ask(3)
    assert {child.parent for child in children} == {Key(SEARCH, 1)}
    for child in children:
        closed = breeding.tell(failed(child))
    assert closed[0].members == (1,)
    assert {candidate.parent for candidate in breeding.ask(3)} == {Key(SEARCH, 1)}


def test_a_child_of_a_parent_that_drifted_differs_from_it_still() -> None:
    breeding = strategy("one-plus-lambda", replace(settings(population=1, generations=9), mutation_rate=0.3))
    (parent,) = breeding.ask(1)
    breeding.tell(judged(parent, 0.5))
    for _ in range(8):
        children = breeding.ask(3)
        assert all(child.parent == (SEARCH, 0) and child.model.id != parent.model.id for child in children)
        for child in children:
            breeding.tell(judged(child, 0.4))


def test_random_search_draws_everyone_afresh_and_remembers_the_best_of_all() -> None:
    breeding = strategy("random", settings(generations=2))
    assert breeding.total == 8  # `offspring` is of those that breed
    told_all(breeding, {0: 0.1, 1: 0.9, 2: 0.3, 3: 0.8})
    second = breeding.ask(1)
    assert [(candidate.number, candidate.parent) for candidate in second] == [(n, None) for n in range(4, 8)]
    for candidate, accuracy in zip(second, (0.2, 0.85, 0.4, 0.5), strict=True):
        closed = breeding.tell(judged(candidate, accuracy))
    assert closed[0].members == (1, 5, 3, 7)


def test_what_the_limits_turned_away_is_counted_over_the_whole_search() -> None:
    pooled = Space("conv_8_3,maxpool", 9, 9, Shape(1, 8, 8), 10)
    breeding = strategy("random", replace(settings(), space=pooled))
    breeding.ask(1)
    assert breeding.turned_away["downsamplings"] > 4
    assert FinalRanking(breeding).turned_away == breeding.turned_away


def test_in_an_ageing_population_failures_take_no_place() -> None:
    breeding = free_aging(population=2)
    for accuracy in (0.5, 0.4, None, None, None):
        (candidate,) = breeding.ask(1)
        breeding.tell(failed(candidate) if accuracy is None else judged(candidate, accuracy))
    (child,) = breeding.ask(1)
    assert (child.number, child.parent, child.heard) == (5, (SEARCH, 0), 5)


def test_ageing_draws_anew_while_nobody_has_ended_ok() -> None:
    breeding = free_aging(population=2)
    for _ in range(4):
        (candidate,) = breeding.ask(1)
        assert candidate.parent is None
        breeding.tell(failed(candidate))


def test_the_samples_of_ageing_are_a_quarter_of_the_population() -> None:
    """With eight alive and samples of two, the best has a child with 1 - 7/8 * 6/7 = a quarter of the chances."""
    parents = []
    for seed in range(300):
        breeding = Aging(replace(settings(population=8), seed=seed, deterministic=False))
        for candidate in breeding.ask(8):
            breeding.tell(judged(candidate, (0.5 + candidate.number) / 10))
        parents += [child.parent for child in breeding.ask(1)]
    assert parents.count(Key(SEARCH, 7)) == pytest.approx(300 / 4, abs=30)
    assert parents.count(Key(SEARCH, 0)) == 0


def test_a_final_ranking_leaves_out_who_failed_and_goes_by_scratch_alone() -> None:
    breeding = FinalRanking(strategy("random", settings(generations=1)))
    assert breeding.total == 8
    told_all(breeding, {0: 0.9, 1: None, 2: 0.7, 3: 0.8})
    assert breeding.total == 7  # one less survived than could have
    finalists = breeding.ask(1)
    assert [candidate.number for candidate in finalists] == [0, 3, 2]
    for candidate, accuracy in zip(finalists[:2], (None, 0.3), strict=True):
        breeding.tell(failed(candidate) if accuracy is None else judged(candidate, accuracy))
    (finished,) = breeding.tell(judged(finalists[2], 0.6))
    assert (finished.stage, finished.members) == (FINAL, (2, 3))
    assert (finished.number, finished.statistics["networks"], finished.statistics["failed"]) == (1, 3, 1)
    assert breeding.best is not None
    assert breeding.best.candidate.key == (FINAL, 2)


def test_a_final_ranking_is_told_once_and_only_what_it_asked_for() -> None:
    breeding = FinalRanking(strategy("random", settings(generations=1)))
    told_all(breeding, {0: 0.9, 1: 0.1, 2: 0.7, 3: 0.8})
    first, *_ = breeding.ask(1)
    breeding.tell(judged(first))
    stranger = replace(first, number=99)
    for candidate in (first, stranger):
        with pytest.raises(ValueError, match=f"told of job {candidate.number} of stage final"):
            breeding.tell(judged(candidate))


def test_the_final_ranking_of_an_ageing_search_recalls_the_search_alone() -> None:
    searching = free_aging()
    breeding = FinalRanking(searching)
    assert breeding.heeds_arrival
    breeding.recall(History((2, 0, 1), {4: 3}))
    assert searching.history == History((2, 0, 1), {4: 3})
