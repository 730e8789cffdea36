"""What is recorded of a residual MLP in each epoch, and the learning rate that follows from it."""

from torch import nn
from torch.optim import Optimizer

from cgp.errors import BadInput
from cgp.residual_network import ResidualNetwork
from evaluate.job import Recipe
from evaluate.variation import Vector, variation_norm

VARIATIONS = (1.0, 1.5, 2.0)  #: of which p an epoch's p-variation is recorded; the last decides the learning rate
Row = dict[str, float]


def path_of(network: ResidualNetwork) -> Vector:
    """Return the weights of `network` as a path in depth, L^beta W_k, (depth, width^2)."""
    weights: Vector = network.weights.detach().cpu().double().flatten(1).numpy()
    return network.model.scale * weights


def named(p: float) -> str:
    """Return what the curve calls the p-variation, to the power 1/p, of an epoch's last weights."""
    return f"variation_{p:g}"


def regularity(network: nn.Module) -> Row:
    """Return how regular the weights of a residual MLP are, by `VARIATIONS`; of another network nothing."""
    if not isinstance(network, ResidualNetwork):
        return {}
    path = path_of(network)
    return {named(p): variation_norm(path, p) for p in VARIATIONS}


def set_rate(optimizer: Optimizer, network: nn.Module, recipe: Recipe, curve: list[Row]) -> None:
    """Set the learning rate of the next epoch where it follows from the weights, with `--schedule variation`.

    That is c lr / v^2, with v their 2-variation to the power 1/2 after the last epoch of `curve`, and c 10 for relu
    and 2 otherwise, as the source has it; in the first epoch, and where v is 0, it is lr. Raises BadInput for other
    networks than residual MLPs.
    """
    if recipe.schedule != "variation":
        return
    if not isinstance(network, ResidualNetwork):
        raise BadInput("--schedule variation: is for residual MLPs, whose weights are a path; choose another")
    rate, roughness = recipe.lr, curve[-1][named(VARIATIONS[-1])] if curve else 0.0
    if roughness:
        rate *= (10 if network.model.activation == "relu" else 2) / roughness**2
    for group in optimizer.param_groups:
        group["lr"] = rate
