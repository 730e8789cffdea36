"""python -m populations list|show|best|lineage|replay|confirm|measure: look into runs, and ask more of them."""

import argparse
import json
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import pandas as pd

from cgp.errors import BadInput
from cgp.graph import Graph
from evaluate.job import RECIPES, SEARCH
from populations.reading.frame import Run, load
from populations.reading.ledger import ledger
from populations.terminal.programs import OneLineParser

SHORT = (  # columns of the table on a terminal; csv and json have all
    *("id", "stage", "job", "generation", "parent", "status", "depth"),
    *("conv_layers", "params", "val_accuracy", "test_accuracy", "seconds"),
)
SPARE = ("conv_layers", "stage", "parent", "generation", "seconds", "job", "params", "depth", "status")  # first to go


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return the exit code.

    0: done, 1: a replay differs from its record, 2: bad input, or a training or disk that gives up (one line
    on stderr), 130: stopped.
    """
    try:
        arguments = parser().parse_args(argv)
        code: int = arguments.command(arguments)
    except BrokenPipeError:  # as in `... | head`
        sys.stderr.close()
        return 0
    except (BadInput, OSError) as error:
        print(f"populations: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return code


def parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    made = OneLineParser(prog="populations", description="Look into runs and replay their models.")
    commands = made.add_subparsers(required=True, metavar="COMMAND", parser_class=OneLineParser)

    listing = commands.add_parser("list", help="the runs in a folder")
    listing.add_argument("folder", nargs="?", type=Path, default=Path("runs"))
    listing.set_defaults(command=list_runs)

    show = commands.add_parser("show", help="the models of a run, as a table")
    show.add_argument("--generation", type=int, metavar="N", help="the population after generation N")
    show.add_argument("--sort", metavar="COLUMN", help="sort by a column, greatest first")
    show.add_argument("--ledger", action="store_true", help="where the time of the slots went, and what was saved")
    show.set_defaults(command=show_models)

    best = commands.add_parser("best", help="the best model: its row, graph and folder")
    best.set_defaults(command=show_best)

    lineage = commands.add_parser("lineage", help="from the first ancestor to a model, or every parent")
    lineage.add_argument("model", nargs="?", help="beginning of an id, or best")
    lineage.set_defaults(command=show_lineage)

    again = commands.add_parser("replay", help="score a model again and compare to the bit")
    again.add_argument("model", nargs="?", default="best", help="beginning of an id, or best [default]")
    again.add_argument("--retrain", action="store_true", help="train it again with its seed, and compare")
    again.add_argument("--test", action="store_true", help="score the test images too, and record it")
    again.add_argument(
        "--recipe", metavar="NAME", help=f"train from scratch on train+validation by {', '.join(RECIPES)}; then test"
    )
    again.add_argument("--epochs", type=int, metavar="N", help="epochs of --recipe")
    again.add_argument("--data-dir", metavar="DIR", help="where torchvision's dataset files are now, if moved")
    again.add_argument(
        "--dataset", metavar="folder:PATH", help="where the images of a folder: dataset are now, if moved"
    )
    again.add_argument(
        "--compile",
        action=argparse.BooleanOptionalAction,
        default=False,
        help="train --recipe by torch.compile; on a CPU it has not paid [default: no]",
    )
    again.set_defaults(command=_command_of("replay", "replay_model"))

    confirm = commands.add_parser("confirm", help="train the best models again on fresh seeds: does the order hold?")
    confirm.add_argument("--top", type=int, default=3, metavar="N", help="how many models [default: 3]")
    confirm.add_argument("--seeds", type=int, default=3, metavar="K", help="trainings of each [default: 3]")
    confirm.set_defaults(command=_command_of("confirm", "confirm_models"))

    measure = commands.add_parser("measure", help="measure models: the test images, by class")
    measure.add_argument("models", nargs="*", metavar="MODEL", help="beginning of an id, or best [default]")
    measure.add_argument("--measure", default="clean", metavar="NAME", help="what is measured [default: clean]")
    measure.set_defaults(command=_command_of("measure", "measure_models"))

    for command in (confirm, measure):
        command.add_argument("--workers", type=int, metavar="N", help="worker processes [default: the run's]")
        command.add_argument("--devices", metavar="NAMES", help="auto, cpu, or GPUs with commas [default: the run's]")
    for command in (show, best, lineage, again, confirm, measure):
        command.add_argument("run", type=Path, help="run folder")
    for command in (again, lineage, measure):  # RUN stands before MODEL
        command._actions.sort(key=lambda action: action.dest in ("model", "models"))
    for command in (listing, show, best, lineage):
        command.add_argument("--format", choices=("table", "csv", "json"), default="table")
    return made


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
    return _print(pd.DataFrame(rows), arguments.format, ("function_set", "ok", "strategy", "dataset", "started"))


def _listed(run: Run) -> dict[str, Any]:
    finished = run.models[run.models["status"] == "ok"]
    return {
        "run": str(run.folder),
        "state": run.state,
        "started": next(iter(run.sessions["started"]), "")[:16].replace("T", " "),  # UTC, to the minute
        "dataset": run.config.get("dataset"),
        "strategy": run.config.get("strategy"),
        "function_set": run.config["function_set"],
        "networks": len(run.models),
        "ok": len(finished),
        "best_val_accuracy": finished["val_accuracy"].max(),
    }


def show_models(arguments: argparse.Namespace) -> int:
    """Show all models of a run, the population after a generation, or where the time went."""
    run = load(arguments.run)
    if arguments.ledger:
        if arguments.sort or arguments.generation is not None:
            raise BadInput(
                "--ledger: tells of the whole run; expected neither --sort nor --generation, leave them out"
            )
        return _print(ledger(run), arguments.format)
    table = run.models if arguments.generation is None else run.population(arguments.generation)
    if arguments.sort:
        if arguments.sort not in table:
            raise BadInput(f"--sort: no column {arguments.sort!r}; one of {', '.join(table.columns)}")
        table = table.sort_values(arguments.sort, ascending=False, kind="stable")
    if arguments.format == "table":
        shown = dict.fromkeys((*SHORT, *([arguments.sort] if arguments.sort else [])))
        plain = (table["stage"] == SEARCH).all() and arguments.sort != "stage"
        table = table[[name for name in shown if name in table and not (plain and name == "stage")]]
    return _print(table, arguments.format, [name for name in SPARE if name != arguments.sort])


def show_best(arguments: argparse.Namespace) -> int:
    """Show the best model: its row, and as a table also its blocks and folder."""
    run = load(arguments.run)
    model = run.model("best")
    row = run.models[run.models["id"] == model.id]
    if arguments.format != "table":
        return _print(row, arguments.format)
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
    return _print(table, arguments.format, ("job", "generation", "depth", "status"))


def _command_of(module: str, name: str) -> Callable[[argparse.Namespace], int]:
    """Return a command that imports its module when it is called: torch takes seconds, and no other needs it."""

    def command(arguments: argparse.Namespace) -> int:
        code: int = getattr(import_module(f"populations.commands.{module}"), name)(arguments)
        return code

    return command


def _print(table: pd.DataFrame, form: str, spare: Sequence[str] = ()) -> int:
    """Print `table`; where it is wider than the terminal, without the first of its `spare` columns."""
    if form == "csv":
        print(table.to_csv(index=False), end="")
    elif form == "json":
        plain = table.astype(object).where(table.notna(), None)
        print(json.dumps(plain.to_dict("records"), indent=1))
    else:
        table = table.fillna({name: "" for name in ("parent", "same_as") if name in table})
        left_out = _too_wide(table, spare)
        print(_text(table.drop(columns=left_out)))
        if left_out:
            print(f"(no room for {', '.join(left_out)}; --format csv has all columns)", file=sys.stderr)
    return 0


def _too_wide(table: pd.DataFrame, spare: Sequence[str]) -> list[str]:
    """Return the columns to leave out so that the rest fits the terminal; a pipe takes all, unless COLUMNS is set."""
    if not sys.stdout.isatty() and not os.environ.get("COLUMNS"):
        return []
    room = shutil.get_terminal_size().columns
    widths = {name: 1 + len(_text(table[[name]]).partition("\n")[0]) for name in table}
    left_out = list[str]()
    for name in spare:
        if sum(widths.values()) - 1 <= room:
            break
        if widths.pop(name, None):
            left_out.append(name)
    return left_out


def _text(table: pd.DataFrame) -> str:
    return table.to_string(index=False, na_rep="", float_format=lambda value: f"{value:.4f}")


if __name__ == "__main__":
    sys.exit(main())
