"""The most bytes that tensors hold at once, counted by what makes them, whatever the allocator, also without one."""

import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class Ledger(TorchDispatchMode):
    """Adds up, while it is entered, the storages that operators make, until each is freed.

    What was there before is not counted, nor what an operator takes and frees within itself.
    """

    def __init__(self) -> None:
        """Begin with nothing."""
        TorchDispatchMode.__init__(self)
        self.peak = self._now = 0  #: bytes
        self._known: weakref.WeakSet[torch.UntypedStorage] = weakref.WeakSet()

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run `func` and book what it allocated."""
        kwargs = kwargs or {}
        given = {leaf.untyped_storage() for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)}
        result = func(*args, **kwargs)
        made = {leaf.untyped_storage() for leaf in tree_leaves(result) if isinstance(leaf, Tensor)}
        for storage in made - given:
            if storage in self._known:
                continue
            self._known.add(storage)
            self._book(storage.nbytes())
            weakref.finalize(storage, self._book, -storage.nbytes())
        return result

    def _book(self, count: int) -> None:
        self._now += count
        self.peak = max(self.peak, self._now)
