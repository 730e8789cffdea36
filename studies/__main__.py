"""python -m studies NAME RUN: questions to the models of a run."""

import argparse
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path

from populations.search.asking import add_session_flags
from populations.search.stop import Stopped
from populations.setup.config import flag_options
from populations.setup.flags import FLAGS
from populations.terminal.programs import OneLineParser, add_format, run_command

# Flags of `evolve.py` that `depth` takes, too.
_OF_DEPTH = (
    *("num_min_depth", "num_max_depth", "levels_back", "max_params", "max_flops", "seed", "dataset", "data_dir"),
    *("val_size", "image_size", "recipe", "epochs", "batch_size", "lr", "augment", "precision", "devices", "workers"),
    *("timeout", "executor", "scheduler"),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Ask a question and return the exit code.

    0: answered, 1: nothing could be measured, 2: bad input, or a disk that gives up (one line on stderr), 130:
    stopped.
    """
    return run_command(parser(), argv)


def parser() -> argparse.ArgumentParser:
    """Return the parser of all studies."""
    made = OneLineParser(prog="studies", description="Ask questions of populations.")
    studies = made.add_subparsers(required=True, metavar="STUDY", parser_class=OneLineParser)
    for add in _ADDED:
        add(studies)
    return made


def _add_spectra(studies: "argparse._SubParsersAction[OneLineParser]") -> None:
    spectra = studies.add_parser("spectra", help="how many directions the channels of each convolution use")
    _with_models(spectra)
    spectra.add_argument("--samples", type=int, metavar="N", help="test images, evenly spaced [default: all]")
    spectra.add_argument(
        "--threshold",
        type=float,
        metavar="SHARE",
        help="count singular values above this share of a layer's largest [default: a hundredth]",
    )
    spectra.set_defaults(command=_command_of("spectra"))


def _add_corruptions(studies: "argparse._SubParsersAction[OneLineParser]") -> None:
    corruptions = studies.add_parser("corruptions", help="what noise, blur, weather and compression do to networks")
    _with_models(corruptions)
    corruptions.add_argument("--images", type=int, metavar="N", help="test images, evenly spaced [default: all]")
    corruptions.add_argument(
        "--files", type=Path, metavar="DIR", help="CIFAR-10-C: NAME.npy and labels.npy [default: computed]"
    )
    corruptions.set_defaults(command=_command_of("corruptions"))


def _add_forgetting(studies: "argparse._SubParsersAction[OneLineParser]") -> None:
    forgetting = studies.add_parser("forgetting", help="what networks forget of some classes when they learn others")
    _with_models(forgetting)
    forgetting.add_argument("--split", default="5+5", metavar="A+B", help="classes, first and next [default: 5+5]")
    forgetting.add_argument("--seeds", type=int, default=3, metavar="K", help="trainings of each [default: 3]")
    forgetting.add_argument("--epochs", type=int, metavar="N", help="epochs of each half [default: the run's]")
    forgetting.set_defaults(command=_command_of("forgetting"))


def _add_depth(studies: "argparse._SubParsersAction[OneLineParser]") -> None:
    depth = studies.add_parser("depth", help="whether depth is what matters, by kind of network and size of the data")
    depth.add_argument("--function-sets", default="vgg,resnet,densenet,inception", metavar="SETS", help="with commas")
    depth.add_argument("--train-sizes", default="500,1000,5000,10000", metavar="SIZES", help="with commas")
    depth.add_argument("--networks", type=int, default=20, metavar="N", help="drawn of each set [default: 20]")
    depth.add_argument(
        "--run", type=Path, default=Path("runs/depth"), metavar="DIR",
        help="folder of a run for each set and size [default: runs/depth]",
    )  # fmt: skip
    for name in _OF_DEPTH:
        known = FLAGS[name]
        given = {"default": "all" if name == "val_size" else None, "dest": name}  # the same images at every size
        depth.add_argument(known.spelled, **flag_options(known) | given)
    add_format(depth)
    depth.set_defaults(command=_command_of("depth"), passed=_OF_DEPTH)


def _add_landscape(studies: "argparse._SubParsersAction[OneLineParser]") -> None:
    landscape = studies.add_parser("landscape", help="the loss on a plane around the weights of a network")
    _with_named_models(landscape, "*", "beginnings of ids, or best [default: best]")
    landscape.add_argument(
        "--directions", choices=("random", "trajectory"), default="random",
        help="random ones around the best weights, or the principal ones of the training around its last weights "
        "[default: random]",
    )  # fmt: skip
    landscape.add_argument("--seed", type=int, metavar="N", help="of random directions [default: 0]")
    landscape.add_argument("--grid", type=int, default=21, metavar="N", help="points of a side [default: 21]")
    landscape.add_argument(
        "--reach", type=float, metavar="R",
        help="how far the plane reaches to each side; 1 is as far as each filter is long, or with --directions "
        "trajectory as far as the farthest epoch lies [default: 1, of a trajectory 1.25]",
    )  # fmt: skip
    landscape.add_argument(
        "--batch-norm", choices=("running", "recomputed"), default="running",
        help="batch statistics as trained, or recomputed at each point on training images [default: running]",
    )  # fmt: skip
    landscape.add_argument(
        "--images", choices=("validation", "training"), default="validation", help="of the loss [default: validation]"
    )
    landscape.add_argument("--samples", type=int, metavar="N", help="so many of them, evenly spaced [default: all]")
    landscape.set_defaults(command=_command_of("landscape"))


def _add_lr_range(studies: "argparse._SubParsersAction[OneLineParser]") -> None:
    lr_range = studies.add_parser("lr-range", help="at which learning rates the loss falls: the learning-rate finder")
    _with_named_models(lr_range, "+", "beginnings of ids, or best")
    lr_range.add_argument(
        "--from", type=float, default=1e-5, dest="lowest", metavar="RATE", help="first rate [default: 1e-5]"
    )
    lr_range.add_argument(
        "--to", type=float, default=10.0, dest="highest", metavar="RATE", help="last rate [default: 10]"
    )
    lr_range.add_argument(
        "--batches",
        type=int,
        default=100,
        metavar="N",
        help="in which the rate rises to the last [default: 100]",
    )
    lr_range.set_defaults(command=_command_of("lr_range"))


def _add_activations(studies: "argparse._SubParsersAction[OneLineParser]") -> None:
    activations = studies.add_parser("activations", help="what the activations of each layer were like in training")
    activations.add_argument("run", type=Path, help="run folder, of a search with --record activations")
    activations.add_argument(
        "models", nargs="*", metavar="ID", help="beginnings of ids, or best [default: all that were trained]"
    )
    activations.add_argument("--top", type=int, metavar="N", help="the best N by the run's objectives [default: all]")
    add_format(activations)
    activations.set_defaults(command=_command_of("activations"))


def _add_features(studies: "argparse._SubParsersAction[OneLineParser]") -> None:
    features = studies.add_parser("features", help="which layers of VGG want the features: of --family vgg-features")
    features.add_argument("run", type=Path, help="run folder")
    add_format(features)
    features.set_defaults(command=_command_of("features"))


def _add_limit(studies: "argparse._SubParsersAction[OneLineParser]") -> None:
    limit = studies.add_parser(
        "limit", help="whether weights have a limit as a path in depth, and how gradients fall"
    )
    _with_models(limit)
    limit.add_argument("--p", type=float, default=2.0, metavar="P", help="of the p-variation, 1..64 [default: 2]")
    places = "which weights of each block to follow, from 0,0 [default: three]"
    limit.add_argument("--weights", nargs="+", metavar="ROW,COLUMN", help=places)
    limit.set_defaults(command=_command_of("limit"))


_ADDED = (
    *(_add_spectra, _add_corruptions, _add_forgetting, _add_depth, _add_features, _add_limit),
    *(_add_landscape, _add_lr_range, _add_activations),
)


def _with_models(study: OneLineParser) -> None:
    """Add the run, which of its models are asked about, where that is computed, and in which form it is shown."""
    study.add_argument("run", type=Path, help="run folder")
    named = "beginnings of ids, or best [default: all]"
    study.add_argument("--models", nargs="+", default=[], metavar="MODEL", help=named)
    study.add_argument("--top", type=int, metavar="N", help="the best N by the run's objectives [default: all]")
    add_session_flags(study)
    add_format(study)


def _with_named_models(study: OneLineParser, count: str, shown: str) -> None:
    """Add the run, so many (as argparse counts) of its models, where that is computed, and how it is shown."""
    study.add_argument("run", type=Path, help="run folder")
    study.add_argument("models", nargs=count, metavar="ID", help=shown)
    add_session_flags(study)
    add_format(study)


def _command_of(module: str) -> Callable[[argparse.Namespace], int]:
    """Return a command that imports its study when it is called: torch takes seconds."""

    def command(arguments: argparse.Namespace) -> int:
        try:
            code: int = import_module(f"studies.{module}").ask(arguments)
        except Stopped:
            print("stopped at once; the same command goes on", file=sys.stderr)
            return 130
        return code

    return command


if __name__ == "__main__":
    sys.exit(main())
