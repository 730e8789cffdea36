"""A model node by node, beside its parent. No torch."""

from typing import Any, NamedTuple

import pandas as pd

from cgp.blocks import block
from cgp.errors import BadInput
from cgp.graph import Graph, Node
from populations.reading.frame import Run

_BESIDE = ("depth", "conv_layers", "params", "flops", "receptive_field", "val_accuracy", "val_loss")


class Explained(NamedTuple):
    """What there is to say of a model."""

    id: str
    parent: str | None  #: id of what it was bred from; None for a random draw or a network made by hand
    #: a row per node and one for the head: node, block, reads, gives (channels x height x width), params,
    #: params_share, flops, flops_share (of the whole, 0..1), field (receptive, in pixels); with a parent also `was`:
    #: what that has in this place, empty where it is the same, `-` where it has none; behind the head what the parent
    #: has beyond
    nodes: pd.DataFrame
    beside: pd.DataFrame  #: a row per cost or score: of the model, and with a parent of that and the difference


def explain(run: Run, name: str) -> Explained:
    """Explain the model that `name` means. Raises BadInput for one that is unknown, ambiguous or no graph."""
    identity = run.identity(name)
    rows = run.models.set_index("id")
    found = rows.loc[identity, "parent"]
    parent = found if isinstance(found, str) else None
    model, other = _graph(run, identity), _graph(run, parent) if parent else None
    nodes = _nodes(model)
    if other is not None:
        nodes = _with_parent(nodes, model, other)
    beside = rows.loc[[identity, *([parent] if parent else [])], list(_BESIDE)].astype(float).T
    if parent:
        beside["difference"] = beside[identity] - beside[parent]
    return Explained(identity, parent, nodes, beside.rename_axis(index="", columns=None).reset_index())


def _graph(run: Run, identity: str) -> Graph:
    model = run.model(identity).model
    if not isinstance(model, Graph):
        raise BadInput(f"model {identity}: is no graph, but of kind {type(model).__name__}; a graph can be explained")
    return model


def _nodes(graph: Graph) -> pd.DataFrame:
    rows = list[dict[str, Any]]()
    for n, (node, step, flow) in enumerate(zip(graph.nodes, graph.steps, graph.flows[1:], strict=True), 1):
        gives = "x".join(map(str, flow.shape))
        rows.append(_row(str(n), node.block, _reads(node), gives, step.params, step.flops, flow.field))
    own = {name: sum(row[name] for row in rows) for name in ("params", "flops")}
    head = graph.params - own["params"], graph.flops - own["flops"]
    rows.append(_row("head", "linear", str(graph.depth), str(graph.classes), *head, graph.receptive_field))
    table = pd.DataFrame(rows)
    shares = {f"{name}_share": table[name] / max(1, table[name].sum()) for name in ("params", "flops")}
    order = ["node", "block", "reads", "gives", "params", "params_share", "flops", "flops_share", "field"]
    return table.assign(**shares)[order]


def _row(node: str, kind: str, reads: str, gives: str, params: int, flops: int, field: int) -> dict[str, Any]:
    return {
        "node": node, "block": kind, "reads": reads, "gives": gives, "params": params, "flops": flops, "field": field,
    }  # fmt: skip


def _reads(node: Node) -> str:
    return ", ".join("image" if source == 0 else str(source) for source in node.inputs)


def _with_parent(table: pd.DataFrame, graph: Graph, parent: Graph) -> pd.DataFrame:
    common = [_was(old, new) for new, old in zip(graph.nodes, parent.nodes, strict=False)]
    was = [*common, *["-"] * (graph.depth - len(common)), ""]
    beyond = [
        {"node": str(n), "block": "-", "was": _said(node)}
        for n, node in enumerate(parent.nodes[graph.depth :], graph.depth + 1)
    ]
    whole = pd.concat([table.assign(was=was), pd.DataFrame(beyond)], ignore_index=True)
    return whole.astype(dict.fromkeys(("params", "flops", "field"), "Int64"))


def _was(old: Node, new: Node) -> str:
    """Return what a node was, empty where it is the same: a sum is, whichever of its inputs comes first."""
    inputs = (sorted(node.inputs) if block(node.block).join == "sum" else list(node.inputs) for node in (old, new))
    return "" if old.block == new.block and len({tuple(found) for found in inputs}) == 1 else _said(old)


def _said(node: Node) -> str:
    return f"{node.block} reads {_reads(node)}"
