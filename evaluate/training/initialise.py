"""Weight initialisation by name."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

LIFT = 1.5  # standard deviations by which lifted maps begin above zero

_INITIALISERS: dict[str, Callable[[Tensor], Tensor]] = {
    "kaiming_normal": lambda weight: nn.init.kaiming_normal_(weight, nonlinearity="relu"),
    "kaiming_uniform": lambda weight: nn.init.kaiming_uniform_(weight, nonlinearity="relu"),
    "xavier_normal": nn.init.xavier_normal_,
    "xavier_uniform": nn.init.xavier_uniform_,
    "orthogonal": nn.init.orthogonal_,
    "fan_in": lambda weight: nn.init.uniform_(weight, -1 / weight[0].numel(), 1 / weight[0].numel()),
    "depth_scaled": lambda weight: nn.init.kaiming_normal_(weight, nonlinearity="relu"),  # before it is scaled
    "dirac": lambda weight: nn.init.kaiming_normal_(weight, nonlinearity="relu"),  # before it passes on
}


def initialise(network: nn.Module, name: str, beta: float = 0.5) -> None:
    """Initialise convolution and linear weights of `network` in place, biases with zero.

    `name` is one of `job.INITIALISATIONS`; `default` leaves torch's own, `fan_in` draws from U[-1/n, 1/n] for a
    weight that n inputs reach, `depth_scaled` multiplies Kaiming's by L^-`beta`, of L layers. Batch normalisation
    keeps scale 1 and shift 0, unless `dirac` says otherwise. Draws from torch's global random state.
    """
    if name == "default":
        return
    layers = [module for module in network.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    for module in layers:
        _INITIALISERS[name](module.weight)
        if name == "depth_scaled":
            module.weight.data *= len(layers) ** -beta
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    if name == "dirac":
        _pass_on(network)


@torch.no_grad()
def _pass_on(network: nn.Module) -> None:
    """Let each filter that can pass its channel of the input on (Jordan 2024, arXiv 2404.00498).

    Signal and gradient then cross any depth from the first step on: in few epochs, deep networks
    learn what they otherwise would not (benchmarks, `recipe`). Which blocks need more, they say themselves
    (cgp/blocks.py): convolutions that do not pass on, and maps that begin `LIFT` above zero, so that ReLU does
    not cut the same channel again and again.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d) and getattr(module, "passes_on", True):
            _dirac(module.weight[: module.in_channels], module.groups)
        if isinstance(module, nn.BatchNorm2d) and getattr(module, "lifted", False):
            nn.init.constant_(module.bias, LIFT)


def _dirac(weight: Tensor, groups: int) -> None:
    """Do what `nn.init.dirac_` does for an odd kernel, without a loop over the channels."""
    middle = weight.shape[-1] // 2
    weight.zero_()[:, :, middle, middle].unflatten(0, (groups, -1)).diagonal(dim1=1, dim2=2).fill_(1)
