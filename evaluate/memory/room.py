"""How much room for more workers a device has."""

import os
from pathlib import Path

import torch

from evaluate.memory.control_groups import free_in_groups

_MEMINFO, _PROCESS = Path("/proc/meminfo"), Path("/proc/self")


def free_bytes(device: str) -> int:
    """Return the bytes that `device` (`cpu`, `cuda:0`) could still give to workers, within this process's limits."""
    if device.startswith("cuda"):
        return int(torch.cuda.mem_get_info(device)[0])
    if _MEMINFO.exists():
        line = next(line for line in _MEMINFO.read_text().splitlines() if line.startswith("MemAvailable"))
        return min(int(line.split()[1]) * 1024, free_in_groups(_PROCESS))
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
