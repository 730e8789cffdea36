"""Memory of one evaluation: predicted from its graph, kept while it runs, its peak measured, and what is free."""

import ctypes
import os
import resource
import sys
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from cgp.graph import Graph
from cgp.network import build
from evaluate.control_groups import free_in_groups
from evaluate.job import Recipe
from evaluate.numerics import EVALUATION_BATCH

OPTIMIZER_COPIES = {"sgd": 1, "adam": 2, "adamw": 2}  #: of the weights, in the optimizer's state
PROCESS_BYTES = {"cpu": 350 * 2**20, "cuda": 600 * 2**20}  #: of one more worker at most: libraries; CUDA context

_LIBC = ctypes.CDLL(None)
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_MEMINFO, _PROCESS = Path("/proc/meminfo"), Path("/proc/self")


def keep_freed_memory() -> None:
    """Let this process use again what it frees, until `give_back_memory`, where its heap is glibc's.

    Left alone, that heap goes back to the system after every training step, which clears its pages anew
    for the next one.
    """
    if hasattr(_LIBC, "mallopt"):
        _LIBC.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
        _LIBC.mallopt(_M_MMAP_THRESHOLD, 2**25)  # as far as it goes


def give_back_memory() -> None:
    """Give the system, and the GPU, what this process has freed.

    Other workers may need it, and the peak of the next job would count it. Raises torch.AcceleratorError after a
    fault of the GPU that leaves nothing in this process able to use it.
    """
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()
    if hasattr(_LIBC, "malloc_trim"):
        _LIBC.malloc_trim(0)


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


def free_bytes(device: str) -> int:
    """Return the bytes that `device` (`cpu`, `cuda:0`) could still give to workers, within this process's limits."""
    if device.startswith("cuda"):
        return int(torch.cuda.mem_get_info(device)[0])
    if _MEMINFO.exists():
        line = next(line for line in _MEMINFO.read_text().splitlines() if line.startswith("MemAvailable"))
        return min(int(line.split()[1]) * 1024, free_in_groups(_PROCESS))
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def predicted_bytes(graph: Graph, recipe: Recipe) -> int:
    """Predict the peak of training and validating `graph`: weights, gradients, optimizer, activations.

    The passes run on the meta device, which computes shapes alone. What a convolution needs beside its
    maps is not counted: on a CPU the resident memory was 1.1 to 2 times this.
    """
    half = recipe.precision in ("bf16", "fp16")
    state = 4 * graph.params * (1 + OPTIMIZER_COPIES[recipe.optimizer])
    casts = 4 * graph.params if half else 0  # the half weights, and gradients in fp32 beside half ones
    passes = (_peak(graph, recipe.batch_size, half, True), _peak(graph, EVALUATION_BATCH, half, False))
    return state + casts + max(passes)


def _peak(graph: Graph, batch: int, half: bool, training: bool) -> int:
    """Return the most bytes that a pass over `batch` images, with the way back when `training`, holds at once."""
    kind = torch.bfloat16 if half else torch.float32
    with torch.device("meta"):
        network = build(graph).to(kind).train(training)
        x, y = torch.empty(batch, *graph.image, dtype=kind), torch.empty(batch, dtype=torch.int64)
    ledger = _Ledger()
    with ledger, torch.set_grad_enabled(training):
        logits = network(x)
        if training:
            functional.cross_entropy(logits.float(), y).backward()
    return ledger.peak


class _Ledger(TorchDispatchMode):
    """Adds up the storages that operators make, until each is freed."""

    def __init__(self) -> None:
        TorchDispatchMode.__init__(self)
        self.peak = self._now = 0  # bytes
        self._known: weakref.WeakSet[torch.UntypedStorage] = weakref.WeakSet()

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run `func` and book what it allocated."""
        kwargs = kwargs or {}
        given = {leaf.untyped_storage() for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)}
        result = func(*args, **kwargs)
        made = {leaf.untyped_storage() for leaf in tree_leaves(result) if isinstance(leaf, Tensor)}
        for storage in made - given - set(self._known):
            self._known.add(storage)
            self._book(storage.nbytes())
            weakref.finalize(storage, self._book, -storage.nbytes())
        return result

    def _book(self, count: int) -> None:
        self._now += count
        self.peak = max(self.peak, self._now)
