"""By what trainings are ranked at a rung: accuracies, and what graphs of lower numbers foretell."""

import random
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy.stats import spearmanr

from cgp import Graph, Shape, Space, draw
from populations.search.rung_scores import FEWEST, STEP, Accuracies, Smoothed

SPACE = Space("resnet", 3, 9, Shape(3, 8, 8), 10)
COUNT = 130
GRAPHS = [draw(SPACE, np.random.default_rng([7, n])).graph(SPACE) for n in range(COUNT)]
WORTH = [0.3 + 0.01 * float(np.log(graph.params)) - 0.01 * graph.depth for graph in GRAPHS]
SCORED = [worth + 0.03 * random.Random(n).gauss(0, 1) for n, worth in enumerate(WORTH)]  # with luck in it


def entered(numbers: Any, models: Any = GRAPHS) -> Smoothed:
    scores = Smoothed()
    for number in numbers:
        scores.enter(number, models[number], SCORED[number])
    return scores


def latest(number: int, window: int = 8) -> list[int]:
    return list(range(number, number - window, -1))


def test_few_accuracies_count_as_they_are() -> None:
    scores = entered(range(FEWEST + 1))
    assert scores.ranked(latest(FEWEST - 1)) == SCORED[FEWEST - 1 : FEWEST - 9 : -1]
    assert scores.ranked(latest(FEWEST)) != SCORED[FEWEST : FEWEST - 8 : -1]


def test_luck_counts_less_where_graphs_decide_what_networks_are_worth() -> None:
    asked = latest(COUNT - 1, COUNT - FEWEST)
    worth = [WORTH[number] for number in asked]
    plain, smoothed = (
        float(spearmanr(scored, worth).statistic)
        for scored in ([SCORED[number] for number in asked], entered(range(COUNT)).ranked(asked))
    )
    assert smoothed > plain + 0.05


def test_scores_depend_on_lower_numbers_alone_in_whatever_order_these_came() -> None:
    first = entered(range(100))
    whole = [first.ranked(latest(number)) for number in range(8, 100)]
    late = entered(random.Random(1).sample(range(COUNT), COUNT))  # a session that takes over, and is far ahead
    assert [late.ranked(latest(number)) for number in range(8, 100)] == whole
    assert entered(range(100)).ranked(latest(99)) == whole[-1]
    assert late.ranked(latest(70)) == whole[70 - 8]


def test_what_is_learned_changes_with_every_few_jobs_only(monkeypatch: pytest.MonkeyPatch) -> None:
    learned = list[int]()

    def linear(seen: list[Any]) -> Any:
        learned.append(len(seen))
        return SimpleNamespace(score=lambda graph: 0.5)

    monkeypatch.setattr("populations.search.rung_scores.Linear", linear)
    scores = entered(range(COUNT))
    for number in range(8, COUNT):
        scores.ranked(latest(number))
    assert learned == list(range(FEWEST, COUNT, STEP))


def test_a_model_that_is_no_graph_counts_with_its_accuracy_and_teaches_nothing() -> None:
    foreign = SimpleNamespace(id="of another kind")
    none = entered(range(80), [foreign] * 80)
    assert none.ranked(latest(79)) == SCORED[79:71:-1]
    one = entered(range(80), [*GRAPHS[:79], foreign])
    assert one.ranked([79]) == [pytest.approx(SCORED[79])]
    assert one.ranked([78]) != [pytest.approx(SCORED[78])]


def test_equal_graphs_foretell_nothing_that_tells_them_apart() -> None:
    """Each has its accuracy, drawn towards much the same mean: they keep their order."""
    chain = Graph.chain(["conv_8_3"], SPACE.image, 10)
    scores = entered(range(COUNT), [chain] * COUNT).ranked(latest(COUNT - 1))
    assert np.argmax(scores) == np.argmax(SCORED[COUNT - 1 : COUNT - 9 : -1])


def test_accuracies_count_as_they_are() -> None:
    scores = Accuracies()
    for number in range(COUNT):
        scores.enter(number, GRAPHS[number], SCORED[number])
    assert scores.ranked(latest(100)) == SCORED[100:92:-1]
