"""A search as asked for: defaults, `--config FILE` (TOML), command line or Python, in that order."""

import argparse
import dataclasses
import os
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from cgp.errors import BadInput, did_you_mean
from cgp.families import VGG_FEATURES
from cgp.feature_amounts import Amounts
from cgp.layers import EPSILON, Shape
from cgp.residual_mlp import RESIDUAL_MLP
from cgp.space import Space
from evaluate.files import START
from evaluate.foreign import PREFIX, with_paths
from evaluate.job import DataSpec, Recipe, Weights, recipe
from populations.run_folder.folder import read_json
from populations.setup.checks import check_flags, check_names, depths_of
from populations.setup.flags import BEFORE, FLAGS, GROUPS, USUAL, Flag, Flags, grouped, spelled
from populations.setup.recorded import meaning, means_as_recorded
from populations.strategies import AUTO, STRATEGIES, usual
from populations.terminal.programs import OneLineParser, populations_command, program

_RECIPE_FIELDS = {field.name for field in dataclasses.fields(Recipe)} - {"name"}
_TYPES = {name: flag.type for name, flag in FLAGS.items()}


@dataclass(frozen=True)
class Config(Flags):
    """The flags of a search, `config.evolution.population` for one, and which search it is."""

    resume: Path | None = None  #: run folder to go on with
    retry_failed: bool = False
    dry_run: bool = False
    profile: bool = False

    @classmethod
    def of(cls, recorded: dict[str, Any], folder: Path) -> "Config":
        """Return what the run in `folder` was asked for. Raises BadInput where `recorded` is not a whole record."""
        return cls(**grouped(meaning(recorded, FLAGS, BEFORE, folder)))

    def recipe(self) -> Recipe:
        """Return the recipe with the flags that override it. Raises BadInput for a bad value."""
        given = vars(self.evaluation)
        changes = {name: given[name] for name in _RECIPE_FIELDS if given[name] is not None}
        return recipe(self.evaluation.recipe, **changes)

    def data(self) -> DataSpec:
        """Return which images to use."""
        asked = self.evaluation
        spec = DataSpec(
            asked.dataset, asked.data_dir, asked.train_size, asked.image_size, preprocess=asked.preprocess
        )
        if asked.val_size == "all" or (asked.val_size == "auto" and asked.train_size is None):
            return spec
        return dataclasses.replace(spec, val_size="auto" if asked.val_size == "auto" else int(asked.val_size))

    def amounts(self) -> Amounts:
        """Return which networks `--family vgg-features` means. Raises BadInput for a bad value."""
        asked = self.evolution
        return Amounts(asked.vgg_depth, asked.features_total, asked.exact_total, asked.variants)

    def start(self) -> Weights | None:
        """Return with what weights networks begin, in a file of the run folder; None where they begin fresh."""
        asked = self.beginning
        if asked.weights is None or asked.mode == "from-scratch":
            return None
        frozen: Literal["nothing", "norm", "backbone"] = "nothing" if asked.train_norm else "norm"
        if asked.mode == "probe":
            frozen = "backbone"
        return Weights(START, frozen, not asked.keep_head, 1.0 if asked.mode == "probe" else asked.backbone_rate)

    def family_options(self) -> dict[str, Any]:
        """Return the options that the family of the run has. Raises BadInput for a bad value."""
        asked = self.mlp
        if self.evolution.family == VGG_FEATURES:
            return {"amounts": self.amounts()}
        if self.evolution.family != RESIDUAL_MLP:
            return {}
        return {"depths": depths_of(asked.mlp_depths), "width": asked.mlp_width, **asked.of_each}

    @property
    def weights_file(self) -> Path | None:
        """Where the weights are that are to be trained on: in the run, once that has begun; None without any."""
        if self.beginning.weights is None:
            return None
        copy = self.resume / START if self.resume else None
        return copy if copy and copy.exists() else Path(self.beginning.weights)

    def space_for(self, image: Shape, classes: int) -> Space:
        """Return what may be drawn for images of that shape. Raises BadInput for a space without networks.

        Residual MLPs are not drawn: theirs is the same whatever the flags, and fits images of a single pixel.
        """
        asked = self.space
        if self.evolution.family == RESIDUAL_MLP:
            return Space("conv_1_1", 1, 1, image, classes)
        unlimited = Space(
            asked.function_set,
            asked.num_min_depth,
            asked.num_max_depth,
            image,
            classes,
            asked.levels_back,
            asked.max_params,
            wiring=asked.wiring,
            rows=asked.rows,
            columns=asked.columns or asked.num_max_depth,
            head=asked.head,
            norm_epsilon=EPSILON if asked.norm_epsilon is None else asked.norm_epsilon,
        )
        most = unlimited.usual_flops if asked.max_flops == USUAL else asked.max_flops
        return dataclasses.replace(unlimited, max_flops=most or None)

    def resolved(self, recipe: Recipe) -> dict[str, Any]:
        """Return every flag with the recipe's own values filled in: what `config.json` records."""
        return self.values | {name: getattr(recipe, name) for name in _RECIPE_FIELDS}


# Where flags are given


def parser() -> argparse.ArgumentParser:
    """Return the parser of `evolve.py`; a flag that is not given leaves no value."""
    made = OneLineParser(
        prog=program(),
        description="Search for convolutional networks by evolution: draw, train, score, breed, keep all.",
        epilog=f"Underscores work too (--num_min_depth). Inspect a run: {populations_command()} show RUN",
        argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
    )
    groups = {name: made.add_argument_group(name) for name in GROUPS}
    for flag in FLAGS.values():
        groups[flag.group].add_argument(flag.spelled, **flag_options(flag))
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


def flag_options(flag: Flag) -> dict[str, Any]:
    """Return what argparse is told of a flag."""
    shown = flag.help if flag.default is None or flag.default is False else f"{flag.help} [default: {flag.default}]"
    about: dict[str, Any] = {"help": shown.replace("%", "%%")}
    if flag.type is bool:
        return about | {"action": argparse.BooleanOptionalAction}
    if flag.bare is not None:
        about |= {"nargs": "?", "const": flag.bare}
    return about | {"type": flag.type, "metavar": flag.type.__name__.upper()}


def parse(argv: Sequence[str]) -> Config:
    """Return the configuration of a command line.

    Raises BadInput for unknown flags, values of the wrong type, and a resume with other search flags.
    """
    given = vars(parser().parse_args([_dashed(argument) for argument in argv]))
    return _configured(given)


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


def _dashed(argument: str) -> str:
    """Spell a flag with dashes; what follows an equals sign is the user's."""
    name, equals, value = argument.partition("=")
    return name.replace("_", "-") + equals + value if name.startswith("--") else argument


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


# What is made of them

_OF_GIVEN = {"generations": 1, "inherit": False}
_OF_MLP = {"recipe": "limit", "objectives": "val_loss,params"}
_UNRACED = {"racing": False, "rungs": None}


def _configured(given: dict[str, Any]) -> Config:
    """Return the configuration of flags and switches that are given, in their types."""
    typed = {name: value for name, value in given.items() if name in FLAGS}
    flags = (read_toml(given["config"]) if "config" in given else {}) | typed
    switches = {name: value for name, value in given.items() if name not in {*FLAGS, "config"}}
    _check_switches(switches)
    flags = absolute(flags)
    asked = _begun(switches.get("resume"), flags) | flags
    if asked["family"] or asked["weights"]:  # a file of flags may serve searches, too
        asked |= {name: value for name, value in _OF_GIVEN.items() if name not in typed}
    if asked["weights"] and "recipe" not in flags and not switches.get("resume"):
        asked["recipe"] = "finetune"
    if asked["family"] == RESIDUAL_MLP and not switches.get("resume"):
        asked |= {name: value for name, value in _OF_MLP.items() if name not in flags}
    if asked["strategy"] == AUTO:  # a run records what that is; nothing is learned from networks that are given
        asked["strategy"] = usual(1 if asked["family"] or asked["weights"] else asked["population"])
    if asked["strategy"] in STRATEGIES and not STRATEGIES[asked["strategy"]].races:
        asked |= {name: value for name, value in _UNRACED.items() if name not in typed}
    made = Config(**grouped(asked), **switches)
    # A run records how many networks it asks for: not that they are as many as usual.
    population, offspring = made.evolution.sizes
    evolution = dataclasses.replace(made.evolution, population=population, offspring=offspring)
    made = dataclasses.replace(made, evolution=evolution)
    _refuse_preview_of_cluster(made)
    check_flags(made, flags, typed)
    check_names(made, made.recipe(), made.data(), flags, typed)
    if made.evolution.family == VGG_FEATURES:
        made.amounts().variants()  # refuses what leaves none
    return made


def _check_switches(switches: Mapping[str, Any]) -> None:
    if switches.get("retry_failed") and switches.get("resume") is None:
        raise BadInput("--retry-failed: goes with --resume RUN, which was not given")
    rival = next((name for name in ("profile", "retry_failed") if switches.get(name)), None)
    if switches.get("dry_run") and rival:
        raise BadInput(f"--dry-run: trains nothing and goes without {spelled(rival)}; leave one out")


def _refuse_preview_of_cluster(asked: Config) -> None:
    if asked.resources.executor == "dask" and (asked.dry_run or asked.profile):
        flag = "--dry-run" if asked.dry_run else "--profile"
        raise BadInput(f"{flag}: times this machine, not the workers of --executor dask; leave one out")


def absolute(flags: dict[str, Any]) -> dict[str, Any]:
    """Return `flags` with paths of data, of weights and of code that hold from any working directory."""
    if "objectives" in flags:
        objectives = with_paths(flags["objectives"], partial(_absolute_path, f"--objectives {PREFIX}"))
        flags = flags | {"objectives": objectives}
    if "data_dir" in flags:
        flags = flags | {"data_dir": _absolute_path("--data-dir ", flags["data_dir"])}
    if flags.get("weights"):
        flags = flags | {"weights": _absolute_path("--weights ", flags["weights"])}
    if str(flags.get("dataset")).startswith("folder:"):
        path = _absolute_path("--dataset folder:", flags["dataset"].removeprefix("folder:"))
        flags = flags | {"dataset": f"folder:{path}"}
    return flags


def _absolute_path(flag: str, path: str) -> str:
    try:
        return str(Path(path).expanduser().absolute())
    except RuntimeError as error:
        raise BadInput(f"{flag}{path}: found no home of that user; expected the path of a folder") from error


def _begun(run: Path | None, flags: Mapping[str, Any]) -> dict[str, Any]:
    """Return every flag as it is before `flags` are heeded: its default, or what `run` was asked for.

    Raises BadInput where `flags` exclude each other, or would make `run` another search.
    """
    rivals = {name: flags[name] for name in ("workers", "workers_per_device") if flags.get(name) is not None}
    if len(rivals) == 2:
        raise BadInput(f"--workers-per-device: {flags['workers_per_device']} goes without --workers; leave one out")
    if run is None:
        return absolute(Flags().values)
    return _resumed(run, flags) | (dict.fromkeys(("workers", "workers_per_device")) if rivals else {})


def _resumed(run: Path, flags: Mapping[str, Any]) -> dict[str, Any]:
    """Return the flags of `run`. Raises BadInput where `flags` would make it another search."""
    recorded = Config.of(read_json(run / "config.json"), run)
    values, generations = recorded.values, recorded.evolution.generations
    for name, value in flags.items():
        if FLAGS[name].search and not means_as_recorded(name, values[name], value):
            raise BadInput(
                f"--resume {run}: {spelled(name)} {value} differs from the run's "
                f"{values[name]}; leave it out, or start another run"
            )
    if flags.get("generations", generations) < generations:
        raise BadInput(
            f"--resume {run}: --generations {flags['generations']} is below the run's "
            f"{generations}; expected as many or more"
        )
    if "run" in flags:
        raise BadInput(f"--resume {run}: --run {flags['run']} names another folder; leave it out")
    return values | {"run": str(run)}
