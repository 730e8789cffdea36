"""Chains of convolutions with weights of one shape: paths in depth, as a residual MLP's weights are. No torch."""

from collections.abc import Iterator

from cgp.blocks import block
from cgp.graph import Graph
from cgp.layers import Conv, Layers, Parallel, Shape, measure

SHORTEST = 3  #: convolutions: two points are no path whose regularity could be asked for
_Weights = tuple[int, int, int]  # channels, channels that each reads, kernel


def chains(graph: Graph) -> list[list[int]]:
    """Return the longest chains of at least `SHORTEST` convolutions, each reading the one before, of equal shapes.

    Convolutions are numbered from 1 in the order in which they compute, which is that of the network's modules. What
    has no weights of its own shape may lie between two of them: normalisation, activation, pooling, a sum with what
    came before. Branches side by side belong to no common chain.
    """
    found, weights = list[list[int]](), list[_Weights]()
    ends = dict[int, tuple[list[int], int]]()  # by node: the chain that it ends, and how long that was then
    for n, node in enumerate(graph.nodes, 1):
        chain, length = ends.get(node.inputs[0], ([], 0))
        shape, _ = graph.aligned(n)
        for own in _convolutions(block(node.block).layers(shape), shape):
            if own is None:
                chain, length = [], 0
                continue
            weights.append(own)
            if not chain or len(chain) != length or weights[chain[-1] - 1] != own:
                chain = []
                found.append(chain)
            chain.append(len(weights))
            length = len(chain)
        ends[n] = chain, length
    return [chain for chain in found if len(chain) >= SHORTEST]


def _convolutions(layers: Layers, shape: Shape) -> Iterator[_Weights | None]:
    """Yield the shape of the weights of each convolution, and None where the next does not read the one before."""
    for layer in layers:
        if isinstance(layer, Conv):
            yield layer.channels, shape.channels // layer.groups, layer.kernel
        elif isinstance(layer, Parallel):
            parts = [list(_convolutions(branch, shape)) for branch in layer.branches]
            several = sum(map(bool, parts)) > 1
            for part in filter(None, parts):
                yield from [None, *part, None] if several else part
        shape = measure((layer,), shape).shape
