"""What tells a child from its parent, in words. No torch."""

from difflib import SequenceMatcher
from typing import Any

_Node = tuple[str, tuple[int, ...]]  # its block, and by how far back it reads


def change(parent: dict[str, Any], child: dict[str, Any]) -> str:
    """Return in words what turned the graph `parent` into `child`, both as JSON; empty where either is no graph.

    Nodes are numbered as in the child; those that are gone, as in the parent.
    """
    if "nodes" not in parent or "nodes" not in child:
        return ""
    before, after = _nodes(parent), _nodes(child)
    blocks = SequenceMatcher(None, [block for block, _ in before], [block for block, _ in after], autojunk=False)
    told, rewired = list[str](), 0
    for kind, low, high, first, last in blocks.get_opcodes():
        if kind == "equal":
            rewired += sum(a != b for a, b in zip(before[low:high], after[first:last], strict=True))
        else:
            told.append(_told(kind, before[low:high], low, after[first:last], first))
    if rewired:
        told.append(f"{rewired} node{'s' * (rewired > 1)} rewired")
    return "; ".join(told) or "nothing that is active"


def _nodes(graph: dict[str, Any]) -> list[_Node]:
    return [(block, tuple(n - source for source in inputs)) for n, (block, *inputs) in enumerate(graph["nodes"], 1)]


def _told(kind: str, gone: list[_Node], low: int, new: list[_Node], first: int) -> str:
    if kind == "delete":
        return f"{_at(low, len(gone))} {_named(gone)} left out"
    if kind == "insert":
        return f"{_at(first, len(new))} {_named(new)} put in"
    return f"{_at(first, len(new))} {_named(gone)} became {_named(new)}"


def _at(first: int, count: int) -> str:
    return f"node {first + 1}:" if count == 1 else f"nodes {first + 1} to {first + count}:"


def _named(nodes: list[_Node]) -> str:
    names = [block for block, _ in nodes]
    return ", ".join(names) if len(names) <= 4 else f"{', '.join(names[:3])} and {len(names) - 3} more"
