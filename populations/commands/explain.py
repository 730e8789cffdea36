"""The command `explain`: a model node by node, beside its parent. No torch."""

import argparse

from populations.reading.explain import Explained, explain
from populations.reading.frame import load
from populations.terminal.tables import print_table

_SPARE = ("params_share", "field", "reads", "flops", "gives")  # first to go where there is no room


def explain_model(arguments: argparse.Namespace) -> int:
    """Show the nodes of a model; as a table also the model and its parent side by side, and what changed."""
    found = explain(load(arguments.run), arguments.model)
    shown = arguments.format == "table"
    text = ["node", "block", "reads", "gives", "was"]
    blank = {name: "" for name in text if name in found.nodes}
    print_table(found.nodes.fillna(blank) if shown else found.nodes, arguments.format, _SPARE)
    if shown:
        print(f"\n{_changes(found)}\n")
        print(found.beside.to_string(index=False, na_rep="", float_format=lambda value: f"{value:,.10g}"))
    return 0


def _changes(found: Explained) -> str:
    if found.parent is None:
        return f"{found.id} has no parent: it was drawn at random, or made by hand"
    was = found.nodes["was"]
    gone = int((found.nodes["block"] == "-").sum())
    new = int((was == "-").sum())
    other = int((was != "").sum()) - gone - new
    counted = ((other, "changed"), (new, "new"), (gone, "gone"))
    said = ", ".join(f"{count} node{'s' * (count > 1)} {what}" for count, what in counted if count)
    return f"{found.id} from its parent {found.parent}: {said or 'the same network'}"
