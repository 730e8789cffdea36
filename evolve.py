"""Search for convolutional networks by evolution: command line, composition, and the loop.

A genome becomes a network in two calls: `evaluate(job)` (evaluate/worker.py) calls `build(graph)`
(cgp/network.py).
"""

import dataclasses
import errno
import shutil
import signal
import sqlite3
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from types import FrameType

from cgp.errors import BadInput
from cgp.space import Space
from evaluate.data import Data, load
from evaluate.executors import await_ready, device_names, local_slots
from evaluate.fitness import objectives
from evaluate.job import Job, Result
from evaluate.numerics import Numerics
from evaluate.placement import placement
from evaluate.pool import Pool
from evaluate.probe import probe_precision, refuse_emulation, resolve_precision
from evaluate.profile import profile
from evaluate.step import refuse_graphs
from evaluate.train import Setting
from evaluate.worker import evaluate, settle_numerics
from populations.config import Config, parse
from populations.folder import create_run, next_run, note_session, renew_run
from populations.forecast import population_table, search_bytes, worker_bytes
from populations.racing import Race, rungs_of
from populations.schedule import Schedule
from populations.screen import Screen, interpreter
from populations.store import Plan, Store
from populations.strategies import FinalRanking, Settings, Strategy, strategy


class Stop:
    """Ctrl-C or SIGTERM: once, stop asking and let workers checkpoint; twice, at once."""

    def __init__(self, store: Store) -> None:
        """Take over both signals."""
        self.asked, self._file = False, store.stop_file
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._ask)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
        self._file.touch()


def search(breeding: Strategy, schedule: Schedule, pool: Pool, store: Store, screen: Screen) -> bool:
    """Ask, train, tell, until `breeding` is done (True) or the user stops (False)."""
    stop = Stop(store)
    while not breeding.done and not (stop.asked and not pool.busy):
        for candidate in [] if stop.asked else breeding.ask(pool.free - len(schedule)):
            if job := store.open(candidate):  # written before it is sent
                schedule.add(job)
        while schedule and pool.free and not stop.asked:
            pool.submit(schedule.pop())
        for job, result in settled(pool, store):
            if final := schedule.end(job, result):  # not so where it pauses at a rung
                store.close(job, final)
        for job, result in schedule.prunings():
            store.close(job, result)
        for record in store.news():  # from the pool, the journal or the cache
            schedule.hear(record)
            screen.told(record)
            for finished in breeding.tell(record):
                store.snapshot(finished)
                screen.generation(finished)
            store.set_best(breeding.best, record)
        screen.update(pool, breeding)
    return breeding.done


def retry_failed(pool: Pool, store: Store) -> None:
    """Train again, before the search goes on, what did not end ok in finished generations."""
    jobs = store.retry_failed()
    while jobs or pool.busy:
        while jobs and pool.free:
            pool.submit(jobs.pop())
        for job, result in settled(pool, store):
            store.close_retry(job, result)


def settled(pool: Pool, store: Store) -> Iterator[tuple[Job, Result]]:
    """Yield jobs that ended. One that was stopped, by the user or a full disk, stays open in the journal."""
    pairs = pool.settle(0) if store.has_news else pool.settle()
    store.note_usage(pool.usage())  # on the disk with the results that follow
    for job, result in pairs:
        if result.status != "interrupted":
            yield job, result
        elif result.error:
            raise BadInput(f"{result.error}; free some space, then --resume {store.folder}")


def compose(config: Config, devices: list[str]) -> tuple[Strategy, Plan, Data]:
    """Return what breeds, what every job has in common, and the images, or raise BadInput."""
    recipe, spec = config.recipe(), config.data()
    refuse_emulation(recipe.precision, devices)
    refuse_graphs(recipe, devices)
    goals = objectives(config.objectives)
    data = load(spec, config.download)
    space = Space(
        config.function_set,
        config.num_min_depth,
        config.num_max_depth,
        data.shape,
        len(data.classes),
        config.levels_back,
        config.max_params,
        config.max_flops,
    )
    recipe = dataclasses.replace(recipe, precision=resolve_precision(recipe.precision, *devices))
    sizes = (config.population, config.offspring, config.generations)
    settings = Settings(space, goals, config.seed, *sizes, config.mutation_rate, config.deterministic)
    plan = Plan(space, recipe, spec, config.seed, not config.re_evaluate, config.keep, config.inherit)
    breeding = strategy(config.strategy, settings)
    return FinalRanking(breeding) if config.inherit else breeding, plan, data


def dry_run(breeding: Strategy, plan: Plan, data: Data, devices: list[str]) -> None:
    """Print generation 0 as it would be drawn and what the search would cost."""
    table = population_table(breeding, plan, data, devices[0])
    print(table.to_string(index=False))
    total = float(table["seconds"].mean()) * breeding.total
    print(
        f"\n{breeding.total} networks, about {total / 60:.0f} minutes on one worker, "
        f"{search_bytes(breeding, plan, 1) / 1e6:.0f} MB of checkpoints"
    )
    print(f"block genes turned away by limits: {dict(breeding.turned_away)}")


def show_profile(breeding: Strategy, plan: Plan, data: Data, device: str) -> None:
    """Train the first genome that would be drawn for one epoch, as a worker does, and print where time goes."""
    settle_numerics(device)
    graph, precision = breeding.ask(1)[0].graph, plan.recipe.precision
    print(f"depth {graph.depth}, {graph.params:,} parameters, {graph.flops:,} FLOPs, {device}, {precision}\n")
    print(profile(graph, data, Setting(plan.recipe, plan.seed, Numerics(device, precision))))


def run(config: Config) -> int:
    """Run the search that `config` asks for and return the exit code."""
    devices = device_names(config.devices)
    breeding, plan, data = compose(config, devices)
    rungs = rungs_of(config.rungs, plan.recipe) if config.racing else ()
    race = Race(rungs, config.population) if rungs else None
    if config.dry_run:
        dry_run(breeding, plan, data, devices)
        return 0
    if config.profile:
        show_profile(breeding, plan, data, devices[0].partition(":")[0])
        return 0
    asked = (config.workers, config.workers_per_device, plan.recipe.precision)
    slots = local_slots(*placement(devices, *asked, partial(worker_bytes, plan, data)))
    with Screen(breeding.total) as screen, Pool(slots, evaluate, config.timeout) as pool:
        workers = [found | {"precision": plan.recipe.precision} for found in await_ready(slots)]
        startup = pool.usage()
        folder = config.resume or Path(config.run or next_run(Path("runs"), config.dataset))
        resolved = config.resolved(plan.recipe) | {"data_fingerprint": data.fingerprint}
        if not config.resume:
            create_run(folder, resolved)
        store = Store(folder, plan)
        store.note_usage(startup)
        if config.resume:
            renew_run(folder, resolved)
        probe = probe_precision(tuple(devices)).milliseconds if config.recipe().precision == "auto" else {}
        note_session(folder, config.seed, workers, probe)
        screen.slots([(slot.name, worker) for slot, worker in zip(slots, workers, strict=True)])
        wanted, free = search_bytes(breeding, plan, len(slots)), shutil.disk_usage(folder).free
        screen.line(
            f"{folder}: {breeding.total} networks, about {wanted / 1e6:.0f} MB of checkpoints "
            f"({free / 1e9:.0f} GB free)"
        )
        if config.retry_failed:
            retry_failed(pool, store)
        if breeding.heeds_arrival:
            breeding.recall(store.journal.history())
        finished = search(breeding, Schedule(race), pool, store, screen)
        store.end()
        if finished:
            screen.end(folder, breeding)
            return 0
        screen.line(f"stopped; go on with: {interpreter()} evolve.py --resume {folder}")
        return 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; 0: done, 2: bad input or disk (one line on stderr), 130: stopped."""
    try:
        return run(parse(sys.argv[1:] if argv is None else argv))
    except BadInput as error:
        print(f"evolve.py: error: {error}", file=sys.stderr)
    except (OSError, sqlite3.OperationalError) as error:
        disk = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES)
        if getattr(error, "errno", None) not in disk and "disk" not in str(error):
            raise
        print(f"evolve.py: error: cannot write: {error}; free some space, then --resume", file=sys.stderr)
    except KeyboardInterrupt:
        print(f"stopped at once; go on with: {interpreter()} evolve.py --resume RUN", file=sys.stderr)
        return 130
    return 2


if __name__ == "__main__":
    sys.exit(main())
