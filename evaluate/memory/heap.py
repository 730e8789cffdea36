"""What a process does with the memory that it frees: kept while a job runs, given back when it ends."""

import ctypes

import torch

_LIBC = ctypes.CDLL(None)
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h


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
