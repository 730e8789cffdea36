"""What may be drawn: blocks, depth range, image, limits."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from cgp.blocks import Block, block, function_set
from cgp.costs import Costs
from cgp.errors import BadInput
from cgp.grid import Cell, Grid, Numbers
from cgp.layers import EPSILON, Shape

FLOPS_PER_PIXEL = 500_000  # of the image: what a ResNet-110 takes (494,000, at any size)


@dataclass(frozen=True)
class Space:
    """A search space.

    Raises BadInput at construction when no genome could be drawn from it.
    """

    function_set: str  #: name of a set, or comma-separated block names
    min_depth: int  #: fewest active nodes, inclusive
    max_depth: int  #: most active nodes, inclusive; in sequential wiring also the number of nodes of a genome
    image: Shape  #: channels, height, width of one image
    classes: int
    levels_back: int = 10  #: how many nodes back a second input may reach; of a grid how many columns any may
    max_params: int | None = None  #: limit on trainable parameters; None: the function set's own, if any
    max_flops: int | None = None  #: limit on forward FLOPs per image
    wiring: str = "sequential"  #: how genes mean connections, see `cgp.wiring`
    rows: int = 5  #: of the grid, in that wiring
    columns: int = 30  #: of the grid
    head: str = "pool"  #: of the networks, see `cgp.graph.HEADS`
    norm_epsilon: float = EPSILON  #: of the networks, what batch normalisation adds to a variance

    def __post_init__(self) -> None:
        """Check that a genome of any depth in the range exists."""
        if self.min_depth < 1:
            raise BadInput(f"--num-min-depth: {self.min_depth}; expected at least 1")
        if self.max_depth < self.min_depth:
            raise BadInput(
                f"--num-max-depth: {self.max_depth} is below --num-min-depth {self.min_depth}; expected min <= max"
            )
        if self.levels_back < 2 and self.wiring != "grid":
            raise BadInput(
                f"--levels-back: {self.levels_back}; expected at least 2, as the node one back is connected already"
            )
        if strided := [name for name in self.names if getattr(block(name), "step", 1) > 1]:
            raise BadInput(
                f"--function-set: {strided[0]!r} has a step; expected blocks that keep the size, "
                "or maxpool, avgpool, transition"
            )
        if not self.plain(1) or not self.plain(2):
            raise BadInput(
                f"--function-set: {self.function_set!r} has no block with one input that keeps the "
                "size; add one such as conv_32_3"
            )
        smallest = min(self.image.height, self.image.width)
        if smallest < 2 and any(chosen.stride > 1 for chosen in self.blocks):
            raise BadInput(
                f"--image-size: images are {smallest} pixels; expected at least 2 for the pooling "
                f"in function set {self.function_set!r}"
            )
        if self.wiring == "grid":
            self.grid.check(self.min_depth, self.max_depth, any(self.joins))
        self._check_limits()

    def _check_limits(self) -> None:
        for flag, limit, cost, unit in (
            ("--max-params", self.params_limit, self.cheapest_cost[0], "parameters"),
            ("--max-flops", self.max_flops, self.cheapest_cost[1], "FLOPs"),
        ):
            if limit is not None and cost > limit:
                raise BadInput(
                    f"{flag}: {limit:,} is out of reach: the cheapest network of depth {self.max_depth}, "
                    f"{self.names[self.cheapest[1]]} behind its poolings, has {cost:,} {unit} already; raise the "
                    "limit or lower --num-max-depth"
                )

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Block names; a block gene is an index into them."""
        chosen = function_set(self.function_set)
        return tuple(dict.fromkeys(chosen.stem + chosen.blocks))

    @cached_property
    def blocks(self) -> tuple[Block, ...]:
        """The blocks behind `names`."""
        return tuple(block(name) for name in self.names)

    @cached_property
    def first_choices(self) -> tuple[int, ...]:
        """Block genes that node 1 may have: the stem of the set, or its blocks with one input."""
        stem = function_set(self.function_set).stem
        wanted = stem or [n for n, b in zip(self.names, self.blocks, strict=True) if b.arity == 1]
        return tuple(self.names.index(name) for name in wanted)

    @cached_property
    def later_choices(self) -> tuple[int, ...]:
        """Block genes that nodes 2, 3, ... may have."""
        return tuple(self.names.index(name) for name in function_set(self.function_set).blocks)

    def choices(self, node: int) -> tuple[int, ...]:
        """Block genes that `node` (counted from 1) may have."""
        return self.first_choices if node == 1 else self.later_choices

    def plain(self, node: int) -> list[int]:
        """Block genes of `node` with one input that keep height and width."""
        return self._plain[node > 1]

    @cached_property
    def _plain(self) -> tuple[list[int], list[int]]:
        first, later = (
            [g for g in self.choices(node) if not self.joins[g] and not self.shrinks[g]] for node in (1, 2)
        )
        return first, later

    @cached_property
    def shrinks(self) -> tuple[bool, ...]:
        """For each block gene, whether it downsamples."""
        return tuple(chosen.stride > 1 for chosen in self.blocks)

    @cached_property
    def joins(self) -> tuple[bool, ...]:
        """For each block gene, whether it has a second input."""
        return tuple(chosen.arity == 2 for chosen in self.blocks)

    @cached_property
    def grid(self) -> Grid:
        """The cells of the grid; where the function set has a stem, column 0 alone reads the image."""
        return Grid(self.rows, self.columns, self.levels_back, bool(function_set(self.function_set).stem))

    @cached_property
    def block_choices(self) -> tuple[Numbers, Numbers, Numbers]:
        """Block genes that cells of the grid may have; of every cell where its own begin there, and how many."""
        first, later = len(self.first_choices), len(self.later_choices)
        in_column_0 = np.arange(self.grid.cells) < self.rows
        choices = np.asarray(self.first_choices + self.later_choices)
        return choices, np.where(in_column_0, 0, first), np.where(in_column_0, first, later)

    @property
    def depths(self) -> range:
        """What a depth gene may be."""
        return range(self.min_depth, self.max_depth + 1)

    @cached_property
    def max_downsamplings(self) -> int:
        """How many downsamplings the image affords: floor(log2(size)) - 2, at least 1."""
        return max(1, min(self.image.height, self.image.width).bit_length() - 3)

    def second_inputs(self, node: int) -> range:
        """Nodes (0 is the image) that the second input of `node` may come from.

        The node one back is the first input already and is left out where there is another.
        """
        return range(max(0, node - self.levels_back), max(1, node - 1))

    @cached_property
    def costs(self) -> Costs:
        """Parameters and FLOPs of a genome of this space."""
        return Costs(self.blocks, self.image, self.classes, self.head)

    @cached_property
    def cheapest(self) -> tuple[int, int]:
        """The cheapest plain block gene for node 1 and for later nodes, by parameters."""
        first, later = (min(self.plain(node), key=self._params) for node in (1, 2))
        return first, later

    def _params(self, gene: int) -> int:
        """Parameters of a chain of two such blocks, by which blocks are ranked."""
        return self.costs.of([gene] * 2, range(2), [0] * 2)[0]

    @cached_property
    def narrowest(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """For each block gene, in node 1 and in later nodes, the cheapest of its kind (of convolutions conv_16_3)."""
        first, later = (tuple(self._narrowest(gene, node) for gene in range(len(self.names))) for node in (1, 2))
        return first, later

    def _narrowest(self, gene: int, node: int) -> int:
        kind = type(self.blocks[gene])
        like = [other for other in self.choices(node) if type(self.blocks[other]) is kind]
        return min(like, key=self._params, default=gene)

    def cheapest_genes(self, depth: int) -> list[int]:
        """Block genes of the cheapest network of `depth` nodes: all poolings that the image affords, then one block.

        (Sums cost nothing, but a network of sums is none to search for.)
        """
        genes, afforded = list[int](), self.max_downsamplings
        for n in range(1, depth + 1):
            poolings = [gene for gene in self.choices(n) if self.shrinks[gene]] if afforded else []
            afforded -= bool(poolings)
            genes.append(min(poolings, key=self._params) if poolings else self.cheapest[n > 1])
        return genes

    @cached_property
    def cheapest_join(self) -> int:
        """The cheapest block gene with two inputs, by parameters. There must be one."""
        return min((gene for gene, joins in enumerate(self.joins) if joins), key=self._params)

    def cheapest_cells(self, depth: int) -> dict[Cell, int]:
        """Return the cheapest network of `depth` nodes in the grid: its cells, and the block gene of each."""
        cells = self.grid.plainest(depth)
        length = min(depth, self.columns)
        genes = self.cheapest_genes(length)
        if depth > length:
            genes[-1] = self.cheapest_join
            genes += [self.cheapest[self.grid.column(cell.number) > 0] for cell in cells[length:]]
        return dict(zip(cells, genes, strict=True))

    @cached_property
    def cheapest_cost(self) -> tuple[int, int]:
        """Parameters and FLOPs that a limit must admit so that a network of every depth exists."""
        depths = {self.min_depth, self.max_depth}
        if self.wiring == "grid":
            depths |= {self.columns} & {*self.depths}
        found = [self._cheapest_cost(depth) for depth in depths]
        return max(params for params, _ in found), max(flops for _, flops in found)

    def _cheapest_cost(self, depth: int) -> tuple[int, int]:
        if self.wiring != "grid":
            return self.costs.of(self.cheapest_genes(depth), range(depth), [0] * depth)
        cells = sorted(self.cheapest_cells(depth).items())
        firsts, seconds = [cell.first for cell, _ in cells], [cell.second or 0 for cell, _ in cells]
        return self.costs.of([gene for _, gene in cells], firsts, seconds, numbers=[cell.number for cell, _ in cells])

    @property
    def usual_flops(self) -> int:
        """A limit on FLOPs that keeps the costs of networks together: a ResNet-110's at this image size.

        Without a limit they spread a hundredfold. Where depth alone takes more, twice the cheapest network's.
        """
        return max(FLOPS_PER_PIXEL * self.image.height * self.image.width, 2 * self.cheapest_cost[1])

    @cached_property
    def params_limit(self) -> int | None:
        """The limit on parameters that holds: `max_params`, or the function set's own."""
        own = function_set(self.function_set).max_params
        return own if self.max_params is None else self.max_params

    @property
    def limited(self) -> bool:
        """Whether parameters or FLOPs are limited."""
        return self.params_limit is not None or self.max_flops is not None

    @cached_property
    def limits(self) -> tuple[float, float]:
        """The limits on parameters and FLOPs, infinite where there is none."""
        return (
            math.inf if self.params_limit is None else self.params_limit,
            math.inf if self.max_flops is None else self.max_flops,
        )

    def admits(self, params: int, flops: int) -> bool:
        """Whether a network with so many parameters and FLOPs is within the limits."""
        most_params, most_flops = self.limits
        return params <= most_params and flops <= most_flops

    def fits(
        self,
        blocks: Sequence[int],
        firsts: Sequence[int],
        seconds: Sequence[int],
        numbers: Iterable[int] | None = None,
    ) -> bool:
        """Whether the network of these nodes, see `Costs.of`, is within the limits."""
        return self.admits(*self.costs.of(blocks, firsts, seconds, self.limits, numbers))
