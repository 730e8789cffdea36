"""Where the jobs of a search run: on this machine, in this process, or on a cluster, as `--executor` says."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from cgp.errors import BadInput
from evaluate.devices.placement import placement
from evaluate.devices.probe import probe_precision, refuse_emulation
from evaluate.job import Recipe
from evaluate.pool.executors import DaskCluster, SerialSlot, device_names, local_slots
from evaluate.pool.executors.dask_slot import DaskSlot
from evaluate.pool.slot import Slot
from evaluate.training.step import refuse_graphs
from populations.setup.config import Config
from populations.terminal.screen import Screen

_PROBE_S = 120.0  # in which a worker of a cluster has timed its precisions


class Workplace(NamedTuple):
    """The devices of a search; on a cluster its slots, too, which are up before anything else is known."""

    devices: list[str]
    cluster: DaskCluster | None = None
    there: Sequence[DaskSlot] = ()

    def refuse(self, recipe: Recipe) -> None:
        """Raise BadInput where one of the devices cannot train as `recipe` says."""
        if self.cluster is None:
            refuse_emulation(recipe.precision, self.devices)
        for slot in self.there:
            if recipe.precision not in ("auto", *slot.native):
                raise BadInput(
                    f"--precision: {recipe.precision} is not native to {slot.name}; expected auto or one of "
                    f"{', '.join(slot.native)}"
                )
        refuse_graphs(recipe, self.devices)

    def precision(self, wanted: str) -> tuple[str, dict[str, float]]:
        """Return `wanted`, or for `auto` what trains fastest, with the milliseconds of a step by which it was chosen.

        On a cluster the first slot is timed; where others lack what is fastest there, it is fp32.
        """
        if wanted != "auto":
            found, milliseconds = wanted, dict[str, float]()
        elif self.cluster is None:
            found, milliseconds = probe_precision(tuple(self.devices))
        else:
            first = self.there[0]
            try:
                found, milliseconds = first.submit(probe_precision, (first.kind,)).result(_PROBE_S)
            except (RuntimeError, TimeoutError) as error:
                raise BadInput(
                    f"{self.cluster.flag}: {first.name} could not time a training step ({error}); try again"
                ) from error
            found = found if all(found in slot.native for slot in self.there) else "fp32"
        if self.cluster is not None:
            self.cluster.precision = found
        return found, milliseconds

    def workers(
        self, config: Config, precision: str, need: Callable[[str], int], screen: Screen
    ) -> tuple[list[str], int]:
        """Return the device of each place on this machine and the number of workers; see `placement`."""
        asked = config.resources
        return placement(self.devices, asked.workers, asked.workers_per_device, precision, need, screen.line)

    def slots(self, config: Config, precision: str, need: Callable[[str], int], screen: Screen) -> list[Slot]:
        """Return the slots of the search, whose workers begin to start where they are on this machine.

        Raises BadInput where the workers asked for find no place.
        """
        if self.cluster is not None:
            return list(self.there)
        if config.resources.executor == "serial":
            return [SerialSlot(self.devices[0])]
        places, workers = self.workers(config, precision, need, screen)
        screen.doing(f"starting {workers} worker{'s' * (workers > 1)}, which time a few training steps")
        return list(local_slots(places, workers))


@contextlib.contextmanager
def workplace(config: Config, screen: Screen) -> Iterator[Workplace]:
    """Say where workers may start; on a cluster, meet those that are there, and leave it in the end.

    Raises BadInput where there is no such device, or nobody to meet.
    """
    asked, run = config.resources, config.run.run
    if asked.executor == "dask":
        assert asked.scheduler is not None  # which `checks` asks for
        folder = config.resume or (Path(run).absolute().parent if run else Path("runs"))
        with DaskCluster(asked.scheduler, asked.wait, _existing(folder.absolute()), screen.line) as cluster:
            there = cluster.first()
            yield Workplace(list(dict.fromkeys(slot.kind for slot in there)), cluster, there)
    else:
        devices = device_names(asked.devices)
        yield Workplace(devices if asked.executor == "local" else devices[:1])


def _existing(folder: Path) -> Path:
    """Return `folder`, or the nearest above it that is there: whether it is shared is asked before a run is made."""
    return next(path for path in (folder, *folder.parents) if path.is_dir())
