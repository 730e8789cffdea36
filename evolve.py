"""Search for convolutional networks by evolution: command line, composition, and the loop.

A genome becomes a network in two calls: `evaluate(job)` (evaluate/worker.py) calls `build(graph)`
(cgp/network.py).
"""

import errno
import os
import signal
import sqlite3
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING


def leave_when_asked() -> None:
    """Let every signal to stop end this process at once, in one line: no exception is sure to get through imports."""

    def leave(*_: object) -> None:
        os.write(2, b"stopped before the search began\n")
        os._exit(130)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, leave)


if __name__ == "__main__":
    leave_when_asked()

from cgp.errors import BadInput
from evaluate.job import Job, Result
from evaluate.pool import NoSlotLeft, Pool
from populations.commands import program
from populations.config import Config, parse
from populations.outlook import Outlook
from populations.racing import Race, rungs_of
from populations.schedule import Schedule
from populations.screen import Screen
from populations.stop import Stop, Stopped, stop_at_once
from populations.strategies import Strategy

if TYPE_CHECKING:
    from populations.store import Store


def search(breeding: Strategy, schedule: Schedule, pool: Pool, store: "Store", screen: Screen) -> bool:
    """Ask, train, tell, until `breeding` is done (True) or the user stops (False)."""
    stop = Stop(store)
    outlook = Outlook(schedule, pool, breeding, store.plan.recipe.epochs)
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
        screen.ended(len(ended))
        for record in store.news():  # from the pool, the journal or the cache
            schedule.hear(record)
            screen.told(record)
            for finished in breeding.tell(record):
                store.snapshot(finished)
                screen.generation(finished)
            store.set_best(breeding.best, record)
        if stop.asked:
            screen.stopping()
        screen.update(pool, breeding, outlook)
    return breeding.done


def fill(pool: Pool, schedule: Schedule, stop: Stop) -> None:
    """Send what waits to the free slots, unless the user has asked to stop."""
    while schedule and pool.free and not stop.asked:
        pool.submit(schedule.pop())


def retry_failed(pool: Pool, store: "Store", screen: Screen) -> None:
    """Train again, before the search goes on, what did not end ok in finished generations."""
    jobs, stop = store.retry_failed(), Stop(store)
    while (jobs and not stop.asked) or pool.busy:
        while jobs and pool.free and not stop.asked:
            pool.submit(jobs.pop())
        ended = list(settled(pool, store))
        if stop.asked:
            screen.stopping()
        store.note_usage(pool.usage())
        for job, result in ended:
            store.close_retry(job, result)


def settled(pool: Pool, store: "Store") -> Iterator[tuple[Job, Result]]:
    """Yield jobs that ended. One that was stopped, by the user, disk, images or the last slot, stays open."""
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
            raise BadInput(f"{result.error}, then --resume {store.folder}")


def run(config: Config) -> int:
    """Run the search that `config` asks for and return the exit code."""
    screen = Screen()
    screen.doing(f"reading the images of {config.dataset}")
    # These import torch, which takes seconds, and pandas: help, an error in a flag and the screen's first line
    # do not wait for them.
    from evaluate.executors import await_ready, device_names, local_slots
    from evaluate.forkserver import prepare
    from evaluate.placement import placement
    from evaluate.worker import evaluate
    from populations.composition import compose, open_session
    from populations.forecast import dry_run, first_profile, foretell, search_bytes, worker_bytes

    stop_at_once()
    if not (config.dry_run or config.profile):
        prepare()
    devices = device_names(config.devices)
    breeding, plan, data = compose(config, devices)
    screen.images(config.dataset, *(len(data.splits[name]) for name in ("train", "validation")))
    rungs = rungs_of(config.rungs, plan.recipe) if config.racing else ()
    race = Race(rungs, config.population) if rungs else None
    if config.profile:
        print(first_profile(breeding, plan, data, devices[0]))
        return 0
    asked = (config.workers, config.workers_per_device, plan.recipe.precision)
    places, workers = placement(devices, *asked, partial(worker_bytes, plan, data), screen.line)
    if config.dry_run:
        print(dry_run(breeding, plan, data, race, devices[0], workers))
        return 0
    screen.doing(f"starting {workers} worker{'s' * (workers > 1)}, which time a few training steps")
    slots = local_slots(places, workers)
    with screen, Pool(slots, evaluate, config.timeout, screen.line) as pool:
        found = [one | {"precision": plan.recipe.precision} for one in await_ready(slots)]
        forecast = foretell(breeding, plan, data, race, slots)
        store = open_session(config, plan, data, found, pool.usage())
        screen.slots([(slot.name, one) for slot, one in zip(slots, found, strict=True)])
        screen.begin(breeding.total)
        screen.folder(store.folder, search_bytes(breeding, plan, len(slots)), str(forecast) if forecast else None)
        if forecast and forecast.warning:
            screen.line(forecast.warning)
        try:
            if config.retry_failed:
                retry_failed(pool, store, screen)
            if breeding.heeds_arrival:
                breeding.recall(store.journal.history())
            finished = search(breeding, Schedule(race, forecast.cost if forecast else None), pool, store, screen)
        except Stopped:  # asked twice
            screen.stopped(store.folder, at_once=True)
            return 130
        store.end()
        if finished:
            screen.end(store.folder, breeding)
            return 0
        screen.stopped(store.folder)
        return 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; 0: done, 2: bad input or disk (one line on stderr), 130: stopped."""
    leave_when_asked()
    try:
        return run(parse(sys.argv[1:] if argv is None else argv))
    except BadInput as error:
        print(f"{program()}: error: {error}", file=sys.stderr)
    except (OSError, sqlite3.OperationalError) as error:
        disk = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES)
        if getattr(error, "errno", None) not in disk and "disk" not in str(error):
            raise
        print(f"{program()}: error: cannot write: {error}; free some space, then --resume", file=sys.stderr)
    except Stopped:
        print("stopped before the search began", file=sys.stderr)
        return 130
    return 2


if __name__ == "__main__":
    sys.exit(main())
