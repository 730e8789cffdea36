"""Peak memory of one evaluation."""

import resource
from pathlib import Path

import torch

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def reset_peak_memory(device: str) -> None:
    """Start measuring the peak anew, where the system can (CUDA; Linux, for a CPU)."""
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    elif _CLEAR.exists():
        try:
            _CLEAR.write_text("5")
        except OSError:
            return  # a container may forbid it: the peak is then that of the process so far


def peak_memory_mb(device: str) -> float:
    """Return the peak in MiB: allocated device memory, or resident memory of this process."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    if _STATUS.exists():
        line = next(line for line in _STATUS.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
