"""A graph as the source of a network that needs torch alone: another reading of the layers of its blocks. No torch.

`IMPORTS` and `definition(graph)` together are a module whose `Network` takes the weights of `build(graph)`, by the
same names.
"""

from dataclasses import dataclass
from typing import Union, assert_never

from cgp.blocks import block
from cgp.graph import Graph
from cgp.layers import EPSILON, MOMENTUM, Conv, How, Layer, Layers, Norm, Parallel, Pool, Relu, Shape

IMPORTS = "import torch\nfrom torch import Tensor, nn\n"

_NODE = '''
class Node(nn.Module):
    """Layers one after another; they are called `body` in the names of the weights."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.body = layers[0] if len(layers) == 1 else nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)
'''
_BRANCHES = '''
class Branches(nn.Module):
    """Modules side by side on the same maps; `join` makes their outputs one."""

    def __init__(self, join, *branches: nn.Module) -> None:
        super().__init__()
        self.join = join
        self.branches = nn.ModuleList(branches)

    def forward(self, x: Tensor) -> Tensor:
        return self.join(*[branch(x) for branch in self.branches])
'''
_JOINS: dict[How, tuple[str, str]] = {  # name and source of the function
    "sum": ("add", '''
def add(*maps: Tensor) -> Tensor:
    """Return the sum of maps; those with fewer channels are padded with zeros."""
    most = max(x.shape[1] for x in maps)
    padded = [x if x.shape[1] == most else nn.functional.pad(x, (0, 0, 0, 0, 0, most - x.shape[1])) for x in maps]
    return sum(padded[1:], padded[0])
'''),
    "concat": ("concat", '''
def concat(*maps: Tensor) -> Tensor:
    """Return maps side by side in channels."""
    return torch.cat(maps, 1)
'''),
}  # fmt: skip
_NETWORK = '''
class Network(nn.Module):
    """{depth} nodes, then {pooling} and a linear layer; graph {identity}.

    Node n is `nodes[n - 1]`, and xn is what it gives; a comment says how many channels, rows and columns that has for
    images of {image}. {others}
    """

    def __init__(self) -> None:
        super().__init__()
        self.nodes = nn.ModuleList(
            [
{nodes}
            ]
        )
        self.head = nn.Linear({features}, {classes})

    def forward(self, x0: Tensor) -> Tensor:
        """Return logits (batch, {classes}) of normalised images (batch, channels, height, width)."""
{steps}
        return self.head(x{depth}.{vector})
'''
_HEADS = {  # what makes a vector of the last map, what other images do, and the call
    "pool": ("the mean over all pixels", "Larger images work, too.", "mean((2, 3))"),
    "flatten": ("all numbers of the last map", "Other sizes do not fit.", "flatten(1)"),
}
_ROOM = 96  # columns of a call that stands on one line
_ELSEWHERE = 10_007  # channels, which no block makes of others: what of a block follows its input shows there


def definition(graph: Graph) -> str:
    """Return the source of `Network`, the network of `graph`, and of all that it is made of; see `IMPORTS`."""
    functions, nodes, steps = _Functions(graph.norm_epsilon), list[str](), list[str]()
    for n, node in enumerate(graph.nodes, 1):
        shape, ratios = graph.aligned(n)
        layers, how = block(node.block).layers(shape), block(node.block).join
        inputs = [
            f"x{source}" if ratio == 1 else f"nn.functional.max_pool2d(x{source}, {ratio})"
            for source, ratio in zip(node.inputs, ratios, strict=True)
        ]
        value = inputs[0] if len(inputs) == 1 else f"{functions.join(how)}({', '.join(inputs)})"
        if layers:
            value = f"self.nodes[{n - 1}]({value})"
        made = functions.call(node.block, shape) if layers else "nn.Identity()"
        nodes.append(f"                {made},  # {n}: {node.block}")
        steps.append(f"        x{n} = {value}  # {node.block}: {_size(graph.flows[n].shape)}")
    pooling, others, vector = _HEADS[graph.head]
    network = _NETWORK.format(
        pooling=pooling, others=others, vector=vector, depth=graph.depth, identity=graph.id[:12],
        image=_size(graph.image), nodes="\n".join(nodes), features=graph.features, classes=graph.classes,
        steps="\n".join(steps),
    )  # fmt: skip
    return "\n".join([*functions.sources(), network]).lstrip("\n")


def _size(shape: Shape) -> str:
    return " x ".join(map(str, shape))


Value = Union["_Call", int, str]


@dataclass(frozen=True)
class _Call:
    """A call, as text: the name of what is called, and its arguments; one by position has the name ""."""

    name: str
    arguments: tuple[tuple[str, Value], ...]

    @classmethod
    def of(cls, name: str, *values: Value, **named: Value) -> "_Call":
        return cls(name, (*(("", value) for value in values), *named.items()))

    def __str__(self) -> str:
        return f"{self.name}({', '.join(_named(name, str(value)) for name, value in self.arguments)})"

    def lines(self, room: int) -> list[str]:
        """Return one line, or where that has more than `room` columns, a line for each argument."""
        if len(str(self)) <= room:
            return [str(self)]
        found = [f"{self.name}("]
        for name, value in self.arguments:
            inner = value.lines(room - 4) if isinstance(value, _Call) else [str(value)]
            inner = [_named(name, inner[0]), *inner[1:]]
            found += [f"    {line}" for line in [*inner[:-1], f"{inner[-1]},"]]
        return [*found, ")"]


def _named(name: str, value: str) -> str:
    return f"{name}={value}" if name else value


class _Functions:
    """The functions of a network's source: one that makes each block, and what they call."""

    def __init__(self, epsilon: float) -> None:
        self._epsilon: dict[str, Value] = {} if epsilon == EPSILON else {"eps": repr(epsilon)}  # of normalisation
        self._blocks: dict[str, str] = {}  # source -> name
        self._joins = set[How]()
        self._branches = False

    def join(self, how: How) -> str:
        """Return the name of the function that joins maps."""
        self._joins.add(how)
        return _JOINS[how][0]

    def call(self, name: str, shape: Shape) -> str:
        """Return the call that makes the block `name` for inputs of `shape`."""
        elsewhere = shape._replace(channels=_ELSEWHERE)
        here, there = (self._chain("Node", block(name).layers(each), each) for each in (shape, elsewhere))
        arguments = _Arguments(shape.channels, _ELSEWHERE)
        body = arguments.common(here, there)
        parameters = ", ".join(f"{parameter}: int" for parameter in arguments.values)
        about = str(type(block(name)).__doc__).partition("\n")[0]
        first, *others = body.lines(_ROOM)
        lines = [f"({parameters}) -> Node:", f'    """{about}"""', f"    return {first}"]
        source = "\n".join([*lines, *(f"    {line}" for line in others)]) + "\n"
        made = self._blocks.setdefault(source, self._free(name))
        return f"{made}({', '.join(map(str, arguments.values.values()))})"

    def _free(self, name: str) -> str:
        """Return `name`, or where that is another block's or a join's, the name with underscores behind it."""
        taken = {*self._blocks.values(), *(joining for joining, _ in _JOINS.values())}
        while name in taken:
            name += "_"
        return name

    def sources(self) -> list[str]:
        """Return the sources, each before what calls it."""
        joins = [source for how, (_, source) in _JOINS.items() if how in self._joins]
        blocks = [f"\ndef {name}{source}" for source, name in self._blocks.items()]
        return [*joins, _NODE, *([_BRANCHES] if self._branches else []), *blocks]

    def _chain(self, kind: str, layers: Layers, shape: Shape) -> _Call:
        """Return the call of `kind` that makes a chain of `layers`; a single layer needs no nn.Sequential."""
        calls = list[_Call]()
        for layer in layers:
            calls.append(self._layer(layer, shape))
            shape = layer.measure(shape).shape
        return calls[0] if kind == "nn.Sequential" and len(calls) == 1 else _Call.of(kind, *calls)

    def _layer(self, layer: Layer, shape: Shape) -> _Call:
        match layer:
            case Conv(channels, kernel, stride, groups):
                named: dict[str, Value] = {} if stride == 1 else {"stride": stride}
                named |= {"padding": kernel // 2} if kernel > 1 else {}
                named |= {} if groups == 1 else {"groups": groups}
                return _Call.of("nn.Conv2d", shape.channels, channels, kernel, **named, bias="False")
            case Norm():
                return _Call.of("nn.BatchNorm2d", shape.channels, **self._epsilon, momentum=str(MOMENTUM))
            case Relu():
                return _Call.of("nn.ReLU")
            case Pool(kind, kernel, stride):
                padding: dict[str, Value] = {"padding": layer.padding} if layer.padding else {}
                name = {"max": "nn.MaxPool2d", "avg": "nn.AvgPool2d"}[kind]
                return _Call.of(name, kernel, stride, **padding)
            case Parallel(branches, how):
                self._branches = True
                inner = [
                    self._chain("nn.Sequential", branch, shape) if branch else _Call.of("nn.Identity")
                    for branch in branches
                ]
                return _Call.of("Branches", self.join(how), *inner)
        assert_never(layer)


class _Arguments:
    """What of a block follows its input: the parameters of its function, and their `values` here.

    Written for other channels, too, a block shows which of its numbers do; so none is named that only happens to be
    the same.
    """

    def __init__(self, here: int, there: int) -> None:
        """Begin with the channels of the input, here and elsewhere."""
        self._names = {(here, there): "ins"}
        self.values: dict[str, int] = {}

    def common(self, here: _Call, there: _Call) -> _Call:
        """Return `here` with a parameter in the place of each number that differs `there`."""
        if len(here.arguments) != len(there.arguments):  # as of what has a single channel
            return here
        pairs = zip(here.arguments, there.arguments, strict=True)
        return _Call(here.name, tuple((name, self._value(mine, other)) for (name, mine), (_, other) in pairs))

    def _value(self, here: Value, there: Value) -> Value:
        if isinstance(here, _Call) and isinstance(there, _Call):
            return self.common(here, there)
        if here == there or not (isinstance(here, int) and isinstance(there, int)):
            return here
        new = "outs" if len(self._names) == 1 else f"outs_{len(self._names)}"
        name = self._names.setdefault((here, there), new)
        self.values[name] = here
        return name
