"""Every flag of `evolve.py`: defaults, `--config FILE` (TOML), command line, in that order."""

import argparse
import dataclasses
import os
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from cgp.blocks import FUNCTION_SETS
from cgp.errors import BadInput, did_you_mean
from cgp.families import FAMILIES
from cgp.layers import Shape
from cgp.space import Space
from evaluate.data.datasets import dataset_names
from evaluate.fitness import OBJECTIVES
from evaluate.job import (
    INITIALISATIONS,
    OPTIMIZERS,
    PRECISIONS,
    RECIPES,
    SCHEDULES,
    DataSpec,
    Recipe,
    recipe,
)
from populations.run_folder.folder import read_json
from populations.setup.checks import check_flags, check_names
from populations.setup.executors import EXECUTORS
from populations.setup.recorded import meaning, means_as_recorded
from populations.strategies import STRATEGIES
from populations.terminal.programs import OneLineParser, populations_command, program

USUAL = "usual"  # default of --max-flops, which depends on the images


class Flag(NamedTuple):
    """A flag; `search` says that another value makes it another search, which cannot be resumed."""

    group: str
    name: str
    type: type
    default: Any
    help: str
    search: bool = True


def _from_recipe(what: str) -> str:
    return f"{what} [default: the recipe's]"


def _or(words: Sequence[str]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}"


_LIMITED = [
    f"{name} {known.max_params // 10**6} million" for name, known in FUNCTION_SETS.items() if known.max_params
]
_PLACES = [f"{name} ({executor.where})" for name, executor in EXECUTORS.items()]

# fmt: off
FLAGS = (
    Flag("space", "num-min-depth", int, 20, "fewest active nodes of a genome"),
    Flag("space", "num-max-depth", int, 70, "most active nodes of a genome"),
    Flag("space", "function-set", str, "resnet", f"{', '.join(FUNCTION_SETS)}, or blocks with commas"),
    Flag("space", "levels-back", int, 10, "how many nodes back a second input may reach"),
    Flag("space", "max-params", int, None, f"limit on trainable parameters [default: {'; '.join(['none', *_LIMITED])}]"),
    Flag("space", "max-flops", int, USUAL, f"limit on forward FLOPs per image, 0 for none; {USUAL}: half a million a pixel, as a ResNet-110 has"),
    Flag("evolution", "strategy", str, "mu-plus-lambda", ", ".join(STRATEGIES)),
    Flag("evolution", "family", str, None, f"train the networks of a family instead of a search: {', '.join(FAMILIES)}"),
    Flag("evolution", "population", int, 8, "networks of generation 0, and survivors of each later one (one-plus-lambda: one)"),
    Flag("evolution", "offspring", int, None, "children a generation; not of random, which draws --population networks each time [default: --population]"),
    Flag("evolution", "generations", int, 3, "generations, the random one included", False),
    Flag("evolution", "mutation-rate", float, 0.05, "chance of each gene to change"),
    Flag("evolution", "objectives", str, "val_accuracy,params", f"{', '.join(OBJECTIVES)}; later ones break ties"),
    Flag("evolution", "re-evaluate", bool, False, "train a graph again although it was scored before"),
    Flag("evolution", "seed", int, 0, "of the search; children and trainings derive theirs from it"),
    Flag("evolution", "deterministic", bool, False, "of aging: breed as if results came in order of number"),
    Flag("evolution", "racing", bool, True, "stop trainings whose val_accuracy at a rung is not in the best third"),
    Flag("evolution", "rungs", str, None, "epochs after which racing judges [default: a ninth and a third of them]"),
    Flag("evolution", "inherit", bool, False, "children begin with their parent's weights; the last population, from scratch"),
    Flag("evaluation", "dataset", str, "digits", ", ".join(dataset_names())),
    Flag("evaluation", "data-dir", str, "data", "where torchvision's dataset files are", False),
    Flag("evaluation", "download", bool, False, "download the dataset into --data-dir", False),
    Flag("evaluation", "train-size", int, None, "stratified subset of the training images [default: all]"),
    Flag("evaluation", "val-size", str, "auto", "stratified subset of the validation images: a number, all, or auto: as large a share as --train-size, at least 10 a class"),
    Flag("evaluation", "image-size", int, None, "crop and scale folder: images to this side, pixels [default: as they are]"),
    Flag("evaluation", "recipe", str, "fast", ", ".join(RECIPES)),
    Flag("evaluation", "epochs", int, None, _from_recipe("passes over the training images")),
    Flag("evaluation", "batch-size", int, None, _from_recipe("images a step")),
    Flag("evaluation", "optimizer", str, None, _from_recipe(", ".join(OPTIMIZERS))),
    Flag("evaluation", "lr", float, None, _from_recipe("highest learning rate")),
    Flag("evaluation", "schedule", str, None, _from_recipe(", ".join(SCHEDULES))),
    Flag("evaluation", "weight-decay", float, None, _from_recipe("L2 penalty of the weights")),
    Flag("evaluation", "momentum", float, None, _from_recipe("Nesterov momentum of sgd")),
    Flag("evaluation", "label-smoothing", float, None, _from_recipe("share spread over all classes")),
    Flag("evaluation", "init", str, None, _from_recipe(", ".join(INITIALISATIONS))),
    Flag("evaluation", "patience", int, None, _from_recipe("stop after so many epochs without improvement, 0 never")),
    Flag("evaluation", "precision", str, None, _from_recipe(", ".join(PRECISIONS))),
    Flag("evaluation", "augment", bool, None, _from_recipe("shift images, and mirror them where that is fair")),
    Flag("evaluation", "cuda-graphs", bool, None, _from_recipe("on GPUs, start the kernels of a step as one graph")),
    Flag("resources", "devices", str, "auto", "auto, cpu, or GPUs such as cuda:0,cuda:1", False),
    Flag("resources", "workers", int, None, "worker processes [default: one per GPU, or per CPU core]", False),
    Flag("resources", "workers-per-device", str, None, "worker processes on each device: a number, or auto, by a probe of each GPU; instead of --workers", False),
    Flag("resources", "timeout", float, None, "seconds after which a training (racing: a stretch of it) is killed [default: none]", False),
    Flag("resources", "executor", str, "local", f"where networks are trained: {_or(_PLACES)}", False),
    Flag("resources", "scheduler", str, None, "of --executor dask: address of the Dask scheduler, tcp://HOST:PORT", False),
    Flag("resources", "wait", float, 60.0, "of --executor dask: seconds to wait for Dask workers when there are none", False),
    Flag("run", "run", str, None, "folder of the run [default: runs/DATASET-N]", False),
    Flag("run", "keep", str, "all", "whose weights to keep: all, or best; records are always kept", False),
)
# fmt: on
_RECIPE_FIELDS = {field.name for field in dataclasses.fields(Recipe)} - {"name"}


@dataclass(frozen=True)
class Config:
    """A search as asked for: `values` holds every flag of `FLAGS` by its name with underscores."""

    values: dict[str, Any]
    resume: Path | None = None  #: run folder to go on with
    retry_failed: bool = False
    dry_run: bool = False
    profile: bool = False

    @classmethod
    def of(cls, recorded: dict[str, Any], folder: Path) -> "Config":
        """Return what the run in `folder` was asked for. Raises BadInput where `recorded` is not a whole record."""
        return cls(meaning(recorded, _BY_NAME, folder))

    def __getattr__(self, name: str) -> Any:
        """Return the value of a flag."""
        try:
            return self.__dict__["values"][name]
        except KeyError:
            raise AttributeError(name) from None

    def recipe(self) -> Recipe:
        """Return the recipe with the flags that override it. Raises BadInput for a bad value."""
        changes = {name: self.values[name] for name in _RECIPE_FIELDS if self.values[name] is not None}
        return recipe(self.values["recipe"], **changes)

    def data(self) -> DataSpec:
        """Return which images to use."""
        names = ("dataset", "data_dir", "train_size", "image_size", "val_size")
        name, folder, train, side, validation = (self.values[name] for name in names)
        if validation == "all" or (validation == "auto" and train is None):
            return DataSpec(name, folder, train, side)
        return DataSpec(name, folder, train, side, "auto" if validation == "auto" else int(validation))

    def space(self, image: Shape, classes: int) -> Space:
        """Return what may be drawn for images of that shape. Raises BadInput for a space without networks."""
        names = ("function_set", "num_min_depth", "num_max_depth", "levels_back", "max_params", "max_flops")
        blocks, fewest, most, back, params, flops = (self.values[name] for name in names)
        if flops != USUAL:
            return Space(blocks, fewest, most, image, classes, back, params, flops or None)
        unlimited = Space(blocks, fewest, most, image, classes, back, params)
        return dataclasses.replace(unlimited, max_flops=unlimited.usual_flops)

    def resolved(self, recipe: Recipe) -> dict[str, Any]:
        """Return every flag with the recipe's own values filled in: what `config.json` records."""
        return self.values | {name: getattr(recipe, name) for name in _RECIPE_FIELDS}


def parser() -> argparse.ArgumentParser:
    """Return the parser of `evolve.py`; a flag that is not given leaves no value."""
    made = OneLineParser(
        prog=program(),
        description="Search for convolutional networks by evolution: draw, train, score, breed, keep all.",
        epilog=f"Underscores work too (--num_min_depth). Inspect a run: {populations_command()} show RUN",
        argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
    )
    groups = {name: made.add_argument_group(name) for name in dict.fromkeys(flag.group for flag in FLAGS)}
    for flag in FLAGS:
        shown = (
            flag.help if flag.default is None or flag.default is False else f"{flag.help} [default: {flag.default}]"
        )
        options: dict[str, Any] = {"help": shown.replace("%", "%%")}
        if flag.type is bool:
            options["action"] = argparse.BooleanOptionalAction
        else:
            options |= {"type": flag.type, "metavar": flag.type.__name__.upper()}
        groups[flag.group].add_argument(f"--{flag.name}", **options)
    run = groups["run"]
    run.add_argument(
        "--config", type=Path, metavar="FILE", help="TOML file of flags, which flags given here override"
    )
    run.add_argument("--resume", type=Path, metavar="RUN", help="go on with a run that was stopped or killed")
    run.add_argument("--retry-failed", action="store_true", help="with --resume: try again what did not end ok")
    run.add_argument("--dry-run", action="store_true", help="draw a population, show it and its cost, train nothing")
    run.add_argument(
        "--profile", action="store_true", help="train the first network for an epoch, show where time goes"
    )
    return made


def parse(argv: Sequence[str]) -> Config:
    """Return the configuration of a command line.

    Raises BadInput for unknown flags, values of the wrong type, and a resume with other search flags.
    """
    return _configured(vars(parser().parse_args([_dashed(argument) for argument in argv])))


def from_flags(flags: Mapping[str, Any]) -> Config:
    """Return the configuration of a call from Python: `flags` by their names with underscores, None: not given.

    Raises BadInput as `parse` does.
    """
    given = {name: os.fspath(v) if isinstance(v, os.PathLike) else v for name, v in flags.items() if v is not None}
    for name in ("dry_run", "profile"):
        if name in given:
            raise BadInput(f"evolve.run: {name} makes no run; leave it out, or give it on the command line")
    typed = _typed(given, "evolve.run", _TYPES | {"config": str, "resume": str, "retry_failed": bool})
    return _configured(typed | {name: Path(typed[name]) for name in ("config", "resume") if name in typed})


def _configured(given: dict[str, Any]) -> Config:
    """Return the configuration of flags and switches that are given, in their types."""
    flags = {name: given.pop(name) for name in list(given) if name in _BY_NAME}
    typed = frozenset(flags)
    if "config" in given:
        flags = read_toml(given["config"]) | flags
    resume = given.get("resume")
    if given.get("retry_failed") and resume is None:
        raise BadInput("--retry-failed: goes with --resume RUN, which was not given")
    rival = next((name for name in ("profile", "retry_failed") if given.get(name)), None)
    if given.get("dry_run") and rival:
        raise BadInput(f"--dry-run: trains nothing and goes without --{rival.replace('_', '-')}; leave one out")
    values = absolute({flag.name.replace("-", "_"): flag.default for flag in FLAGS})
    flags = absolute(flags)
    rivals = {name: flags[name] for name in ("workers", "workers_per_device") if flags.get(name) is not None}
    if len(rivals) == 2:
        raise BadInput(f"--workers-per-device: {flags['workers_per_device']} goes without --workers; leave one out")
    if resume is not None:
        values |= _resumed(resume, flags) | (dict.fromkeys(("workers", "workers_per_device")) if rivals else {})
    switches = {name: given.get(name, False) for name in ("retry_failed", "dry_run", "profile")}
    values |= ({"generations": 1} if flags.get("family") else {}) | flags
    if values["executor"] == "dask" and (asked := [name for name in ("dry_run", "profile") if switches[name]]):
        flag = f"--{asked[0].replace('_', '-')}"
        raise BadInput(f"{flag}: times this machine, not the workers of --executor dask; leave one out")
    made = Config(values | {"offspring": values["offspring"] or values["population"]}, resume, **switches)
    check_flags(made.values, flags, typed)
    check_names(made.values, made.recipe(), made.data(), typed)
    return made


def absolute(flags: dict[str, Any]) -> dict[str, Any]:
    """Return `flags` with data paths that hold from any working directory."""
    if "data_dir" in flags:
        flags = flags | {"data_dir": _absolute_path("--data-dir ", flags["data_dir"])}
    if str(flags.get("dataset")).startswith("folder:"):
        path = _absolute_path("--dataset folder:", flags["dataset"].removeprefix("folder:"))
        flags = flags | {"dataset": f"folder:{path}"}
    return flags


def _absolute_path(flag: str, path: str) -> str:
    try:
        return str(Path(path).expanduser().absolute())
    except RuntimeError as error:
        raise BadInput(f"{flag}{path}: found no home of that user; expected the path of a folder") from error


def _dashed(argument: str) -> str:
    """Spell a flag with dashes; what follows an equals sign is the user's."""
    name, equals, value = argument.partition("=")
    return name.replace("_", "-") + equals + value if name.startswith("--") else argument


def read_toml(path: Path) -> dict[str, Any]:
    """Return the flags in a TOML file, dashes or underscores, flat or in the tables of `--help`.

    Raises BadInput, naming the file, for anything that is no flag or of another type.
    """
    try:
        found = tomllib.loads(path.read_text())
    except (OSError, ValueError, RecursionError) as error:  # the last for tables nested too deep
        raise BadInput(f"--config {path}: cannot be read as TOML: {error}") from error
    flat = dict[str, Any]()
    for key, value in found.items():
        flat |= value if isinstance(value, dict) else {key: value}
    return _typed({key.replace("-", "_"): value for key, value in flat.items()}, f"--config {path}", _TYPES)


def _typed(flags: dict[str, Any], where: str, types: Mapping[str, type]) -> dict[str, Any]:
    """Return `flags` in their types; raise BadInput, naming `where` they were given, for another name or type."""
    for name, value in flags.items():
        if name not in types:
            raise BadInput(f"{where}: no flag {name!r}{did_you_mean(name, types)}")
        wanted = types[name]
        if wanted is str and type(value) is int:  # where a word or a number may stand
            flags[name] = str(value)
        elif type(value) is not wanted and not (wanted is float and type(value) is int):
            raise BadInput(f"{where}: {name} = {value!r}; expected {wanted.__name__}")
    return flags


_BY_NAME = {flag.name.replace("-", "_"): flag for flag in FLAGS}
_TYPES = {name: flag.type for name, flag in _BY_NAME.items()}


def _resumed(run: Path, flags: dict[str, Any]) -> dict[str, Any]:
    """Return the flags of `run`. Raises BadInput where `flags` would make it another search."""
    recorded = Config.of(read_json(run / "config.json"), run).values
    for name, value in flags.items():
        if _BY_NAME[name].search and not means_as_recorded(name, recorded[name], value):
            raise BadInput(
                f"--resume {run}: --{_BY_NAME[name].name} {value} differs from the run's "
                f"{recorded[name]}; leave it out, or start another run"
            )
    if flags.get("generations", recorded["generations"]) < recorded["generations"]:
        raise BadInput(
            f"--resume {run}: --generations {flags['generations']} is below the run's "
            f"{recorded['generations']}; expected as many or more"
        )
    if "run" in flags:
        raise BadInput(f"--resume {run}: --run {flags['run']} names another folder; leave it out")
    return recorded | {"run": str(run)}
