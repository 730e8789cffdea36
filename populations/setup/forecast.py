"""Before a search begins: a drawn population as a table, and what the whole will cost."""

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import median

import pandas as pd

from cgp.errors import BadInput
from cgp.model import Model
from evaluate.data.splits import Data
from evaluate.devices.numerics import EVALUATION_BATCH, Numerics
from evaluate.devices.place import settle_process
from evaluate.devices.probe import remembered
from evaluate.memory.chunks import chunk_of, chunk_tried
from evaluate.memory.footprint import PROCESS_BYTES, predicted_bytes
from evaluate.pool.slot import Slot
from evaluate.training.forecast import Sample, TimedStep, forecast_bytes, time_steps
from evaluate.training.profile import profile
from evaluate.training.train import Setting
from populations.run_folder.store import Plan
from populations.search.cost import CostModel, Point, fit
from populations.search.racing import Race, expected_epochs, passing_share
from populations.strategies import Strategy
from populations.terminal.spoken import between, duration, size

_SAMPLE = 32  # draws that stand for a whole search
_MARGIN = 2  # on a CPU a training's resident memory was 1.0 to 1.8 times the prediction (7 networks, sgd, adam)
_ALONE, _EACH = 4, 3  # models that a dry run times, and that each worker of a search times beside the others
_TIMING_S, _PATIENCE_S = 3.0, 60.0  # that timing should take, and may take where one step is long
FORWARD = 1 / 3  # of a training step's time is the forward pass, all that validation takes
_LOW, _HIGH = 0.8, 1.8  # of the forecast; searches of four kinds took 0.9 to 1.5 times their forecast in CPU time
_LONG = 0.1  # share of a search's time from which one network is worth a warning, ...
_UNLIKE = 3  # ... where it takes so many times as long as the average one


@dataclass(frozen=True)
class Work:
    """What is to be trained."""

    strategy: Strategy
    plan: Plan
    data: Data
    race: Race

    @cached_property
    def sample(self) -> list[Model]:
        """Networks that stand for all of it."""
        return self.strategy.sample(_SAMPLE)


@dataclass(frozen=True)
class Forecast:
    """What a search is expected to take, before it begins."""

    cost: CostModel
    sample: Sequence[Model]  #: draws that stand for its networks
    epochs: int  #: of a training that runs to its end
    expected: float  #: epochs of all trainings together, with what a race ends early
    workers: int
    untold: tuple[str, ...] = ()  #: objectives that are measured of trained networks, in time not counted here

    @property
    def seconds(self) -> float:
        """Wall time, where no slot ever waits and no model is met twice."""
        return self.expected * self._mean / self.workers

    @property
    def _mean(self) -> float:
        return sum(map(self.epoch, self.sample)) / len(self.sample)

    def epoch(self, model: Model) -> float:
        """Return the seconds that an epoch of `model` takes in a slot, with its share of what is no training."""
        return self.cost.expected(model) * self.cost.overhead

    def __str__(self) -> str:
        """Say the time, as a range, and what is not in it."""
        beside = f" and the measuring of {', '.join(self.untold)}" if self.untold else ""
        return f"about {between(_LOW * self.seconds, _HIGH * self.seconds)}{beside}"

    @property
    def warning(self) -> str | None:
        """Two lines that say so where a single network would take much of the search's time; else None."""
        taken = max(map(self.epoch, self.sample)) * self.epochs
        share = taken / max(1e-9, self.seconds * self.workers)
        if share <= _LONG or taken <= _UNLIKE * self._mean * self.epochs:
            return None
        twice = 2 * median(model.flops for model in self.sample)
        return (
            f"the slowest of {len(self.sample)} draws trains for about {duration(taken)}, "
            f"{share:.0%} of all training\n"
            f"(--max-flops {float(f'{twice:.1e}'):.0f} leaves such networks out)"
        )


def foretell(work: Work, slots: Sequence[Slot]) -> Forecast | None:
    """Let the workers time training steps and return what `work` is expected to take.

    They do so at once, each with some of the models: so they are as slow as they will be beside each other.
    None where one of them fails at it, which the search will meet in its own time.
    """
    parts = _parts(work.sample, len(slots), _EACH)
    asked = [_to_time(part, work, slot.device) for part, slot in zip(parts, slots, strict=True)]
    try:
        futures = [slot.submit(time_steps, one) for slot, one in zip(slots, asked, strict=True)]
        timed = [step for future in futures for step in future.result(_PATIENCE_S)]
    except (RuntimeError, TimeoutError):
        return None
    return _forecast(work, timed, len(slots))


def _to_time(models: tuple[Model, ...], work: Work, device: str) -> Sample:
    return Sample(models, work.plan.recipe, len(work.data.splits["train"]), device.partition(":")[0], _TIMING_S)


def _forecast(work: Work, timed: Sequence[TimedStep], workers: int) -> Forecast:
    strategy, race = work.strategy, work.race
    share = passing_share(strategy.total, race.window)
    epochs = work.plan.recipe.epochs
    each = expected_epochs(race.rungs, epochs, share)
    stretches = sum(share**n for n in range(len(race.rungs) + 1))
    cost = _cost_model(work, timed, stretches / each)
    expected = (strategy.total - strategy.unraced) * each + strategy.unraced_work * epochs
    untold = tuple(goal.name for goal in strategy.settings.objectives if goal.by is not None)
    return Forecast(cost, work.sample, epochs, expected, workers, untold)


def _parts(sample: Sequence[Model], workers: int, each: int) -> list[tuple[Model, ...]]:
    """Return `each` models for each of `workers`, cheapest first, who together cover the range of costs evenly."""
    ranked = sorted(sample, key=lambda model: model.flops)
    places = [[(part + (worker + 0.5) / workers) / each for part in range(each)] for worker in range(workers)]
    return [tuple(ranked[int(place * len(ranked))] for place in mine) for mine in places]


def _cost_model(work: Work, timed: Sequence[TimedStep], starts: float) -> CostModel:
    """Return the cost model of an epoch that follows from timed steps; a training starts `starts` times an epoch."""
    points = [Point(t.model.flops * t.batch / 1e9, t.model.conv_layers, t.seconds) for t in timed]
    per_gflop, per_layer = fit(points)
    train, validation = (len(work.data.splits[name]) for name in ("train", "validation"))
    batch = work.plan.recipe.batch(train)
    images = train // batch * batch + FORWARD * validation
    steps = train // batch + FORWARD * validation / EVALUATION_BATCH
    foretold = [
        Point(g.flops / 1e9, g.conv_layers, per_gflop * g.flops / 1e9 * images + per_layer * g.conv_layers * steps)
        for g in work.sample
    ]
    startup = sum(t.startup for t in timed) / len(timed)
    epoch = sum(point.seconds for point in foretold) / len(foretold)
    return CostModel(foretold, 1 + starts * startup / epoch)


def population_table(strategy: Strategy, plan: Plan, forecast: Forecast) -> pd.DataFrame:
    """Return generation 0 as it would be drawn: depth, costs, seconds of a whole training and MB forecast for each.

    Asks `strategy`, which is then no longer fresh.
    """
    models = [candidate.model for candidate in strategy.ask(strategy.size(0))]
    return pd.DataFrame(
        {
            "depth": [model.depth for model in models],
            "conv_layers": [model.conv_layers for model in models],
            "params": [model.params for model in models],
            "mflops": [round(model.flops / 1e6, 1) for model in models],
            "receptive_field": [model.receptive_field for model in models],
            "seconds": [round(forecast.epoch(model) * forecast.epochs, 1) for model in models],
            "mbytes": [round(forecast_bytes(model, plan.recipe, plan.keep_epochs) / 1e6, 1) for model in models],
        }
    )


def dry_run(work: Work, device: str, workers: int) -> str:
    """Return the table, what the search would cost with `workers`, and which blocks the limits turned away.

    The table's seconds are of whole trainings, as a worker would take them.
    """
    settle_process(device)
    strategy, timed = work.strategy, time_steps(_to_time(_parts(work.sample, 1, _ALONE)[0], work, device))
    forecast = _forecast(work, timed, workers)
    table = population_table(strategy, work.plan, forecast)
    lines = [
        f"{table.to_string(index=False)}\n",
        f"{strategy.total} networks, {forecast} on {workers} worker{'s' * (workers > 1)}, "
        f"{size(search_bytes(work, workers))} of checkpoints",
        f"block genes turned away by limits: {dict(strategy.turned_away)}",
    ]
    return "\n".join(lines + ([forecast.warning] if forecast.warning else []))


def first_profile(work: Work, device: str) -> str:
    """Train the first network that would be drawn for one epoch, as a worker does; return where time went."""
    plan, kind = work.plan, device.partition(":")[0]
    precision = plan.recipe.precision
    settle_process(device)
    model = work.strategy.ask(1)[0].model
    chunk = chunk_tried(model, plan.recipe)
    found = profile(model, work.data, Setting(plan.recipe, plan.seed, Numerics(kind, precision), chunk=chunk))
    return f"depth {model.depth}, {model.params:,} parameters, {model.flops:,} FLOPs, {kind}, {precision}\n\n{found}"


def search_bytes(work: Work, workers: int) -> int:
    """Estimate the bytes of all checkpoints from draws of the space; evolved networks may differ.

    With `--keep best` only the best network's and those in training lie on disk.
    """
    sample, plan = work.sample, work.plan
    mean = sum(forecast_bytes(model, plan.recipe, plan.keep_epochs) for model in sample) / len(sample)
    return round(mean * (work.strategy.total if plan.keep == "all" else workers + 1))


def worker_bytes(work: Work, device: str) -> int:
    """Predict the bytes of a worker that trains the median network, by FLOPs, of those to be expected."""
    sample = sorted(work.sample, key=lambda model: model.flops)
    median, recipe = sample[len(sample) // 2], work.plan.recipe.fitted(len(work.data.splits["train"]))
    kind = device.partition(":")[0]
    images = work.data.images.nbytes if kind == "cuda" else 0  # on a CPU all workers share their pages
    asked = {"model": median.id, "recipe": dataclasses.asdict(recipe)}
    # Remembered, since torch takes two seconds to import what predicts.
    found = remembered("cpu", asked, lambda: {"bytes": predicted_bytes(median, recipe)})
    limit = recipe.memory_limit * 2**20 or math.inf
    return PROCESS_BYTES[kind] + images + _MARGIN * int(min(found["bytes"], limit))


def refuse_limit(work: Work) -> None:
    """Raise BadInput where `--memory-limit` leaves no room even for the cheapest of the networks to be expected."""
    cheapest = min(work.sample, key=lambda model: model.flops)
    try:
        chunk_of(cheapest, work.plan.recipe)
    except MemoryError as error:
        raise BadInput(f"{error}, even for the cheapest of {len(work.sample)} networks; expected more") from error
