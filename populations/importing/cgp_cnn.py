"""Networks of cgp-cnn-PyTorch (Suganuma et al. 2017), from what it prints and logs. No torch.

A line is the active list of a network, `[["input", 0, 0], ["S_ConvBlock_64_3", 0, 0], ..., ["full", 17, 16]]`: a row
per node, its type and the rows that it reads, of which all but sums and concatenations heed the first. Or it is a row
of `log_cgp.txt`: generation, evaluations, seconds, fitness, active nodes, and then the whole genome as integers, of
each node of the grid, column by column, and of the output: type, first input, second input.
"""

import ast
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cgp.blocks import block
from cgp.errors import BadInput, did_you_mean
from cgp.graph import Graph, Node
from cgp.layers import Shape

#: Types by the number that the genome has for them, as that program is published.
TYPES = (
    *(f"S_{kind}_{w}_{k}" for kind in ("ConvBlock", "ResBlock") for w in (32, 128, 64) for k in (1, 3, 5)),
    *("Concat", "Sum", "Max_Pool", "Avg_Pool"),
)  # fmt: skip
_NUMBERED = re.compile(r"S_(ConvBlock|ResBlock)_(\d+)_(\d+)")
_KINDS = {"ConvBlock": "conv", "ResBlock": "res"}
_WHOLE = {"Concat": "concat", "Sum": "sum", "Max_Pool": "maxpool", "Avg_Pool": "avgpool"}
_LOGGED = 5  # numbers before the genome
_NUMPY = re.compile(r"np\.int\d+\((\d+)\)")  # as numpy 2 prints the numbers of a list
_ROW = re.compile(r"[\[(]\s*(?=['\"])")  # where the row of a list begins


@dataclass(frozen=True)
class Source:
    """What a file of networks does not say by itself."""

    image: Shape
    classes: int
    rows: int = 5  #: of the grid of a logged genome
    columns: int = 30
    types: tuple[str, ...] = TYPES  #: by the number that a logged genome has for them


def read(path: Path, source: Source) -> list[Graph]:
    """Return the networks in `path`, one of each line that is not empty; their head is `flatten`.

    Raises BadInput, naming line and column, for what is no network.
    """
    for name in source.types:
        if _block_of(name) is None:
            raise BadInput(f"--types: {name!r} is no type of cgp-cnn-PyTorch; expected such as {TYPES[0]}, Sum")
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path}: cannot be read ({error}); expected a network a line") from error
    networks = [_network(f"{path}, line {n}", line, source) for n, line in enumerate(lines, 1) if line.strip()]
    if not networks:
        raise BadInput(f"{path}: holds no network; expected one a line")
    return networks


def _network(where: str, line: str, source: Source) -> Graph:
    listed = line.lstrip().startswith("[")
    nodes = _of_list(where, line, _rows(where, line)) if listed else _of_log(where, line.split(","), source)
    try:
        graph = Graph(tuple(nodes), source.image, source.classes, "flatten")
        graph.flows  # noqa: B018 - walks the graph
    except BadInput as error:
        raise BadInput(f"{where}: {error}") from error
    return graph


def _block_of(name: object) -> str | None:
    """Return our name of a type, None where there is no such type."""
    found = _NUMBERED.fullmatch(str(name))
    ours = f"{_KINDS[found[1]]}_{found[2]}_{found[3]}" if found else _WHOLE.get(str(name))
    try:
        return ours if ours and block(ours) else None
    except BadInput:
        return None


# -- the active list


def _rows(where: str, line: str) -> list[Any]:
    """Read a line as JSON or as a Python literal, which is data: nothing is evaluated."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        try:
            value = ast.literal_eval(_NUMPY.sub(r"\1", line.strip()))
        except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError) as error:
            raise BadInput(f"{where}: is neither JSON nor a Python list ({type(error).__name__})") from error
    return list(value)


def _of_list(where: str, line: str, rows: Sequence[Any]) -> list[Node]:
    starts = [found.end() + 1 for found in _ROW.finditer(line)]
    nodes = list[Node]()
    for n, row in enumerate(rows):
        here = f"{where}, column {starts[n] if n < len(starts) else 1}"
        if not isinstance(row, list | tuple) or len(row) < 2 or not all(type(number) is int for number in row[1:]):
            raise BadInput(f"{here}: row {n} is {str(row)[:60]!r}; expected a type and the rows that it reads")
        name, *inputs = row
        if n == 0 or n == len(rows) - 1:
            wanted = "full" if n else "input"
            if name != wanted:
                raise BadInput(f"{here}: row {n} is {name!r}; expected input, nodes, and in the end full")
            if n and inputs[0] != n - 1:
                raise BadInput(f"{here}: the output reads row {inputs[0]}; expected {n - 1}, that of the last node")
            continue
        found = _block_of(name)
        if found is None:
            raise BadInput(f"{here}: row {n} has the unknown type {str(name)!r}{did_you_mean(str(name), TYPES)}")
        nodes.append(Node(found, tuple(inputs[: block(found).arity])))
    if not nodes:
        raise BadInput(f"{where}: has no nodes; expected input, nodes, and in the end full")
    return nodes


# -- a row of the log


def _of_log(where: str, fields: Sequence[str], source: Source) -> list[Node]:
    cells = source.rows * source.columns
    expected = _LOGGED + 3 * (cells + 1)
    if len(fields) != expected:
        raise BadInput(
            f"{where}: has {len(fields)} numbers; expected {expected}, {_LOGGED} and the genome of a grid of "
            f"{source.rows} x {source.columns} (--rows, --columns), or a list that begins with ["
        )
    genes = [_whole(where, column, fields[column - 1]) for column in range(_LOGGED + 1, expected + 1)]
    active = {cells}  # cells are counted from 0; an input 0 is the image, n the cell n - 1
    names = dict[int, str]()
    for cell in range(cells, -1, -1):
        if cell not in active:
            continue
        kind, *inputs = genes[3 * cell : 3 * cell + 3]
        if cell < cells:
            names[cell] = _logged_block(f"{where}, column {_LOGGED + 3 * cell + 1}", kind, source)
        for slot in range(block(names[cell]).arity if cell < cells else 1):
            if not 0 <= inputs[slot] <= source.rows * (cell // source.rows):
                column = _LOGGED + 3 * cell + slot + 2
                raise BadInput(f"{where}, column {column}: input {inputs[slot]}; expected one of an earlier column")
            if inputs[slot]:
                active.add(inputs[slot] - 1)
    place = {0: 0} | {cell + 1: n for n, cell in enumerate(sorted(names), 1)}
    return [
        Node(names[cell], tuple(place[each] for each in genes[3 * cell + 1 :][: block(names[cell]).arity]))
        for cell in sorted(names)
    ]


def _whole(where: str, column: int, text: str) -> int:
    try:
        return int(text)
    except ValueError as error:
        raise BadInput(f"{where}, column {column}: {text.strip()[:40]!r}; expected a whole number") from error


def _logged_block(where: str, kind: int, source: Source) -> str:
    if not 0 <= kind < len(source.types):
        raise BadInput(f"{where}: type {kind}; expected 0..{len(source.types) - 1}, see --types")
    found = _block_of(source.types[kind])
    assert found is not None  # `read` has looked
    return found
