"""What a genome is, and which network it means.

    space     Space: what may be drawn
    genome    Genome: integer genes; `draw`, `validate`
    mutation  `forced` (children) and `neutral` (silent genes)
    graph     Graph: the active nodes, their shapes and costs
    layers    the primitive layers that blocks are made of
    blocks    the blocks and function sets            <- a new block goes here
    families  known networks; those of `feature_amounts` share VGG's features in other ways
    residual_mlp  networks of the depth limit, another kind of model than graphs
    model     Model: what `build` builds              <- another kind goes here
    drawing   a graph or a genome as SVG, PNG or DOT
    network   `build(model)` -> nn.Module             <- a genome becomes a network here
    features  `create(graph, ...)`: a network as timm's `create_model` makes one
    errors    BadInput: the one line a user reads

Only `network` and `features` need torch, so they are imported by their own names.
"""

from cgp.errors import BadInput
from cgp.genome import Genome, draw
from cgp.graph import Graph, Node
from cgp.layers import Shape
from cgp.space import Space

__all__ = ["BadInput", "Genome", "Graph", "Node", "Shape", "Space", "draw"]
