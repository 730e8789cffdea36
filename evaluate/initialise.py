"""Weight initialisation by name."""

from collections.abc import Callable

from torch import Tensor, nn


def _dirac(weight: Tensor) -> Tensor:
    """He-normal, and where a filter can simply pass its channel on, that (Jordan 2024, arXiv 2404.00498).

    Signal and gradient then cross any depth from the first step on: in few epochs, deep networks
    learn what they otherwise would not (benchmarks, `recipe`).
    """
    nn.init.kaiming_normal_(weight, nonlinearity="relu")
    if weight.ndim == 4:
        nn.init.dirac_(weight[: weight.shape[1]])
    return weight


_INITIALISERS: dict[str, Callable[[Tensor], Tensor]] = {
    "kaiming_normal": lambda weight: nn.init.kaiming_normal_(weight, nonlinearity="relu"),
    "kaiming_uniform": lambda weight: nn.init.kaiming_uniform_(weight, nonlinearity="relu"),
    "xavier_normal": nn.init.xavier_normal_,
    "xavier_uniform": nn.init.xavier_uniform_,
    "orthogonal": nn.init.orthogonal_,
    "dirac": _dirac,
}


def initialise(network: nn.Module, name: str) -> None:
    """Initialise convolution and linear weights of `network` in place, biases with zero.

    `name` is one of `job.INITIALISATIONS`; `default` leaves torch's own. Batch normalisation keeps
    scale 1 and shift 0. Draws from torch's global random state.
    """
    if name == "default":
        return
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            _INITIALISERS[name](module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
