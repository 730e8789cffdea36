"""What a configuration becomes: a strategy, images, workers, and the run folder opened for a session."""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from cgp.families import family
from evaluate.data import Data, load
from evaluate.executors import await_ready, device_names, local_slots
from evaluate.fitness import objectives
from evaluate.placement import placement
from evaluate.pool import Pool, Usage
from evaluate.probe import probe_precision, refuse_emulation, resolve_precision
from evaluate.step import refuse_graphs
from evaluate.worker import evaluate
from populations.config import Config
from populations.folder import create_next_run, create_run, note_session, read_json, write_json
from populations.forecast import dry_run, first_profile, foretell, search_bytes, worker_bytes
from populations.racing import Race, rungs_of
from populations.record import Candidate
from populations.recorded import refuse_other_images
from populations.schedule import Schedule
from populations.screen import Screen
from populations.store import Plan, Store
from populations.strategies import FinalRanking, Settings, Strategy, Sweep, strategy


class Composed(NamedTuple):
    """What a search is made of before it has workers."""

    devices: list[str]
    breeding: Strategy
    plan: Plan
    data: Data
    race: Race | None

    def placement(self, config: Config, say: Callable[[str], None]) -> tuple[list[str], int]:
        """Return the device of each place and the number of workers, and `say` where there is room for fewer.

        Raises BadInput where those asked for find none.
        """
        asked = (config.workers, config.workers_per_device, self.plan.recipe.precision)
        return placement(self.devices, *asked, partial(worker_bytes, self.breeding, self.plan, self.data), say)


class Opened(NamedTuple):
    """What the loop of a search drives."""

    breeding: Strategy
    schedule: Schedule
    pool: Pool
    store: Store


def compose(config: Config, screen: Screen, asked: Sequence[Candidate] = ()) -> Composed:
    """Return what breeds, what every job has in common, and the images, or raise BadInput.

    It is raised for a run that is resumed on other images, too. Where candidates are `asked` for, nothing is bred.
    """
    devices, recipe, spec = device_names(config.devices), config.recipe(), config.data()
    refuse_emulation(recipe.precision, devices)
    refuse_graphs(recipe, devices)
    goals = objectives(config.objectives)
    data = load(spec, config.download)
    if config.resume:
        recorded = read_json(config.resume / "config.json")
        refuse_other_images(recorded, data.fingerprint, config.resume, f"--resume {config.resume}")
    space = config.space(data.shape, len(data.classes))
    recipe = dataclasses.replace(recipe, precision=resolve_precision(recipe.precision, *devices))
    sizes = (config.population, config.offspring, config.generations)
    settings = Settings(space, goals, config.seed, *sizes, config.mutation_rate, config.deterministic)
    plan = Plan(
        space,
        recipe,
        spec,
        config.seed,
        not config.re_evaluate,
        config.keep,
        config.inherit,
        data.fingerprint,
        config.family,
    )
    breeding = _breeding(config, settings, data, asked)
    raced = config.racing and not isinstance(breeding, Sweep)
    rungs = rungs_of(config.rungs, recipe) if raced else ()
    screen.images(config.dataset, *(len(data.splits[name]) for name in ("train", "validation")))
    return Composed(devices, breeding, plan, data, Race(rungs, config.population) if rungs else None)


def _breeding(config: Config, settings: Settings, data: Data, asked: Sequence[Candidate]) -> Strategy:
    if asked:
        return Sweep(settings, asked)
    if config.family:
        known = family(config.family, data.shape, len(data.classes)).values()
        return Sweep(settings, [Candidate(n, 0, None, None, graph) for n, graph in enumerate(known)])
    breeding = strategy(config.strategy, settings)
    return FinalRanking(breeding) if config.inherit else breeding


def preview(config: Config, screen: Screen) -> str:
    """Return what `--profile` or `--dry-run` shows."""
    made = compose(config, screen)
    if config.profile:
        return first_profile(made.breeding, made.plan, made.data, made.devices[0])
    _, workers = made.placement(config, screen.line)
    return dry_run(made.breeding, made.plan, made.data, made.race, made.devices[0], workers)


@contextlib.contextmanager
def opened(config: Config, screen: Screen, asked: Sequence[Candidate] = ()) -> Iterator[Opened]:
    """Start the workers, forecast the search and open its run; in the end stop them and close it.

    Where candidates are `asked` for, their jobs are written to the run at once and no search goes on.
    Raises BadInput where one of these cannot be.
    """
    made = compose(config, screen, asked)
    breeding, plan, data = made.breeding, made.plan, made.data
    places, workers = made.placement(config, screen.line)
    screen.doing(f"starting {workers} worker{'s' * (workers > 1)}, which time a few training steps")
    slots = local_slots(places, workers)
    with Pool(slots, evaluate, config.timeout, screen.line) as pool:
        found = [one | {"precision": plan.recipe.precision} for one in await_ready(slots)]
        forecast = foretell(breeding, plan, data, made.race, slots)
        store = open_session(config, plan, data, found, pool.usage())
        try:
            store.enter(asked)
            screen.slots([(slot.name, one) for slot, one in zip(slots, found, strict=True)])
            screen.begin(breeding.total)
            wanted = search_bytes(breeding, plan, len(slots))
            screen.folder(store.folder, wanted, str(forecast) if forecast else None)
            if forecast and forecast.warning:
                screen.line(forecast.warning)
            yield Opened(breeding, Schedule(made.race, forecast.cost if forecast else None), pool, store)
        finally:
            store.end()


def open_session(config: Config, plan: Plan, data: Data, workers: list[dict[str, Any]], startup: Usage) -> Store:
    """Create the run, or go on with one, and note what this session runs with: `workers`, up after `startup`.

    Raises BadInput where the folder is taken or cannot be written.
    """
    decided = {"max_flops": plan.space.max_flops or 0, "data_fingerprint": data.fingerprint}
    resolved = config.resolved(plan.recipe) | decided
    if config.resume:
        store = Store(config.resume, plan)
        write_json(store.folder / "config.json", resolved)  # more generations, say
    else:
        if config.run is not None:
            lock = create_run(Path(config.run), resolved)
        else:
            lock = create_next_run(Path("runs"), config.dataset, resolved)
        store = Store(lock.folder, plan, lock)
    store.note_usage(startup)
    automatic = config.recipe().precision == "auto"
    probe = probe_precision(tuple(device_names(config.devices))).milliseconds if automatic else {}
    note_session(store.folder, config.seed, workers, probe)
    return store
