"""What is foretold of networks and searches, against what they are: fields, genes, bytes, places for workers."""

import re
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import joblib
import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import settings as settings_of_hypothesis
from hypothesis import strategies as st

from cgp.errors import BadInput
from cgp.families import family
from cgp.genome import Genome, draw
from cgp.graph import Graph
from cgp.layers import Shape, joined
from cgp.model import Model
from cgp.mutation import forced, neutral
from cgp.network import Network
from cgp.space import Space
from cgp.wiring import wiring
from evaluate.data.splits import load
from evaluate.devices import placement as placing
from evaluate.devices.placement import placement
from evaluate.files import kept_epochs
from evaluate.job import OPTIMIZERS, DataSpec, Job, Result, recipe
from evaluate.metrics import objectives
from evaluate.training.forecast import Sample, TimedStep, forecast_bytes, time_steps
from evaluate.worker import evaluate
from populations.run_folder.store import Plan
from populations.search.racing import Race
from populations.setup.forecast import Forecast, Work, dry_run, foretell, population_table, search_bytes
from populations.strategies import strategy
from populations.terminal.spoken import between, duration, size
from test_strategies import SPACE, settings

BLOCKS = ("conv_4_1", "conv_4_3", "conv_4_5_2", "sepconv_4_5", "res_4_3", "res_4_3_2", "dense_2_3")
OTHERS = ("transition", "compress", "activation", "inception_8", "maxpool", "avgpool")
IMAGE = Shape(1, 8, 8)
FAST = recipe("fast", precision="fp32")


# Receptive fields, which no counter of torch's tells


def touched(graph: Graph) -> tuple[int, int]:
    """Return how many columns of the image reach the middle of the last map, and how many its next pixel is further.

    Each image of a batch has another column spoiled: what is not a number spreads as far as a network sees.
    """
    width = graph.image.width
    images = torch.ones(width, *graph.image)
    images[torch.arange(width), :, :, torch.arange(width)] = torch.nan
    with torch.no_grad():
        spoiled = Network(graph).eval().forward_features(images).isnan().any(1).any(1)
    middle = spoiled.shape[1] // 2
    one, following = (spoiled[:, column].nonzero().flatten() for column in (middle, middle + 1))
    return len(one), int(following[0] - one[0])


@settings_of_hypothesis(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from(BLOCKS + OTHERS), min_size=1, max_size=4))
def test_the_receptive_field_and_the_stride_are_what_reaches_a_pixel(blocks: list[str]) -> None:
    graph = Graph.chain(blocks, Shape(1, 16, 96), 10)
    assume(graph.receptive_field <= 50)
    assert touched(graph) == (graph.receptive_field, graph.flows[-1].stride)


@pytest.mark.parametrize(
    ("name", "millions"),
    [("vgg-16", 313.2), ("vgg-19", 398.1), ("resnet-20", 40.8), ("resnet-56", 125.5), ("resnet-110", 252.9)],
)
def test_families_take_the_multiply_adds_that_are_quoted_of_them(name: str, millions: float) -> None:
    graph = family(name.split("-")[0])[name]
    assert graph.flops / 2e6 == pytest.approx(millions, rel=0.01)


def test_maps_of_different_size_cannot_be_joined() -> None:
    with pytest.raises(BadInput, match=r"concat of maps of different size: \[\(3, 8, 8\), \(3, 8, 4\)\]"):
        joined([Shape(3, 8, 8), Shape(3, 8, 4)], "concat")


# Genes


def differing(one: Genome, other: Genome) -> set[int]:
    """Return the indices of the genes in which two genomes differ."""
    return {n for n, (a, b) in enumerate(zip(one.genes, other.genes, strict=True)) if a != b}


def neighbours(genome: Genome, space: Space) -> Iterator[tuple[int, Genome]]:
    """Yield genes that have another value, with the genome that has it; blocks come in pairs of one arity."""
    count = space.max_depth
    for index, value in enumerate(genome.genes):
        if index < count:
            others = {value ^ 1}
        elif index < 2 * count:
            others = set(space.second_inputs(index - count + 1)) - {value}
        else:
            others = {value - 1 if value > space.min_depth else value + 1}
        for other in others:
            yield index, Genome((*genome.genes[:index], other, *genome.genes[index + 1 :]))


@settings_of_hypothesis(max_examples=10, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_the_active_genes_are_those_that_the_graph_depends_on(seed: int) -> None:
    space = Space("conv_8_3,conv_8_5,sum,concat", 2, 9, IMAGE, 10)
    genome, rng = draw(space, np.random.default_rng(seed)), np.random.default_rng(seed)
    nodes, active = genome.graph(space).nodes, set(wiring(space).active(genome.genes, space))
    telling = {n for n, other in neighbours(genome, space) if other.graph(space).nodes != nodes}
    assert telling == active - {9, 10}  # the first two nodes can read the image alone
    forced_ones = (differing(genome, forced(genome, space, rng, 0.0)) for _ in range(300))
    assert set().union(*forced_ones) == telling
    assert not active & differing(genome, neutral(genome, space, rng, 1.0))


@pytest.mark.parametrize("rate", [0.05, 0.3, 1.0])
def test_so_many_genes_change_as_the_rate_says(rate: float) -> None:
    """Of thirty nodes' blocks, each of which has another value to go to; at least one of them."""
    space = Space("conv_8_3,conv_8_5,conv_16_3", 30, 30, IMAGE, 10)
    rng, changed = np.random.default_rng(0), 0
    for _ in range(200):
        parent = draw(space, rng)
        changed += len({n for n in differing(parent, forced(parent, space, rng, rate)) if n < 30})
    spread = (6000 * rate * (1 - rate)) ** 0.5
    assert changed == pytest.approx(6000 * rate + 200 * (1 - rate) ** 30, abs=4 * spread)


def test_a_parent_with_no_neighbour_within_the_limits_has_itself_as_a_child() -> None:
    free = Space("conv_8_3,conv_64_3", 3, 3, IMAGE, 10)
    tight = replace(free, max_params=free.cheapest_cost[0])
    parent = draw(tight, np.random.default_rng(0))
    child = forced(parent, tight, np.random.default_rng(1), 1.0)
    assert child.graph(tight) == parent.graph(tight)


# Objectives


def test_objectives_are_values_of_graph_and_result_in_the_order_asked_for() -> None:
    graph = Graph.chain(["conv_8_3"], IMAGE, 10)
    result = Result("ok", {"val_accuracy": 0.75}, seconds=2.5)
    goals = objectives("seconds, val_accuracy,flops,params,seconds")
    assert [(goal.name, goal.weight, goal.value(graph, result)) for goal in goals] == [
        ("seconds", -1, 2.5), ("val_accuracy", 1, 0.75), ("flops", -1, graph.flops), ("params", -1, graph.params)
    ]  # fmt: skip


# Forecasts


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_the_bytes_foretold_are_those_of_the_checkpoints(make_job: Callable[..., Job], optimizer: str) -> None:
    job = make_job(graph=Graph.chain(["conv_64_3"] * 3, IMAGE, 10), optimizer=optimizer, train_size=20)
    assert evaluate(replace(job, keep_epochs=1)).status == "ok"
    sizes = {path: path.stat().st_size for path in Path(job.folder).glob("*.safetensors")}
    assert forecast_bytes(job.train.model, job.train.recipe, 1) == pytest.approx(sum(sizes.values()), rel=0.05)
    usual = sum(size for path, size in sizes.items() if path not in kept_epochs(Path(job.folder)).values())
    assert forecast_bytes(job.train.model, job.train.recipe) == pytest.approx(usual, rel=0.05)


PLAN = Plan(SPACE, FAST, DataSpec("digits"), 7, True, "all")
UNRACED = Race()


def law(model: Model, batch: int) -> float:
    """Seconds of a training step on a made-up machine."""
    return 2e-9 * model.flops * batch + 0.003 * model.conv_layers


def timed_by_law(sample: Sample) -> list[TimedStep]:
    """Time steps as that machine would, in batches of several sizes; a training starts in half a second."""
    sizes = zip(sample.models, (4, 32, 8, 32), strict=False)
    return [TimedStep(model, batch, law(model, batch), 0.5) for model, batch in sizes]


@pytest.fixture
def made_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compute forecasts for the machine of `law`."""
    monkeypatch.setattr("populations.setup.forecast.time_steps", timed_by_law)


class Here:
    """A slot that does at once what it is sent, or fails at it."""

    device = "cpu"

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error

    def submit(self, function: Callable[[Any], Any], argument: Any) -> Future[Any]:
        future = Future[Any]()
        if self.error:
            future.set_exception(self.error)
        else:
            future.set_result(timed_by_law(argument))
        return future


def foretold(race: Race = UNRACED, *slots: Here, plan: Plan = PLAN) -> Forecast:
    """Return the forecast of a search of 16 networks, with one slot unless others are given."""
    found = foretell(Work(strategy("random", settings()), plan, load(PLAN.data), race), cast(Any, slots or (Here(),)))
    assert found is not None
    return found


def test_an_epoch_is_foretold_by_its_operations_and_by_its_layers(made_up: None) -> None:
    """In 33 steps of 32 images and, a third of that an image, two passes over 359 images to validate on."""
    data, found = load(PLAN.data), foretold()
    train, validation = len(data.splits["train"]), len(data.splits["validation"])
    for graph in found.sample[:3]:
        trained = train // 32 * law(graph, 32)
        validated = (law(graph, validation) - law(graph, 0) + validation / 256 * law(graph, 0)) / 3
        assert found.cost.expected(graph) == pytest.approx(trained + validated)
    mean = sum(map(found.cost.expected, found.sample)) / len(found.sample)
    assert found.seconds == pytest.approx(16 * (FAST.epochs * mean + 0.5))


def test_two_workers_take_half_and_a_race_what_its_prunings_leave(made_up: None) -> None:
    plan = replace(PLAN, recipe=replace(FAST, epochs=9))
    whole, race = foretold(plan=plan), Race((1, 3), 4)
    assert foretold(UNRACED, Here(), Here(), plan=plan).seconds == pytest.approx(whole.seconds / 2)
    share = (1 + 1 + 2 / 3 + 13 * 2 / 4) / 16  # of sixteen in random order, each among the best two of the last four
    shorter = foretold(race, plan=plan)
    assert shorter.expected == pytest.approx(16 * (1 + 2 * share + 6 * share**2))
    assert shorter.seconds < 0.7 * whole.seconds


def test_where_a_worker_fails_at_timing_there_is_no_forecast() -> None:
    """The search then meets the fault in its own way, where a job says which."""
    searching = strategy("random", settings())
    slots = cast(Any, (Here(), Here(RuntimeError("out of memory"))))
    assert foretell(Work(searching, PLAN, load(PLAN.data), UNRACED), slots) is None


def test_a_time_is_said_as_a_range(made_up: None) -> None:
    found = foretold()
    minutes = re.fullmatch(r"about (\d+) to (\d+) minutes", str(found))
    assert minutes is not None
    assert 60 * int(minutes[1]) < found.seconds < 60 * int(minutes[2])


def test_what_measures_trained_networks_is_said_not_to_be_counted(made_up: None) -> None:
    asked = replace(settings(), objectives=objectives("robust_accuracy,params,latency_ms"))
    work = Work(strategy("random", asked), PLAN, load(PLAN.data), UNRACED)
    found = foretell(work, cast(Any, (Here(),)))
    assert str(found).endswith(" minutes and the measuring of robust_accuracy, latency_ms")


def test_one_network_of_much_of_the_time_is_worth_a_warning(made_up: None) -> None:
    cheap, dear = (Graph.chain([name] * 3, IMAGE, 10) for name in ("conv_8_3", "conv_64_5"))
    even, uneven = (replace(foretold(), sample=[cheap] * 9 + [last]) for last in (cheap, dear))
    assert even.warning is None
    assert uneven.warning is not None
    said = r"the slowest of 10 draws .* about \d+ min, \d+% of all training\n\(--max-flops"
    assert re.search(said, uneven.warning)
    limit = int(uneven.warning.split("--max-flops ")[1].split()[0])
    assert cheap.flops < limit < dear.flops
    assert replace(uneven, expected=100 * uneven.expected).warning is None  # in a search that takes long anyway


def test_steps_are_timed_of_every_graph_in_the_batches_of_the_recipe() -> None:
    graphs = tuple(Graph.chain(["conv_4_3"] * depth, IMAGE, 10) for depth in (1, 2, 3))
    timed = time_steps(Sample(graphs, FAST, 500, "cpu", 60.0))
    assert [(step.model, step.batch) for step in timed] == [(graph, 32) for graph in graphs]
    assert all(step.seconds > 0 and step.startup > 0 for step in timed)
    assert [step.batch for step in time_steps(Sample(graphs[:1], FAST, 20, "cpu", 60.0))] == [20]


def test_where_time_is_short_one_graph_is_timed_in_the_smallest_batch() -> None:
    graphs = tuple(Graph.chain(["conv_4_3"] * depth, IMAGE, 10) for depth in (1, 2, 3))
    timed = time_steps(Sample(graphs, FAST, 500, "cpu", 0.0))
    assert [(step.model, step.batch) for step in timed] == [(graphs[0], 2)]


def test_a_dry_run_shows_the_very_networks_that_the_search_draws(made_up: None) -> None:
    table = population_table(strategy("random", settings()), PLAN, foretold())
    graphs = [candidate.model for candidate in strategy("random", settings()).ask(1)]
    for name in ("depth", "conv_layers", "params", "receptive_field"):
        assert list(table[name]) == [getattr(graph, name) for graph in graphs]
    assert list(table["mflops"]) == [round(graph.flops / 1e6, 1) for graph in graphs]
    assert list(table["mbytes"]) == [round(forecast_bytes(graph, FAST) / 1e6, 1) for graph in graphs]


def test_a_dry_run_says_the_time_at_the_real_number_of_workers(made_up: None) -> None:
    def said(workers: int) -> str:
        return dry_run(Work(strategy("random", settings()), PLAN, load(PLAN.data), UNRACED), "cpu", workers)

    assert f"16 networks, {foretold()} on 1 worker, " in said(1)
    assert f"16 networks, {foretold(UNRACED, Here(), Here())} on 2 workers, " in said(2)


def test_durations_and_sizes_are_said_in_their_unit() -> None:
    hour = 3600
    assert [duration(s) for s in (0, 55.4, 240, 2 * hour, 12.4 * hour, 60 * hour)] == [
        "0 s", "55 s", "4 min", "2 h", "12 h", "2.5 days"
    ]  # fmt: skip
    assert between(180, 360) == "3 to 6 minutes"
    assert between(0.9 * hour, 2.1 * hour) == "0.9 to 2.1 hours"
    assert between(50, 110) == "1 to 2 minutes"
    assert (between(0.1, 1.2), between(1.6, 2.4), between(0.9, 2.4)) == ("a second", "2 seconds", "1 to 2 seconds")
    assert [size(b) for b in (473e6, 8.53e9, 79.4e9)] == ["473 MB", "8.5 GB", "79 GB"]


def test_the_disk_of_a_search_is_for_all_its_networks_or_for_the_best_and_those_in_training() -> None:
    breeding = strategy("random", settings())
    best = Work(breeding, replace(PLAN, keep="best"), load(PLAN.data), UNRACED)
    each = search_bytes(best, 0)
    drawn = [draw(SPACE, np.random.default_rng(seed)).graph(SPACE) for seed in range(300)]
    assert each == pytest.approx(np.mean([forecast_bytes(graph, FAST) for graph in drawn]), rel=0.3)
    assert search_bytes(best, 3) == pytest.approx(4 * each, abs=4)
    assert search_bytes(replace(best, plan=PLAN), 3) == pytest.approx(breeding.total * each, abs=breeding.total)


# Places


def placed(asked: list[str], devices: list[str], workers: int | None, each: str | None) -> tuple[list[str], int]:
    """Place workers that take 100 bytes; `asked` notes of which devices that was asked."""

    def need(device: str) -> int:
        asked.append(device)
        return 100

    return placement(devices, workers, each, "fp32", need)


@pytest.mark.parametrize(("workers", "each"), [(7, None), (None, "3")])
def test_workers_are_admitted_as_long_as_they_fit(
    workers: int | None, each: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    devices = ["cuda:0", "cpu"]
    monkeypatch.setattr(placing, "free_bytes", lambda device: 400 if device == "cuda:0" else 300)
    asked = list[str]()
    expected = (devices, 7) if workers else (["cuda:0"] * 3 + ["cpu"] * 3, 6)
    assert placed(asked, devices, workers, each) == expected
    assert sorted(asked) == ["cpu", "cuda:0"]
    monkeypatch.setattr(placing, "free_bytes", lambda device: 400 if device == "cuda:0" else 299)
    flag = "--workers" if workers else "--workers-per-device"
    with pytest.raises(BadInput, match=rf"^{flag}: 3 workers on cpu need about 300 bytes .* at most 2 there$"):
        placed([], devices, workers, each)


def test_memory_is_asked_for_only_where_a_device_may_get_more_than_one_worker(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(placing, "free_bytes", lambda device: 0)
    asked = list[str]()
    assert placed(asked, ["cuda:0", "cuda:1"], None, None) == (["cuda:0", "cuda:1"], 2)
    assert asked == []


def test_automatic_workers_are_no_more_than_fit_on_a_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joblib, "cpu_count", lambda: 64)
    monkeypatch.setattr(placing, "free_bytes", lambda device: 550)
    automatic = partial(placed, [], ["cpu"], None)
    assert automatic("auto") == (["cpu"] * 5, 5)


@pytest.mark.parametrize(("free", "count"), [(550, 5), (6400, 64), (0, 1)])
def test_by_default_there_are_as_many_workers_as_fit_which_is_said(
    free: int, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(joblib, "cpu_count", lambda: 64)
    monkeypatch.setattr(placing, "free_bytes", lambda device: free)
    said = list[str]()
    assert placement(["cpu"], None, None, "fp32", lambda device: 100, said.append) == (["cpu"], count)
    line = (
        f"{count} of 64 cores get a worker: each needs about 100 bytes for networks of median cost, and {free:,} are"
    )
    assert said == ([] if count == 64 else [f"{line} free"])
