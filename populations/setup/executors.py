"""The executors by name: where each trains, and which flags have no effect on it. No torch."""

from typing import NamedTuple


class Executor(NamedTuple):
    """What there is to say of an executor before it has slots, which are in evaluate/pool/executors."""

    where: str  #: networks are trained
    idle: tuple[str, ...]  #: flags that have no effect


EXECUTORS = {
    "local": Executor("on this machine", ("scheduler", "wait")),
    "serial": Executor("in this process, for a debugger", ("scheduler", "wait", "workers", "workers_per_device")),
    # Dask workers say themselves what they have.
    "dask": Executor("on a cluster", ("devices", "workers", "workers_per_device")),
}
