"""How a network is run in a step that is to hold less memory: in ghost groups, and activations computed twice.

A ghost group (Hoffer, Hubara and Soudry 2017) is a fixed number of images that batch normalisation takes the
statistics of. A batch may then go through the network in chunks of whole groups, which gives the gradients and the
running statistics of the whole batch.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from types import TracebackType
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from cgp.network import NodeModule


class Sparing:
    """While it is entered, a network runs in ghost groups, or its nodes run twice; afterwards it is what it was.

    `settle` moves running statistics once for a batch. A node that runs twice keeps its inputs only, and computes the
    rest again on the way back: a convolution then keeps one map instead of two, a dense block one instead of many.
    Nodes without parameters run once, as no memory is saved by running them twice.
    """

    def __init__(self, network: nn.Module, group: int | None, twice: bool) -> None:
        """Prepare for `network`: `group` images to a ghost group, None: the batch is one."""
        self._group = group
        modules = list(network.modules())
        self._norms = [module for module in modules if group and isinstance(module, nn.BatchNorm2d)]
        self._drops = [module for module in modules if group and isinstance(module, nn.Dropout)]
        nodes = [module for module in modules if twice and isinstance(module, NodeModule)]
        self._nodes = [node for node in nodes if any(True for _ in node.parameters())]
        self._seen = dict[nn.BatchNorm2d, list[tuple[Tensor, Tensor]]]()
        self._again = False  # whether what runs now has been computed before, and its statistics seen

    def __enter__(self) -> "Sparing":
        """Take the place of the modules' own ways."""
        self._seen.clear()
        for norm in self._norms:
            vars(norm)["forward"] = partial(self._by_group, norm, norm.forward)
        for drop in self._drops:
            vars(drop)["forward"] = partial(self._drop_by_group, drop.forward)
        for node in self._nodes:
            vars(node)["forward"] = partial(self._twice, node, node.forward)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        """Give the modules their own ways back."""
        for module in (*self._norms, *self._drops, *self._nodes):
            del vars(module)["forward"]

    @torch.no_grad()
    def settle(self) -> None:
        """Move the running statistics by the means over all groups of the batch, each weighing the same.

        Groups count in their order: whatever the chunks, the same numbers are added up in the same order.
        """
        for norm, found in self._seen.items():
            for name, values in zip(("running_mean", "running_var"), zip(*found, strict=True), strict=True):
                norm.get_buffer(name).lerp_(torch.stack(values).mean(0), float(norm.momentum or 0))
            norm.get_buffer("num_batches_tracked").add_(1)

    def _by_group(self, norm: nn.BatchNorm2d, whole: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        """Normalise each ghost group of `x`; what is frozen, and so in evaluation mode, as it does itself."""
        if not norm.training or self._group is None:
            return whole(x)
        normal = list[Tensor]()
        for group in x.split(self._group):
            mean, variance = (torch.zeros_like(norm.weight) for _ in range(2))
            # With momentum 1 they become the statistics of the group.
            normal.append(functional.batch_norm(group, mean, variance, norm.weight, norm.bias, True, 1.0, norm.eps))
            if not self._again:
                self._seen.setdefault(norm, []).append((mean, variance))
        return normal[0] if len(normal) == 1 else torch.cat(normal)

    def _drop_by_group(self, whole: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        """Drop of each ghost group by itself, so that what is drawn for it is the same whatever the chunks."""
        return torch.cat([whole(group) for group in x.split(cast(int, self._group))])

    def _twice(self, node: nn.Module, forward: Callable[..., Tensor], *maps: Tensor) -> Tensor:
        """Run `forward`, a node's, now and again on the way back. Nodes draw nothing: no random state is kept."""

        def contexts() -> tuple[AbstractContextManager[Any], AbstractContextManager[Any]]:
            return nullcontext(), self._unseen(node)

        found: Tensor = checkpoint(forward, *maps, use_reentrant=False, preserve_rng_state=False, context_fn=contexts)
        return found

    @contextmanager
    def _unseen(self, node: nn.Module) -> Iterator[None]:
        """Let nothing that runs in `node` move running statistics: the first time did."""
        norms = [module for module in node.modules() if isinstance(module, nn.BatchNorm2d)]
        own = [(norm, dict(norm.named_buffers())) for norm in norms if not self._norms]
        for norm, buffers in own:
            for name, buffer in buffers.items():
                setattr(norm, name, buffer.clone())
        self._again = True
        try:
            yield
        finally:
            self._again = False
            for norm, buffers in own:
                for name, buffer in buffers.items():
                    setattr(norm, name, buffer)
