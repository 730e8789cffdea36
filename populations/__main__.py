"""python -m populations COMMAND: look into runs and use them."""

import argparse
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from cgp.errors import BadInput
from evaluate.job import RECIPES
from populations.search.asking import add_session_flags
from populations.setup.config import flag_options
from populations.setup.flags import FLAGS, OF_FINETUNE
from populations.terminal.programs import OneLineParser, add_format, run_command


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return the exit code.

    0: done, 1: a replay differs from its record, 2: bad input, or a training or disk that gives up (one line
    on stderr), 130: stopped.
    """
    return run_command(parser(), argv)


def parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    made = OneLineParser(prog="populations", description="Look into runs and replay their models.")
    commands = made.add_subparsers(required=True, metavar="COMMAND", parser_class=OneLineParser)
    for add in _ADDED:
        add(commands)
    return made


def _add_list(commands: "argparse._SubParsersAction[OneLineParser]") -> None:
    listing = commands.add_parser("list", help="the runs in a folder")
    listing.add_argument("folder", nargs="?", type=Path, default=Path("runs"))
    add_format(listing)
    listing.set_defaults(command=_command_of("look", "list_runs"))


def _add_show(commands: "argparse._SubParsersAction[OneLineParser]") -> None:
    show = commands.add_parser("show", help="the models of a run, as a table")
    _with_run(show)
    show.add_argument("--generation", type=int, metavar="N", help="the population after generation N")
    show.add_argument("--sort", metavar="COLUMN", help="sort by a column, greatest first")
    show.add_argument("--front", action="store_true", help="the models that none beats in all objectives of the run")
    show.add_argument("--ledger", action="store_true", help="where the time of the slots went, and what was saved")
    add_format(show)
    show.set_defaults(command=_command_of("look", "show_models"))


def _add_best(commands: "argparse._SubParsersAction[OneLineParser]") -> None:
    best = commands.add_parser("best", help="the best model: its row, graph and folder")
    _with_run(best)
    add_format(best)
    best.set_defaults(command=_command_of("look", "show_best"))


def _add_compare(commands: "argparse._SubParsersAction[OneLineParser]") -> None:
    compare = commands.add_parser("compare", help="groups of models side by side: mean, spread, best, intervals")
    compare.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="run folder")
    for name, default, shown in (
        ("--by", "run", "what makes groups: a column of the models table, or a flag of the search [default: run]"),
        ("--metric", None, "column that is compared [default: val_accuracy; val_loss where a run is a regression]"),
        ("--stage", "search", "stage of the models [default: search]"),
    ):
        compare.add_argument(name, default=default, metavar="NAME", help=shown)
    add_format(compare)
    compare.set_defaults(command=_command_of("compare", "compare_groups"))


def _add_lineage(commands: "argparse._SubParsersAction[OneLineParser]") -> None:
    lineage = commands.add_parser("lineage", help="from the first ancestor to a model, or every parent")
    _with_run(lineage)
    lineage.add_argument("model", nargs="?", help="beginning of an id, or best")
    add_format(lineage)
    lineage.set_defaults(command=_command_of("look", "show_lineage"))


def _add_explain(commands: "argparse._SubParsersAction[OneLineParser]") -> None:
    explain = commands.add_parser(
        "explain", help="a model node by node: what each costs, and what its parent has there"
    )
    _with_model(explain)
    add_format(explain)
    explain.set_defaults(command=_command_of("explain", "explain_model"))


def _add_draw(commands: "argparse._SubParsersAction[OneLineParser]") -> None:
    draw = commands.add_parser("draw", help="a model as a picture: blocks, channels and sizes, and what reads what")
    _with_model(draw)
    draw.add_argument("--out", type=Path, required=True, metavar="FILE", help="what to write: .svg, .png or .dot")
    draw.add_argument("--genome", action="store_true", help="draw the silent nodes too")
    draw.add_argument("--force", action="store_true", help="overwrite FILE where it exists")
    draw.set_defaults(command=_command_of("draw", "draw_model"))


def _add_report(commands: "argparse._SubParsersAction[OneLineParser]") -> None:
    report = commands.add_parser(
        "report", help="runs as one HTML page, which opens offline: figures and every network"
    )
    report.add_argument("run", nargs="+", type=Path, help="run folder; several are compared")
    report.add_argument("--out", type=Path, required=True, metavar="FILE", help="what to write: .html")
    report.add_argument("--force", action="store_true", help="overwrite FILE where it exists")
    report.set_defaults(command=_command_of("report", "write_report"))


def _add_watch(commands: "argparse._SubParsersAction[OneLineParser]") -> None:
    watch = commands.add_parser("watch", help="the page of `report`, live in the browser of this machine")
    watch.add_argument("run", nargs="+", type=Path, help="run folder, which may be searching; several are compared")
    watch.add_argument("--port", type=int, default=8650, metavar="N", help="port, 0 for any free one [default: 8650]")
    watch.set_defaults(command=_command_of("watch", "watch_runs", "web", "starlette", "uvicorn", "plotly"))


def _add_plot(commands: "argparse._SubParsersAction[OneLineParser]") -> None:
    plot = commands.add_parser("plot", help="a figure of a run for a paper: as wide as a column, readable in grey")
    _with_run(plot)
    plot.add_argument("what", help="progress, depth, pareto, blocks, lineage or curves")
    plot.add_argument("--out", type=Path, required=True, metavar="FILE", help="what to write: .png, .svg or .pdf")
    plot.add_argument("--force", action="store_true", help="overwrite FILE where it exists")
    plot.set_defaults(command=_command_of("plot", "plot_run"))


def _add_replay(commands: "argparse._SubParsersAction[OneLineParser]") -> None:
    again = commands.add_parser("replay", help="score a model again and compare to the bit")
    _with_model(again)
    again.add_argument("--retrain", action="store_true", help="train it again with its seed, and compare")
    again.add_argument("--test", action="store_true", help="score the test images too, and record it")
    again.add_argument(
        "--recipe", metavar="NAME", help=f"train from scratch on train+validation by {', '.join(RECIPES)}; then test"
    )
    again.add_argument("--epochs", type=int, metavar="N", help="epochs of --recipe")
    again.add_argument(
        "--compile",
        action=argparse.BooleanOptionalAction,
        default=False,
        help="train --recipe by torch.compile; on a CPU it has not paid [default: no]",
    )
    add_session_flags(again)
    again.set_defaults(command=_command_of("replay", "replay_model"))


def _add_confirm(commands: "argparse._SubParsersAction[OneLineParser]") -> None:
    confirm = commands.add_parser("confirm", help="train the best models again on fresh seeds: does the order hold?")
    _with_run(confirm)
    confirm.add_argument("--top", type=int, default=3, metavar="N", help="how many models [default: 3]")
    confirm.add_argument("--seeds", type=int, default=3, metavar="K", help="trainings of each [default: 3]")
    add_session_flags(confirm)
    add_format(confirm)
    confirm.set_defaults(command=_command_of("confirm", "confirm_models"))


def _add_measure(commands: "argparse._SubParsersAction[OneLineParser]") -> None:
    measure = commands.add_parser("measure", help="measure models: the test images by class, or the time of a pass")
    _with_run(measure)
    measure.add_argument("models", nargs="*", metavar="MODEL", help="beginning of an id, or best [default]")
    measure.add_argument("--measure", default="clean", metavar="NAME", help="what is measured [default: clean]")
    add_session_flags(measure)
    add_format(measure)
    measure.set_defaults(command=_command_of("measure", "measure_models"))


def _add_predict(commands: "argparse._SubParsersAction[OneLineParser]") -> None:
    predict = commands.add_parser("predict", help="what a model says of images: classes and their probabilities")
    _with_run(predict)
    predict.add_argument("model", help="beginning of an id, or best")
    predict.add_argument("images", nargs="+", type=Path, metavar="PATH", help="image file, or folder of images")
    predict.add_argument("--top", type=int, default=3, metavar="N", help="most probable classes shown [default: 3]")
    add_format(predict)
    predict.set_defaults(command=_command_of("predict", "predict_images"))


def _add_finetune(commands: "argparse._SubParsersAction[OneLineParser]") -> None:
    finetune = commands.add_parser("finetune", help="train a model on, on other images, as a run of its own")
    _with_model(finetune)
    for name, default in OF_FINETUNE.items():
        known = FLAGS[name]
        shown = known.help.partition(" [default")[0] + (f" [default: {default}]" if default else "")
        about = {"help": shown, "required": name == "dataset", "default": None, "dest": known.spelled}
        finetune.add_argument(known.spelled, **flag_options(known) | about)
    finetune.set_defaults(command=_command_of("finetune", "finetune_model"))


def _add_export(commands: "argparse._SubParsersAction[OneLineParser]") -> None:
    export = commands.add_parser("export", help="carry a network away: as Python source, ONNX, torch.export, weights")
    _with_model(export)
    export.add_argument(
        "--format", default="source", metavar="NAME", help="source (a folder with model.py), onnx, torch-export or "
        "safetensors [default: source]",
    )  # fmt: skip
    export.add_argument("--out", type=Path, required=True, metavar="PATH", help="the folder or file to write")
    export.add_argument("--force", action="store_true", help="replace what an earlier export wrote there")
    export.set_defaults(command=_command_of("export", "export_model"))


def _add_import(commands: "argparse._SubParsersAction[OneLineParser]") -> None:
    imported = commands.add_parser(
        "import", help="networks of another program as a run, in which none is trained yet"
    )
    imported.add_argument(
        "file", type=Path, metavar="FILE", help="a network a line: an active list, or a row of a log"
    )
    imported.add_argument(
        "--format", required=True, metavar="NAME", help="cgp-cnn: as cgp-cnn-PyTorch prints and logs"
    )
    imported.add_argument("--out", type=Path, required=True, metavar="RUN", help="folder of the run to make")
    imported.add_argument("--image", required=True, metavar="C,H,W", help="channels, height and width of the images")
    imported.add_argument("--classes", type=int, required=True, metavar="N", help="how many classes there are")
    imported.add_argument(
        "--rows", type=int, default=5, metavar="N", help="of the grid of a logged genome [default: 5]"
    )
    imported.add_argument(
        "--columns", type=int, default=30, metavar="N", help="of the grid of a logged genome [default: 30]"
    )
    imported.add_argument(
        "--types", metavar="NAMES", help="types by their number in a logged genome, with commas [default: theirs]"
    )
    imported.add_argument(
        "--dataset", default="cifar10", metavar="NAME", help="images to train them on later [default: cifar10]"
    )
    imported.add_argument("--data-dir", default="data", metavar="DIR", help="where their files are [default: data]")
    imported.set_defaults(command=_command_of("import_networks", "import_networks"))


def _add_tensorboard(commands: "argparse._SubParsersAction[OneLineParser]") -> None:
    board = commands.add_parser(
        "tensorboard", help="a run as event files for TensorBoard: curves, settings, population"
    )
    _with_run(board)
    board.add_argument("--out", type=Path, metavar="DIR", help="folder to write [default: tensorboard in the run's]")
    _with_follow(board)
    board.set_defaults(command=_command_of("tensorboard", "write_events", "tensorboard", "tensorboard"))


def _add_mlflow(commands: "argparse._SubParsersAction[OneLineParser]") -> None:
    mlflow = commands.add_parser("mlflow", help="a run in MLflow: curves, settings, population")
    _with_run(mlflow)
    mlflow.add_argument("--uri", required=True, help="tracking server, http://HOST:PORT, or sqlite:///FILE.db")
    mlflow.add_argument("--experiment", metavar="NAME", help="experiment to log to [default: name of the run folder]")
    _with_follow(mlflow)
    mlflow.set_defaults(command=_command_of("mlflow", "log_runs", "mlflow", "mlflow"))


_ADDED = (
    *(_add_list, _add_show, _add_best, _add_lineage, _add_compare, _add_explain, _add_draw),
    *(_add_report, _add_watch, _add_plot),
    *(_add_replay, _add_confirm, _add_measure, _add_finetune, _add_predict, _add_export, _add_import),
    *(_add_tensorboard, _add_mlflow),
)


def _with_run(command: OneLineParser) -> None:
    command.add_argument("run", type=Path, help="run folder")


def _with_model(command: OneLineParser) -> None:
    _with_run(command)
    command.add_argument("model", nargs="?", default="best", help="beginning of an id, or best [default]")


def _with_follow(command: OneLineParser) -> None:
    command.add_argument(
        "--follow", action="store_true", help="go on with what comes, as long as the run is searching"
    )


def _command_of(module: str, name: str, extra: str = "", *packages: str) -> Callable[[argparse.Namespace], int]:
    """Return a command that imports its module when it is called: torch takes seconds, and no other needs it.

    One that needs the `packages` of an `extra` raises BadInput where one of them is not installed.
    """

    def command(arguments: argparse.Namespace) -> int:
        if missing := [package for package in packages if find_spec(package) is None]:
            raise BadInput(f"{missing[0]} is not installed here; install it: pip install 'cgp-evolve[{extra}]'")
        code: int = getattr(import_module(f"populations.commands.{module}"), name)(arguments)
        return code

    return command


if __name__ == "__main__":
    sys.exit(main())
