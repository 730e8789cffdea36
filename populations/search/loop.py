"""The loop of a search, and of all other work that is put through its pool and its store. No torch.

A strategy is asked for candidates, their jobs are trained or measured, and it is told of the results.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from cgp.errors import BadInput
from evaluate.job import Job, Result
from evaluate.pool.pool import NoSlotLeft, Pool
from populations.search.observers import Observers
from populations.search.outlook import Outlook
from populations.search.schedule import Schedule
from populations.search.stop import Stop
from populations.strategies import Strategy

if TYPE_CHECKING:
    from populations.run_folder.store import Store


def search(breeding: Strategy, schedule: Schedule, pool: Pool, store: "Store", observers: Observers) -> bool:
    """Ask, train, tell, until `breeding` is done (True) or the user stops (False)."""
    stop = Stop(store)
    outlook = Outlook(schedule, pool, breeding, store.plan.recipe.epochs)
    while not breeding.done and not (stop.asked and not pool.busy):
        if not stop.asked:
            ask(breeding, schedule, pool, store, stop)
        train(schedule, pool, store, stop)
        tell(breeding, schedule, store, observers)
        if stop.asked:
            observers.stopping()
        observers.update(outlook)
    return breeding.done


def ask(breeding: Strategy, schedule: Schedule, pool: Pool, store: "Store", stop: Stop) -> None:
    """Ask for candidates for the slots that are free; those that are to be trained wait for one."""
    for candidate in schedule.longest_first(breeding.ask(pool.free - len(schedule))):
        if job := store.open(candidate):  # written before it is sent
            schedule.add(job)
            fill(pool, schedule, stop)  # before the rest is written


def train(schedule: Schedule, pool: Pool, store: "Store", stop: Stop) -> None:
    """Wait for jobs to leave their slots, send others there, and write the results of what has ended."""
    ended = schedule.end(settled(pool, store))
    fill(pool, schedule, stop)  # before results are written: no slot waits for that
    store.note_usage(pool.usage())  # on the disk with the results that follow
    for job, result in ended:
        store.close(job, result)


def tell(breeding: Strategy, schedule: Schedule, store: "Store", observers: Observers) -> None:
    """Tell everyone of the results that have come: from the pool, the journal or the cache."""
    for record in store.news():
        schedule.hear(record)
        observers.told(record)
        for finished in breeding.tell(record):
            store.snapshot(finished)
            observers.generation(finished)
        store.set_best(breeding.best, record, breeding.front)


def fill(pool: Pool, schedule: Schedule, stop: Stop) -> None:
    """Send what waits to the free slots, unless the user has asked to stop."""
    while schedule and pool.free and not stop.asked:
        pool.submit(schedule.pop())


def settled(pool: Pool, store: "Store") -> Iterator[tuple[Job, Result]]:
    """Yield jobs that ended. One that was stopped, by the user, disk, images or the last slot, stays open."""
    try:
        ended = pool.settle(0) if store.has_news else pool.settle()
    except NoSlotLeft as error:
        raise BadInput(f"{error}, then --resume {store.folder}") from error
    for job, result in ended:
        if result.status != "interrupted":
            yield job, result
        elif result.error:
            raise BadInput(f"{result.error}, then --resume {store.folder}")
