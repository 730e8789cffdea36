"""Where jobs run: each executor gives slots, as the pool asks for them (see `Slot` in evaluate/pool/slot.py).

local       worker processes on this machine
serial      this process itself, for a debugger
dask        worker processes hosted by the workers of a Dask scheduler
"""

from evaluate.pool.executors.dask import DaskCluster
from evaluate.pool.executors.local import ProcessSlot, await_ready, device_names, local_slots
from evaluate.pool.executors.serial import SerialSlot

__all__ = ["DaskCluster", "ProcessSlot", "SerialSlot", "await_ready", "device_names", "local_slots"]
