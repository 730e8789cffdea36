"""A search from its configuration to its end. No torch."""

from collections.abc import Sequence
from pathlib import Path

from cgp.errors import BadInput
from populations.run_folder.folder import read_json
from populations.search.loop import search
from populations.search.observers import Aside, Observer, Observers
from populations.search.schedule import Schedule
from populations.search.stop import refusing_disk_said
from populations.setup.config import Config
from populations.setup.recorded import IMPORTED_FROM
from populations.setup.start import start
from populations.strategies import Sweep
from populations.terminal.programs import populations_command
from populations.terminal.screen import Screen


def conduct(config: Config, screen: Screen, observers: Sequence[Observer] = ()) -> tuple[Path, bool]:
    """Search as `config` asks; return the folder of the run, and whether the search was finished or stopped.

    Raises BadInput for what cannot be used, and Stopped where the user wants no more at once.
    """
    if config.resume and IMPORTED_FROM in read_json(config.resume / "config.json"):
        raise BadInput(
            f"--resume {config.resume}: holds imported networks, and no search; train them by "
            f"{populations_command()} replay {config.resume} MODEL --recipe NAME"
        )
    opened = start(config, screen)
    heard = Observers([screen, *(Aside(observer) for observer in observers)])
    with refusing_disk_said(), screen, heard:
        with opened() as (breeding, schedule, pool, store):
            if config.retry_failed and (failed := store.failed()):
                screen.total += len(failed)
                search(Sweep(breeding.settings, failed), Schedule(cost=schedule.cost), pool, store, heard)
            if breeding.heeds_arrival:
                breeding.recall(store.journal.history())
            finished = search(breeding, schedule, pool, store, heard)
        heard.end(store.folder, breeding, finished)
    return store.folder, finished
