"""What a configuration becomes: a strategy, images, and the run folder opened for a session."""

import dataclasses
from pathlib import Path
from typing import Any

from evaluate.data import Data, load
from evaluate.executors import device_names
from evaluate.fitness import objectives
from evaluate.pool import Usage
from evaluate.probe import probe_precision, refuse_emulation, resolve_precision
from evaluate.step import refuse_graphs
from populations.config import Config
from populations.folder import create_next_run, create_run, note_session, read_json, write_json
from populations.recorded import refuse_other_images
from populations.store import Plan, Store
from populations.strategies import FinalRanking, Settings, Strategy, strategy


def compose(config: Config, devices: list[str]) -> tuple[Strategy, Plan, Data]:
    """Return what breeds, what every job has in common, and the images, or raise BadInput.

    It is raised for a run that is resumed on other images, too.
    """
    recipe, spec = config.recipe(), config.data()
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
        space, recipe, spec, config.seed, not config.re_evaluate, config.keep, config.inherit, data.fingerprint
    )
    breeding = strategy(config.strategy, settings)
    return FinalRanking(breeding) if config.inherit else breeding, plan, data


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
