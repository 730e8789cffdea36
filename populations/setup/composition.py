"""What a configuration becomes: a strategy, images, workers, and the run folder opened for a session."""

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from cgp.families import family
from cgp.graph import Graph
from cgp.model import Model
from evaluate.data.preprocessing import restore, whitening_of
from evaluate.data.splits import Data, load
from evaluate.foreign import Foreign
from evaluate.job import PREPROCESSINGS, Goal, Measure, Recipe, Train
from evaluate.measures.goals import try_out
from evaluate.metrics import goals_of, objectives, sealed
from evaluate.pool.executors import await_ready
from evaluate.pool.pool import Pool
from evaluate.pool.usage import Usage
from evaluate.worker import evaluate
from populations.record import Candidate
from populations.run_folder.folder import create_next_run, create_run, note_session, read_json, write_json
from populations.run_folder.store import Plan, Store
from populations.search.racing import Race, rungs_of
from populations.search.rung_scores import RUNG_SCORES
from populations.search.schedule import Schedule
from populations.setup.beginning import network_of
from populations.setup.config import Config
from populations.setup.forecast import (
    Work,
    dry_run,
    first_profile,
    foretell,
    refuse_limit,
    search_bytes,
    worker_bytes,
)
from populations.setup.recorded import CODE, networks_of, refuse_other_code, refuse_other_images
from populations.setup.workplace import Workplace, workplace
from populations.strategies import Confirmation, FinalRanking, Settings, Strategy, Sweep, strategy
from populations.terminal.screen import Screen


class Composed(NamedTuple):
    """What a search is made of before it has workers."""

    place: Workplace
    plan: Plan
    work: Work  #: what is to be trained; its plan has the recipe of what is asked for, where that has its own
    milliseconds: dict[str, float]  #: of a training step, by which the precision was chosen; empty without a choice

    def need(self, device: str) -> int:
        """Predict the bytes of a worker on `device`."""
        return worker_bytes(self.work, device)


class Opened(NamedTuple):
    """What the loop of a search drives."""

    breeding: Strategy
    schedule: Schedule
    pool: Pool
    store: Store


def compose(config: Config, screen: Screen, place: Workplace, asked: Sequence[Candidate] = ()) -> Composed:
    """Return what breeds, what every job has in common, and the images, or raise BadInput.

    It is raised for a run that is resumed on other images, too. Where candidates are `asked` for, nothing is bred.
    """
    recipe, spec, evolution = config.recipe(), config.data(), config.evolution
    place.refuse(_asked_recipe(asked) or recipe)
    goals = objectives(evolution.objectives)
    measuring = () if asked else sealed(goals_of(goals))
    data = load(spec, config.evaluation.download)
    if config.resume:
        recorded = read_json(config.resume / "config.json")
        refuse_other_images(recorded, data.fingerprint, config.resume, f"--resume {config.resume}")
        refuse_other_code(recorded, _digests(measuring), config.resume)
        restore(data, config.resume)
    if PREPROCESSINGS[spec.preprocess].whitened:
        screen.doing("whitening the training images")
        whitening_of(data)  # before there are workers, which all read it
    space = config.space_for(data.shape, len(data.classes))
    precision, milliseconds = place.precision(recipe.precision)
    recipe = dataclasses.replace(recipe, precision=precision)
    population, offspring = evolution.sizes
    sizes = (population, offspring, evolution.generations)
    settings = Settings(space, goals, evolution.seed, *sizes, evolution.mutation_rate, evolution.deterministic)
    plan = Plan(
        space,
        recipe,
        spec,
        evolution.seed,
        not evolution.re_evaluate,
        config.run.keep,
        evolution.inherit,
        data.fingerprint,
        networks_of(config.values),
        config.start(),
        measuring,
        config.run.keep_epochs,
    )
    breeding = Sweep(settings, asked) if asked else _breeding(config, settings, data, plan)
    if not (asked or config.resume):
        for said in try_out(measuring, breeding.sample(1)[0], data):
            screen.line(f"{said}: on an untrained network; one on which it does fails")
    raced = evolution.racing and not asked and not evolution.family and not config.weights_file
    rungs = rungs_of(evolution.rungs, recipe) if raced else ()
    race = Race(rungs, population, RUNG_SCORES[evolution.rung_score])
    screen.images(spec.name, *(len(data.splits[name]) for name in ("train", "validation")))
    if own := _asked_recipe(asked):
        own = dataclasses.replace(own, precision=place.precision(own.precision)[0])
    trained = dataclasses.replace(plan, recipe=own or recipe)
    work = Work(breeding, trained, data, race)
    if trained.recipe.memory_limit:
        refuse_limit(work)
    return Composed(place, plan, work, milliseconds)


def _asked_recipe(asked: Sequence[Candidate]) -> Recipe | None:
    """Return by what recipe of its own the first of what is `asked` for is trained; None for that of the run."""
    return next((candidate.task.recipe for candidate in asked if isinstance(candidate.task, Train)), None)


def _digests(goals: Sequence[Goal]) -> dict[str, str]:
    """Return the digest of each file of the user's, by the metric that it gives."""
    return {goal.name: goal.digest for goal in goals if isinstance(goal, Foreign)}


def _breeding(config: Config, settings: Settings, data: Data, plan: Plan) -> Strategy:
    evolution = config.evolution
    if config.weights_file:
        graph = network_of(config.weights_file, config, data)
        breeding: Strategy = Sweep(settings, [Candidate(0, 0, None, None, graph)])
    elif evolution.family:
        options = config.family_options()
        known = [
            _with_epsilon(model, config.space.norm_epsilon)
            for model in family(evolution.family, data.shape, len(data.classes), **options).values()
        ]
        breeding = Sweep(settings, [Candidate(n, 0, None, None, graph) for n, graph in enumerate(known)])
    else:
        breeding = strategy(evolution.strategy, settings)
    if evolution.inherit:
        breeding = FinalRanking(breeding)
    if evolution.confirm:
        breeding = Confirmation(breeding, evolution.confirm, plan.recipe, plan.data, plan.goals)
    return breeding


def _with_epsilon(model: Model, epsilon: float | None) -> Model:
    """Return `model` with what its batch normalisation adds to a variance; None: as its family has it."""
    if epsilon is None or not isinstance(model, Graph):
        return model
    return dataclasses.replace(model, norm_epsilon=epsilon)


def preview(config: Config, screen: Screen) -> str:
    """Return what `--profile` or `--dry-run` shows."""
    with workplace(config, screen) as place:
        made = compose(config, screen, place)
        if config.profile:
            return first_profile(made.work, place.devices[0])
        _, workers = place.workers(config, made.plan.recipe.precision, made.need, screen)
        return dry_run(made.work, place.devices[0], workers)


@contextlib.contextmanager
def opened(config: Config, screen: Screen, asked: Sequence[Candidate] = ()) -> Iterator[Opened]:
    """Start the workers, forecast the search and open its run; in the end stop them and close it.

    Where candidates are `asked` for, their jobs are written to the run at once and no search goes on.
    Raises BadInput where one of these cannot be.
    """
    with workplace(config, screen) as place:
        made = compose(config, screen, place, asked)
        work, precision = made.work, made.work.plan.recipe.precision
        timeout = None if asked else config.resources.timeout  # the run's deadline is for its own trainings
        slots = place.slots(config, precision, made.need, screen)
        with Pool(slots, evaluate, timeout, screen.line, place.cluster) as pool:
            found = [one | {"precision": precision} for one in await_ready(slots)]
            trains = not asked or not all(isinstance(candidate.task, Measure) for candidate in asked)
            forecast = foretell(work, slots) if trains else None
            store = open_session(config, made, found, pool.usage(), bool(asked))
            try:
                if place.cluster:
                    place.cluster.look_in(store.folder.absolute())
                store.enter(asked)
                screen.slots([(slot.name, one) for slot, one in zip(slots, found, strict=True)])
                screen.begin(work.strategy.total, bar=config.resources.executor != "serial")
                if trains:
                    wanted = search_bytes(work, len(slots))
                    screen.folder(store.folder, wanted, str(forecast) if forecast else None)
                if forecast and forecast.warning:
                    screen.line(forecast.warning)
                yield Opened(work.strategy, Schedule(work.race, forecast.cost if forecast else None), pool, store)
            finally:
                store.end()


def open_session(
    config: Config, made: Composed, workers: list[dict[str, Any]], startup: Usage, aside: bool = False
) -> Store:
    """Create the run, or go on with one, and note what this session runs with: `workers`, up after `startup`.

    What is asked of a run `aside` from its search leaves it asked for what it was. Raises BadInput where the folder
    is taken or cannot be written.
    """
    plan = made.plan
    decided: dict[str, Any] = {
        "max_flops": plan.space.max_flops or 0,
        "data_fingerprint": made.work.data.fingerprint,
    }
    if code := _digests(plan.goals):
        decided[CODE] = code
    resolved = config.resolved(plan.recipe) | decided
    if config.resume:
        store = Store(config.resume, plan)
        if not aside:
            write_json(store.folder / "config.json", resolved)  # more generations, say
    else:
        if config.run.run is not None:
            lock = create_run(Path(config.run.run), resolved)
        else:
            lock = create_next_run(Path("runs"), config.evaluation.dataset, resolved)
        store = Store(lock.folder, plan, lock)
    if config.weights_file:
        store.keep_start(config.weights_file)
    whitening = whitening_of(made.work.data)
    if whitening is not None:
        store.keep_whitening(whitening.numpy())
    store.note_usage(startup)
    note_session(store.folder, plan.seed, workers, made.milliseconds)
    return store
