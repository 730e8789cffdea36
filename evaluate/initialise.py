"""Weight initialisation by name."""

from collections.abc import Callable

from torch import Tensor, nn

_INITIALISERS: dict[str, Callable[[Tensor], Tensor]] = {
    "kaiming_normal": lambda weight: nn.init.kaiming_normal_(weight, nonlinearity="relu"),
    "kaiming_uniform": lambda weight: nn.init.kaiming_uniform_(weight, nonlinearity="relu"),
    "xavier_normal": nn.init.xavier_normal_,
    "xavier_uniform": nn.init.xavier_uniform_,
    "orthogonal": nn.init.orthogonal_,
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
