"""The strategy `screened` and its surrogate: what they learn from and propose, and that arrival decides nothing."""

import dataclasses
import json
import math
import os
import random
import signal
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr

from cgp.blocks import FUNCTION_SETS
from cgp.genome import draw
from cgp.graph import Graph, Node
from cgp.layers import Shape
from cgp.mutation import one_gene
from cgp.space import Space
from cgp.wiring import wiring
from evaluate.job import Result
from evaluate.metrics import objectives
from harness import assert_same_run, populations, program, start, wait_for
from populations import load
from populations.record import Candidate, Record
from populations.strategies import Settings, Strategy, screened, strategy
from populations.strategies.screened import START
from populations.surrogate import FEATURES, REGRESSIONS, Regression, Seen, Surrogate, ends, features

SPACE = Space("resnet", 10, 40, Shape(3, 16, 16), 10)
SMALL = (
    *("--function-set", "conv_8_3,conv_4_3,res_8_3,maxpool,sum", "--num-min-depth", "1", "--num-max-depth", "4"),
    *("--train-size", "60", "--epochs", "1", "--strategy", "screened", "--population", "24", "--offspring", "4"),
    *("--generations", "4"),
)


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer candidates a generation, so that the tests are short."""
    for name in ("draws", "children"):
        monkeypatch.setattr(screened.Screened, name, 100)


def graphs(count: int, seed: int = 0, space: Space = SPACE) -> list[Graph]:
    rng = np.random.default_rng(seed)
    return [draw(space, rng).graph(space) for _ in range(count)]


def worth(graph: Graph) -> float:
    """What networks score here: shallow and wide ones more, and those that halve their maps late."""
    strides = [flow.stride for flow in graph.flows]
    halved = [n / graph.depth for n in range(graph.depth) if strides[n + 1] > strides[n]]
    return 0.02 * math.log(graph.params) - 0.005 * graph.depth + 0.05 * float(np.mean(halved or [0]))


def search(seed: int = 0, generations: int = 6, offspring: int = 8, name: str = "screened") -> Strategy:
    goals = objectives("val_accuracy,params")
    return strategy(name, Settings(SPACE, goals, seed, START, offspring, generations, 0.05))


def judged(candidate: Candidate, score: Callable[[Graph], float] = worth) -> Record:
    assert isinstance(candidate.model, Graph)
    value = score(candidate.model)
    row = {"epoch": 1.0, "train_accuracy": value, "val_accuracy": value, "val_loss": 1.0, "seconds": 1.0}
    result = Result("ok", {"val_accuracy": value, "val_loss": 1.0}, [row], 1.0)
    return Record(candidate, f"m{candidate.number}", result)


def run(breeding: Strategy, score: Callable[[Graph], float] = worth) -> list[Candidate]:
    """Search with one slot, in order of number; return all candidates."""
    candidates = list[Candidate]()
    while not breeding.done:
        for candidate in breeding.ask(1):
            candidates.append(candidate)
            breeding.tell(judged(candidate, score))
    return candidates


# Features


@settings(max_examples=40, deadline=None)
@given(name=st.sampled_from(sorted(FUNCTION_SETS)), depth=st.sampled_from((1, 5, 70)), seed=st.integers(0, 2**32 - 1))
def test_features_are_finite_numbers_of_the_graph_alone(name: str, depth: int, seed: int) -> None:
    (graph,) = graphs(1, seed, Space(name, depth, depth, Shape(3, 32, 32), 10))
    found = features(graph)
    assert found.shape == (FEATURES,)
    assert np.isfinite(found).all()
    again = Graph.from_json(json.loads(json.dumps(graph.to_json())))
    assert np.array_equal(features(again), found)


def test_features_tell_blocks_places_and_joins_apart() -> None:
    image = Shape(3, 16, 16)
    chain = Graph.chain(["conv_8_3", "conv_8_3", "maxpool", "conv_8_3"], image, 10)
    others = [
        Graph.chain(["conv_8_3", "maxpool", "conv_8_3", "conv_8_3"], image, 10),
        Graph.chain(["conv_8_3", "conv_8_3", "avgpool", "conv_8_3"], image, 10),
        Graph.chain(["conv_8_5", "conv_8_3", "maxpool", "conv_8_3"], image, 10),
        Graph.chain(["conv_8_3", "conv_16_3", "maxpool", "conv_8_3"], image, 10),
        Graph((*chain.nodes, Node("sum", (4, 1))), image, 10),
    ]
    assert len({features(graph).tobytes() for graph in [chain, *others]}) == 6


# The surrogate


def test_what_it_foretells_of_networks_that_it_has_not_seen_is_as_good_as_it_says() -> None:
    seen, unseen = graphs(96), graphs(200, seed=1)
    surrogate = Surrogate([Seen(graph, (worth(graph),)) for graph in seen], np.random.default_rng(0))
    foretold = surrogate.opinion(np.array([features(graph) for graph in unseen]))
    found = spearmanr(foretold, [worth(graph) for graph in unseen]).statistic
    assert surrogate.trust > 0.6
    assert abs(found - surrogate.trust) < 0.25


def test_few_networks_are_learned_from_simply_and_many_in_more_detail() -> None:
    """With 16 it foretells better than by all features, with 300 better than by size and depth alone."""

    def correlation(count: int, seed: int, regressions: Sequence[Regression] = REGRESSIONS) -> float:
        seen, rng = graphs(count, seed), np.random.default_rng(seed)
        surrogate = Surrogate([Seen(graph, (detailed(graph),)) for graph in seen], rng, regressions)
        opinions = np.mean([surrogate.opinion(rows) for _ in range(4)], axis=0)
        return float(spearmanr(opinions, [detailed(graph) for graph in unseen]).statistic)

    def detailed(graph: Graph) -> float:
        return worth(graph) + 0.004 * sum(node.block.startswith("res") for node in graph.nodes)

    unseen = graphs(150, seed=1)
    rows, linear = np.array([features(graph) for graph in unseen]), [Regression(tuple(range(FEATURES)))]
    few = [(correlation(16, seed), correlation(16, seed, linear)) for seed in range(10, 18)]
    assert np.mean([chosen for chosen, _ in few]) > np.mean([all_features for _, all_features in few]) + 0.05
    assert correlation(300, 2) > correlation(300, 2, REGRESSIONS[:1]) + 0.05


def test_it_does_not_trust_itself_where_there_is_nothing_to_learn() -> None:
    rng = np.random.default_rng(0)
    trusts = [
        Surrogate([Seen(graph, (rng.random(),)) for graph in graphs(48, seed)], np.random.default_rng(seed)).trust
        for seed in range(5)
    ]
    assert np.mean(trusts) < 0.2
    same = Surrogate([Seen(graph, (0.5,)) for graph in graphs(48)], np.random.default_rng(0))
    assert same.trust == 0


def test_a_pruned_network_counts_as_if_it_had_gained_what_the_others_did() -> None:
    """Two of three, of one worth, were pruned after their first epoch or their second."""

    def seen(n: int, graph: Graph) -> Seen:
        scores = tuple(worth(graph) + gained for gained in (0.1, 0.25, 0.3))
        return Seen(graph, scores[: n % 3 or 3], pruned=n % 3 > 0)

    trained = [seen(n, graph) for n, graph in enumerate(graphs(120))]
    assert ends(trained) == pytest.approx([worth(one.graph) + 0.3 for one in trained])
    assert ends([one for one in trained if one.pruned]) == pytest.approx(  # none came to the end
        [one.scores[-1] for one in trained if one.pruned]
    )
    foretold = Surrogate(trained, np.random.default_rng(0)).opinion(np.array([one.features for one in trained]))
    errors = foretold - [worth(one.graph) + 0.3 for one in trained]
    assert abs(np.mean(errors[0::3]) - np.mean(errors[1::3])) < 0.03


def test_a_training_that_its_recipe_ended_early_counts_as_it_is() -> None:
    one, other, stopped = graphs(3)
    seen = [Seen(one, (0.2, 0.4, 0.6)), Seen(other, (0.3, 0.5), pruned=True), Seen(stopped, (0.5,))]
    assert ends(seen) == pytest.approx([0.6, 0.5 + (0.2 + 0.0) / 2, 0.5])


def test_it_foretells_nothing_far_beyond_what_was_seen() -> None:
    """However far a candidate lies from all that was trained."""
    seen = [Seen(graph, (worth(graph),)) for graph in graphs(60)]
    wild = np.array([features(graph) for graph in graphs(50, 1, Space("resnet", 200, 300, Shape(3, 16, 16), 10))])
    foretold = Surrogate(seen, np.random.default_rng(0)).opinion(wild)
    scores = [one.scores[-1] for one in seen]
    assert foretold.max() < max(scores) + np.ptp(scores)
    assert foretold.min() > min(scores) - np.ptp(scores)


# The strategy


def test_it_finds_better_networks_than_drawing_at_random() -> None:
    """Of as many: its latest, in the mean over seeds."""
    found = {name: [run(search(seed, name=name)) for seed in range(2)] for name in ("random", "screened")}
    count = len(found["screened"][0])
    scores = {name: [[worth(c.model) for c in one[:count]] for one in ran] for name, ran in found.items()}  # type: ignore[arg-type]
    assert np.mean([one[-8:] for one in scores["screened"]]) > np.mean([one[-8:] for one in scores["random"]]) + 0.02


def test_each_candidate_says_why_it_was_chosen() -> None:
    candidates = run(search())
    reasons = [[c.reason for c in candidates if c.generation == generation] for generation in range(6)]
    assert reasons[0] == ["start"] * START
    assert all(later == ["draw"] + ["screened"] * 7 for later in reasons[1:])
    assert all((c.predicted is None) == (c.reason != "screened") for c in candidates)
    children = [c for c in candidates if c.parent]
    assert len({c.parent for c in children}) > len(children) / 3  # of many parents
    assert all(c.reason == "screened" for c in children)
    for child in children:
        assert child.genome
        parent = next(c for c in candidates if c.key == child.parent)
        assert parent.number < START + 8 * (child.generation - 2)  # the first of its generation, less one more
    assert len({c.model.id for c in candidates}) == len(candidates)


def test_what_is_foretold_of_a_candidate_is_near_what_there_is() -> None:
    """It is learned from all that was seen: what samples of the first 16 foretell may lie far beyond."""
    for seed in range(3):
        noise = np.random.default_rng(seed)
        candidates = run(search(seed, generations=3), lambda graph, noise=noise: worth(graph) + 0.06 * noise.normal())  # type: ignore[misc]
        predicted = [c.predicted for c in candidates if c.predicted is not None]
        assert predicted
        assert max(predicted) < max(worth(c.model) for c in candidates) + 0.06  # type: ignore[arg-type]


def test_without_trust_everything_is_drawn() -> None:
    noise = random.Random(0)
    reasons = [c.reason for c in run(search(), lambda graph: noise.random())]
    assert reasons.count("draw") >= 0.6 * (len(reasons) - START)


def test_what_racing_prunes_is_foretold_at_its_end() -> None:
    """Every network gains a tenth behind its first epoch, after which racing prunes all but each third one."""

    def ended(candidate: Candidate) -> Record:
        whole = judged(candidate, lambda graph: worth(graph) + 0.1)
        early = whole.result.curve[0] | {"val_accuracy": worth(candidate.model)}  # type: ignore[arg-type]
        if candidate.number % 3:
            pruned = Result("pruned", {name: early[name] for name in ("val_accuracy", "val_loss")}, [early], 1.0)
            return dataclasses.replace(whole, result=pruned)
        return dataclasses.replace(
            whole, result=dataclasses.replace(whole.result, curve=[early, *whole.result.curve])
        )

    breeding, candidates = search(), list[Candidate]()
    while not breeding.done:
        for candidate in breeding.ask(1):
            candidates.append(candidate)
            breeding.tell(ended(candidate))
    errors = [c.predicted - worth(c.model) - 0.1 for c in candidates if c.predicted]  # type: ignore[arg-type]
    assert len(errors) > 20
    assert abs(np.mean(errors)) < 0.03


def test_the_first_generation_covers_the_costs() -> None:
    flops = sorted(c.model.flops for c in search().ask(START))
    drawn = sorted(graph.flops for graph in graphs(2000, seed=9))
    quarters = [drawn[len(drawn) * part // 4] for part in (1, 2, 3)]
    assert [sum(value < quarter for value in flops) for quarter in quarters] == pytest.approx([6, 12, 18], abs=2)


@cache
def in_order() -> list[Candidate]:
    """The candidates of a search with one slot."""
    return run(search(seed=5, generations=4))


@pytest.mark.parametrize("slots", [1, 3, 20])
def test_the_order_of_arrival_decides_nothing(slots: int) -> None:
    """With any number of slots, each of which ends at any time."""
    breeding, order = search(seed=5, generations=4), random.Random(slots)
    waiting, running, candidates = list[Candidate](), list[Candidate](), list[Candidate]()
    while not breeding.done:
        asked = breeding.ask(slots - len(running) - len(waiting))
        candidates += asked
        waiting += asked
        while waiting and len(running) < slots:
            running.append(waiting.pop(order.randrange(len(waiting))))
        breeding.tell(judged(running.pop(order.randrange(len(running)))))
    assert candidates == in_order()


def test_no_slot_waits_for_the_start_and_none_for_a_generation_to_end() -> None:
    assert len(search().ask(START)) == START
    breeding = search()
    first = [candidate for _ in range(3) for candidate in breeding.ask(1)]
    assert [candidate.number for candidate in first] == list(range(START))
    for candidate in (*first[:15], *first[16:]):
        breeding.tell(judged(candidate))
    assert breeding.ask(1) == []  # 15, of which the next generation learns, is not told
    breeding.tell(judged(first[15]))
    second, third = breeding.ask(1), breeding.ask(1)
    assert [len(second), len(third)] == [8, 8]  # the whole start is told
    assert breeding.ask(1) == []
    for candidate in second:
        breeding.tell(judged(candidate))
    assert len(breeding.ask(1)) == 8


def test_what_was_not_asked_for_is_not_taken_in() -> None:
    breeding = search()
    first = breeding.ask(1)
    breeding.tell(judged(first[0]))
    for candidate in (first[0], search().ask(START)[8]):
        with pytest.raises(ValueError, match=f"told of job {candidate.number}, which is not waited for"):
            breeding.tell(judged(candidate))


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), limited=st.booleans())
def test_a_one_gene_child_differs_in_one_active_gene(seed: int, limited: bool) -> None:
    space = dataclasses.replace(SPACE, max_flops=SPACE.usual_flops) if limited else SPACE
    rng = np.random.default_rng(seed)
    parent = draw(space, rng)
    child = one_gene(parent, space, rng)
    changed = [n for n, (a, b) in enumerate(zip(parent.genes, child.genes, strict=True)) if a != b]
    assert len(changed) == 1
    assert changed[0] in wiring(space).active(parent.genes, space)
    assert child.graph(space).id != parent.graph(space).id


# From outside


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished search."""
    cwd = tmp_path_factory.mktemp("searched")
    done = program(*SMALL, "--workers", "1", "--run", "r", cwd=cwd)
    assert done.returncode == 0, done.stderr
    return cwd / "r"


def test_why_each_network_was_chosen_is_in_the_table(searched: Path) -> None:
    models = load(searched).models
    assert set(models["reason"]) <= {"start", "draw", "screened"}
    assert list(models["reason"][:24]) == ["start"] * 24
    assert (models["predicted"].notna() == (models["reason"] == "screened")).all()
    shown = populations("show", "r", "--format", "csv", cwd=searched.parent).stdout
    assert ",reason,predicted" in shown.splitlines()[0]


def test_two_workers_and_a_kill_make_the_same_run(searched: Path, tmp_path: Path) -> None:
    process = start(*SMALL, "--workers", "2", "--run", "r", cwd=tmp_path)
    wait_for(tmp_path / "r", "snapshots/gen_0000.csv", 1, process)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert program("--resume", "r", cwd=tmp_path).returncode == 0
    assert_same_run(searched, tmp_path / "r")


def test_a_population_below_the_start_is_one_line(tmp_path: Path) -> None:
    done = program("--strategy", "screened", "--population", "8", cwd=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "--population: 8 is fewer than the 24 networks from which --strategy screened learns first" in done.stderr
