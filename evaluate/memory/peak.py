"""The most memory that a process has held since it was last asked to begin anew."""

import resource
import sys
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
        _, _, peak = _STATUS.read_text().partition("VmHWM:")
        return int(peak.split(maxsplit=1)[0]) / 1024
    unit = 2**20 if sys.platform == "darwin" else 2**10  # macOS counts in bytes, others in KiB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
