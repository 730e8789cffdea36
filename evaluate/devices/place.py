"""What a process computes on: settled as its first act, and the same for every job that it is sent.

That is the one thing that a process of ours remembers. A job does not say it: it is a plain value, which any
worker on any device can be sent, and tried once more in another.
"""

from dataclasses import dataclass

import torch

from evaluate.devices.numerics import Numerics
from evaluate.devices.probe import resolve_precision
from evaluate.memory.heap import keep_freed_memory


@dataclass(frozen=True)
class Place:
    """What a process computes on."""

    kind: str  #: cpu, or cuda: the GPU in use

    def numerics(self, precision: str) -> Numerics:
        """Return how this place computes in `precision`; `auto` is what is fastest here."""
        return Numerics(self.kind, resolve_precision(precision, self.kind))


_settled = Place("cpu")


def settle_process(device: str) -> Place:
    """Make this process compute on `device` (`cpu`, `cuda`, `cuda:1`) as every worker does, and return its place.

    On a CPU that is the same to the bit, and as fast.
    """
    global _settled
    kind, _, index = device.partition(":")
    if index:
        torch.cuda.set_device(device)
    torch.set_num_threads(1)
    keep_freed_memory()
    # cudnn.benchmark picks the convolution that is fastest at the moment, another one perhaps in a replay:
    # the recorded score would not come back to the last bit.
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False
    _settled = Place(kind)
    return _settled


def this_place() -> Place:
    """Return what this process was settled on; the CPU, where it was not."""
    return _settled
