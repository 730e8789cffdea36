"""The commands `list`, `show`, `best` and `lineage`: tables of runs. No torch."""

import argparse
import sys
from typing import Any

import pandas as pd

from cgp.errors import BadInput
from cgp.graph import Graph
from evaluate.job import FINAL, IMPORTED, SEARCH
from evaluate.metrics import known_objectives
from populations.reading.frame import Run, load
from populations.reading.ledger import ledger
from populations.setup.recorded import networks_of
from populations.terminal.tables import print_table

SHORT = (  # columns of the table on a terminal; csv and json have all
    *("id", "stage", "job", "generation", "parent", "status", "depth"),
    *("conv_layers", "params", "val_accuracy", "test_accuracy", "seconds"),
)
SPARE = ("conv_layers", "stage", "parent", "generation", "seconds", "job", "params", "depth", "status")  # first to go


def list_runs(arguments: argparse.Namespace) -> int:
    """Show the runs in a folder, one row each."""
    rows = []
    for path in sorted(arguments.folder.glob("*/run.sqlite")):
        try:
            rows.append(_listed(load(path.parent)))
        except BadInput as error:
            print(f"populations: {error}", file=sys.stderr)
    if not rows:
        raise BadInput(f"{arguments.folder}: holds no runs; expected a folder of run folders, such as runs")
    print_table(pd.DataFrame(rows), arguments.format, ("function_set", "ok", "strategy", "dataset", "started"))
    return 0


def _listed(run: Run) -> dict[str, Any]:
    searched = run.models[run.models["stage"].isin((SEARCH, FINAL, IMPORTED))]
    finished = searched[searched["status"] == "ok"]
    scores = finished[run.score]
    return {
        "run": str(run.folder),
        "state": run.state,
        "started": next(iter(run.sessions["started"]), "")[:16].replace("T", " "),  # UTC, to the minute
        "dataset": run.config.get("dataset"),
        "strategy": run.config.get("strategy"),
        "function_set": networks_of(run.config),
        "networks": len(searched),
        "ok": len(finished),
        f"best_{run.score}": scores.min() if run.regression else scores.max(),
    }


def show_models(arguments: argparse.Namespace) -> int:
    """Show all models of a run, the population after a generation, the front, or where the time went."""
    run = load(arguments.run)
    if arguments.ledger:
        if arguments.sort or arguments.front or arguments.generation is not None:
            raise BadInput(
                "--ledger: tells of the whole run; expected neither --sort, --front nor --generation, leave them out"
            )
        print_table(ledger(run), arguments.format)
        return 0
    table = _asked(run, arguments)
    goals = [goal.name for goal in known_objectives(run.config.get("objectives", ""))] if arguments.front else []
    if arguments.sort:
        if arguments.sort not in table:
            raise BadInput(f"--sort: no column {arguments.sort!r}; one of {', '.join(table.columns)}")
        table = table.sort_values(arguments.sort, ascending=False, kind="stable")
    if arguments.format == "table":
        shown = dict.fromkeys((*SHORT, *goals, *([arguments.sort] if arguments.sort else [])))
        plain = (table["stage"] == SEARCH).all() and arguments.sort != "stage"
        shown = {run.score if name == "val_accuracy" else name: None for name in shown}
        table = table[[name for name in shown if name in table and not (plain and name == "stage")]]
    print_table(table, arguments.format, [name for name in SPARE if name not in (arguments.sort, *goals)])
    return 0


def _asked(run: Run, arguments: argparse.Namespace) -> pd.DataFrame:
    if not arguments.front:
        return run.models if arguments.generation is None else run.population(arguments.generation)
    if arguments.generation is not None:
        raise BadInput(
            f"--front: is of the whole run; expected no --generation {arguments.generation}, leave one out"
        )
    if run.front.empty:
        raise BadInput(f"{run.folder}: no finished network yet; expected at least one whose status is ok")
    return run.front


def show_best(arguments: argparse.Namespace) -> int:
    """Show the best model: its row, and as a table also its blocks and folder."""
    run = load(arguments.run)
    model = run.model("best")
    row = run.models[run.models["id"] == model.id]
    if arguments.format != "table":
        print_table(row, arguments.format)
        return 0
    print(row.iloc[0].to_string())
    print(f"\n{model.folder}")
    if isinstance(model.model, Graph):
        _print_nodes(model.model)
    return 0


def _print_nodes(graph: Graph) -> None:
    for n, node in enumerate(graph.nodes, 1):
        shape = "x".join(map(str, graph.flows[n].shape))
        reads = ", ".join("image" if source == 0 else str(source) for source in node.inputs)
        print(f"{n:4}  {node.block:14} reads {reads:12} gives {shape}")


def show_lineage(arguments: argparse.Namespace) -> int:
    """Show the ancestors of a model, or the parent of every model."""
    run = load(arguments.run)
    table = run.lineage if arguments.model is None else run.ancestors(run.identity(arguments.model))
    print_table(table, arguments.format, ("job", "generation", "depth", "status"))
    return 0
