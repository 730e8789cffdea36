"""Weight initialisation by name."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from cgp.network import Branches

SHIFT = 1.5  # standard deviations by which normalised maps begin above zero, where filters pass on side by side

_INITIALISERS: dict[str, Callable[[Tensor], Tensor]] = {
    "kaiming_normal": lambda weight: nn.init.kaiming_normal_(weight, nonlinearity="relu"),
    "kaiming_uniform": lambda weight: nn.init.kaiming_uniform_(weight, nonlinearity="relu"),
    "xavier_normal": nn.init.xavier_normal_,
    "xavier_uniform": nn.init.xavier_uniform_,
    "orthogonal": nn.init.orthogonal_,
    "dirac": lambda weight: nn.init.kaiming_normal_(weight, nonlinearity="relu"),  # before it passes on
}


def initialise(network: nn.Module, name: str) -> None:
    """Initialise convolution and linear weights of `network` in place, biases with zero.

    `name` is one of `job.INITIALISATIONS`; `default` leaves torch's own. Batch normalisation keeps
    scale 1 and shift 0, unless `dirac` says otherwise. Draws from torch's global random state.
    """
    if name == "default":
        return
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            _INITIALISERS[name](module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    if name == "dirac":
        _pass_on(network)


@torch.no_grad()
def _pass_on(network: nn.Module) -> None:
    """Let each filter that can pass its channel of the input on (Jordan 2024, arXiv 2404.00498).

    Signal and gradient then cross any depth from the first step on: in few epochs, deep networks
    learn what they otherwise would not (benchmarks, `recipe`). Two kinds of block need more, or a deep
    chain of them diverges. Of concatenated branches only the first passes on, since gradients of
    branches that pass on the same channels add up with every block. And there, as in separable
    convolutions, the maps begin `SHIFT` above zero, so that ReLU does not cut the same channel again and again.
    """
    random, shifted = set[nn.Module](), set[nn.Module]()
    for module in network.modules():
        if isinstance(module, Branches) and _is_inception(module):
            random.update(*(branch.modules() for branch in list(module.branches)[1:]))
            shifted.update(module.modules())
        elif isinstance(module, nn.Sequential) and any(isinstance(m, nn.Conv2d) and m.groups > 1 for m in module):
            shifted.update(module)
    for module in network.modules():
        if isinstance(module, nn.Conv2d) and module not in random:
            _dirac(module.weight[: module.in_channels], module.groups)
        if isinstance(module, nn.BatchNorm2d) and module in shifted:
            nn.init.constant_(module.bias, SHIFT)


def _dirac(weight: Tensor, groups: int) -> None:
    """Do what `nn.init.dirac_` does for an odd kernel, without a loop over the channels."""
    middle = weight.shape[-1] // 2
    weight.zero_()[:, :, middle, middle].unflatten(0, (groups, -1)).diagonal(dim1=1, dim2=2).fill_(1)


def _is_inception(module: Branches) -> bool:
    """Whether every concatenated branch convolves; in a dense layer one is the input itself."""
    convolves = (any(isinstance(m, nn.Conv2d) for m in branch.modules()) for branch in module.branches)
    return module.join.how == "concat" and all(convolves)
