"""Search for convolutional networks by evolution: command line, composition, and the loop.

A genome becomes a network in two calls: `evaluate(job)` (evaluate/worker.py) calls `build(graph)`
(cgp/network.py).
"""

import dataclasses
import errno
import os
import signal
import sqlite3
import sys
from collections.abc import Iterator, Sequence
from functools import partial


def leave(*_: object) -> None:
    """End at once, in one line."""
    os.write(2, b"evolve.py: stopped\n")
    os._exit(130)


if __name__ == "__main__":  # the imports take seconds, in which no exception is sure to get through
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, leave)

from cgp.errors import BadInput
from evaluate.data import Data, load
from evaluate.executors import await_ready, device_names, local_slots
from evaluate.fitness import objectives
from evaluate.forkserver import prepare
from evaluate.job import Job, Result
from evaluate.placement import placement
from evaluate.pool import NoSlotLeft, Pool
from evaluate.probe import refuse_emulation, resolve_precision
from evaluate.step import refuse_graphs
from evaluate.worker import evaluate
from populations.config import Config, parse
from populations.forecast import dry_run, first_profile, search_bytes, worker_bytes
from populations.racing import Race, rungs_of
from populations.schedule import Schedule
from populations.screen import Screen, interpreter
from populations.session import open_session
from populations.stop import Stop, Stopped, stop_at_once
from populations.store import Plan, Store
from populations.strategies import FinalRanking, Settings, Strategy, strategy


def search(breeding: Strategy, schedule: Schedule, pool: Pool, store: Store, screen: Screen) -> bool:
    """Ask, train, tell, until `breeding` is done (True) or the user stops (False)."""
    stop = Stop(store)
    while not breeding.done and not (stop.asked and not pool.busy):
        for candidate in schedule.longest_first([] if stop.asked else breeding.ask(pool.free - len(schedule))):
            if job := store.open(candidate):  # written before it is sent
                schedule.add(job)
                fill(pool, schedule, stop)  # before the rest is written
        # A training that pauses at a rung has not ended yet.
        ended = [(job, final) for job, result in settled(pool, store) if (final := schedule.end(job, result))]
        ended += schedule.prunings()
        fill(pool, schedule, stop)  # before results are written: no slot waits for that
        store.note_usage(pool.usage())  # on the disk with the results that follow
        for job, result in ended:
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


def fill(pool: Pool, schedule: Schedule, stop: Stop) -> None:
    """Send what waits to the free slots, unless the user has asked to stop."""
    while schedule and pool.free and not stop.asked:
        pool.submit(schedule.pop())


def retry_failed(pool: Pool, store: Store) -> None:
    """Train again, before the search goes on, what did not end ok in finished generations."""
    jobs, stop = store.retry_failed(), Stop(store)
    while (jobs and not stop.asked) or pool.busy:
        while jobs and pool.free and not stop.asked:
            pool.submit(jobs.pop())
        ended = list(settled(pool, store))
        store.note_usage(pool.usage())
        for job, result in ended:
            store.close_retry(job, result)


def settled(pool: Pool, store: Store) -> Iterator[tuple[Job, Result]]:
    """Yield jobs that ended. One that was stopped, by the user, a full disk or the last slot, stays open."""
    try:
        ended = pool.settle(0) if store.has_news else pool.settle()
    except NoSlotLeft as error:
        raise BadInput(
            f"--devices: no slot is left: {error}; check the devices, then --resume {store.folder}"
        ) from error
    for job, result in ended:
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
    space = config.space(data.shape, len(data.classes))
    recipe = dataclasses.replace(recipe, precision=resolve_precision(recipe.precision, *devices))
    sizes = (config.population, config.offspring, config.generations)
    settings = Settings(space, goals, config.seed, *sizes, config.mutation_rate, config.deterministic)
    plan = Plan(space, recipe, spec, config.seed, not config.re_evaluate, config.keep, config.inherit)
    breeding = strategy(config.strategy, settings)
    return FinalRanking(breeding) if config.inherit else breeding, plan, data


def run(config: Config) -> int:
    """Run the search that `config` asks for and return the exit code."""
    devices = device_names(config.devices)
    breeding, plan, data = compose(config, devices)
    rungs = rungs_of(config.rungs, plan.recipe) if config.racing else ()
    if config.dry_run or config.profile:
        shown = partial(dry_run, rungs=rungs) if config.dry_run else first_profile
        print(shown(breeding, plan, data, devices[0]))
        return 0
    asked = (config.workers, config.workers_per_device, plan.recipe.precision)
    prepare()
    slots = local_slots(*placement(devices, *asked, partial(worker_bytes, plan, data), print))
    with Screen(breeding.total) as screen, Pool(slots, evaluate, config.timeout, screen.line) as pool:
        workers = [found | {"precision": plan.recipe.precision} for found in await_ready(slots)]
        store = open_session(config, plan, data, workers, pool.usage())
        screen.slots([(slot.name, worker) for slot, worker in zip(slots, workers, strict=True)])
        screen.folder(store.folder, search_bytes(breeding, plan, len(slots)))
        if config.retry_failed:
            retry_failed(pool, store)
        if breeding.heeds_arrival:
            breeding.recall(store.journal.history())
        finished = search(breeding, Schedule(Race(rungs, config.population) if rungs else None), pool, store, screen)
        store.end()
        if finished:
            screen.end(store.folder, breeding)
            return 0
        screen.line(f"stopped; go on with: {interpreter()} evolve.py --resume {store.folder}")
        return 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; 0: done, 2: bad input or disk (one line on stderr), 130: stopped."""
    stop_at_once()
    try:
        return run(parse(sys.argv[1:] if argv is None else argv))
    except BadInput as error:
        print(f"evolve.py: error: {error}", file=sys.stderr)
    except (OSError, sqlite3.OperationalError) as error:
        disk = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES)
        if getattr(error, "errno", None) not in disk and "disk" not in str(error):
            raise
        print(f"evolve.py: error: cannot write: {error}; free some space, then --resume", file=sys.stderr)
    except Stopped as stopped:
        again = f"at once; go on with: {interpreter()} evolve.py --resume {stopped.folder}"
        print(f"stopped {again if stopped.folder else 'before the search began'}", file=sys.stderr)
        return 130
    return 2


if __name__ == "__main__":
    sys.exit(main())
