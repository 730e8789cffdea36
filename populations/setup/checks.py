"""What is wrong with the flags of a search, said before torch is imported or anything is written.

Ranges are asked of the flags given now: a run that is resumed with what it was recorded with, by whichever
version, is not judged again. A flag without effect is refused on the command line alone, so that one file of flags
serves all strategies and datasets.
"""

import importlib.util
import math
import re
from collections.abc import Collection
from dataclasses import fields

from cgp.blocks import function_set
from cgp.errors import BadInput, did_you_mean
from cgp.families import VGG_FEATURES, family_named
from cgp.graph import HEADS
from cgp.layers import Shape
from cgp.residual_mlp import RESIDUAL_MLP, ResidualMLP
from cgp.wiring import WIRINGS
from evaluate.data.datasets import dataset
from evaluate.data.synthetic import SYNTHETIC
from evaluate.job import DataSpec, Recipe
from evaluate.metrics import goals_of, objectives, sealed
from populations.run_folder.retention import KEPT
from populations.search.racing import rungs_of
from populations.search.rung_scores import RUNG_SCORES
from populations.setup.executors import EXECUTORS
from populations.setup.flags import MODES, Flags, SpaceFlags, spelled
from populations.strategies import strategy_class

_MOST = 2**63 - 1  # what numpy and SQLite can hold
_DEEPEST = 2_000  # nodes: more than ResNet-1202 (He et al. 2015); to draw and measure 10,000 takes minutes
_MOST_NETWORKS = 100_000  # that may be asked for at once
#: Of numbers, inclusive.
RANGES = {
    "num_max_depth": (1, _DEEPEST),
    "levels_back": (2, 10_000),
    "rows": (1, 1_000),
    "columns": (1, _DEEPEST),
    "population": (1, _MOST_NETWORKS),
    "offspring": (1, _MOST_NETWORKS),
    "generations": (1, 1_000_000),
    "confirm": (0, _MOST_NETWORKS),
    "keep_epochs": (0, _MOST),
    "workers": (1, 10_000),
    "image_size": (1, 4_096),
    "train_size": (1, _MOST),
    "seed": (0, _MOST),
    "max_params": (1, _MOST),
    "max_flops": (0, _MOST),
    "mlp_width": (1, 10_000),
}
_DEEPEST_MLP = 20_000  # blocks, of which each takes two kernels
_CELLS = 20_000  # of a grid
#: Flags that have no effect on networks which are given.
OF_SEARCHES = (
    *(field.name for field in fields(SpaceFlags) if field.name != "norm_epsilon"),
    *("strategy", "population", "offspring", "generations", "mutation_rate"),
    *("deterministic", "racing", "rungs", "rung_score", "inherit"),
)
#: Flags of the one family that has any.
OF_VGG_FEATURES = ("vgg_depth", "features_total", "exact_total", "variants")


def check_flags(asked: Flags, given: Collection[str], typed: Collection[str]) -> None:
    """Check every flag by itself and with others; of all that are `asked`, those `given` now, in a file or `typed`.

    Raises BadInput for a number out of range, an unknown word, or a flag that has no effect.
    """
    _check_numbers(asked, given)
    _check_words(asked, given)
    _check_wiring(asked, typed)
    _check_given(asked, typed)
    _check_mlp(asked, typed)
    _check_beginning(asked, typed)
    _check_strategy(asked, typed)
    _check_download(asked, typed)
    _check_executor(asked, typed)
    _check_serial(asked, given)
    _check_dask(asked)


def check_names(asked: Flags, recipe: Recipe, data: DataSpec, given: Collection[str], typed: Collection[str]) -> None:
    """Raise BadInput for an unknown block, strategy, objective or dataset, and for what does not go with `recipe`.

    Code of the user's is looked for where it is `given` now: what is asked of a run afterwards does without.
    """
    evolution = asked.evolution
    function_set(asked.space.function_set)
    if evolution.family is not None:
        family_named(evolution.family)
    strategy_class(evolution.strategy)
    goals = objectives(evolution.objectives)
    if "objectives" in given:
        sealed(goals_of(goals))
    _check_task(asked, recipe, data)
    if evolution.racing:
        rungs_of(evolution.rungs, recipe)
    if "momentum" in typed and recipe.optimizer != "sgd":
        raise BadInput(f"--momentum: {recipe.momentum} has no effect on --optimizer {recipe.optimizer}; leave it out")
    if "init_beta" in typed and recipe.init != "depth_scaled":
        raise BadInput(f"--init-beta: {recipe.init_beta} goes with --init depth_scaled, not with {recipe.init}")


def check_count(flag: str, count: int) -> None:
    """Raise BadInput, naming the flag, unless so many networks, or trainings of each, may be asked for at once."""
    _check_range(flag, count, 1, _MOST_NETWORKS)


def _check_range(flag: str, value: int, lowest: int, most: int) -> None:
    if not lowest <= value <= most:
        expected = f"at least {lowest}" if most == _MOST and value < lowest else f"{lowest}..{most}"
        raise BadInput(f"{flag}: {value}; expected {expected}")


def _check_numbers(asked: Flags, given: Collection[str]) -> None:
    values = asked.values
    for name in given:
        value = values[name]
        if value is None:
            continue
        if isinstance(value, int):
            _check_range(spelled(name), value, *RANGES.get(name, (-_MOST, _MOST)))
    epsilon = asked.space.norm_epsilon
    if epsilon is not None and not 0 < epsilon < 1:
        raise BadInput(f"--norm-epsilon: {epsilon}; expected above 0 and below 1")
    rate, timeout = asked.evolution.mutation_rate, asked.resources.timeout
    if not 0 <= rate <= 1:
        raise BadInput(f"--mutation-rate: {rate}; expected 0..1")
    if timeout is not None and not 0 < timeout < math.inf:
        raise BadInput(f"--timeout: {timeout}; expected seconds above 0")


def _check_words(asked: Flags, given: Collection[str]) -> None:
    each, most = asked.resources.workers_per_device, RANGES["workers"][1]
    if each not in (None, "auto") and not 1 <= (_whole_number(each) or 0) <= most:
        raise BadInput(f"--workers-per-device: {each!r}; expected 1..{most}, or auto")
    size = asked.evaluation.val_size
    if size not in ("auto", "all") and _whole_number(size) is None:
        raise BadInput(f"--val-size: {size!r}; expected a number of images of at least 1, auto or all")
    if asked.run.keep not in KEPT:
        raise BadInput(f"--keep: {asked.run.keep!r}; expected {', '.join(KEPT[:-1])} or {KEPT[-1]}")
    judged = asked.evolution.rung_score
    if judged not in RUNG_SCORES:
        raise BadInput(
            f"--rung-score: unknown {judged!r}{did_you_mean(judged, RUNG_SCORES)}; one of {', '.join(RUNG_SCORES)}"
        )
    if asked.run.run is not None and not asked.run.run.strip():
        raise BadInput(f"--run: {asked.run.run!r} names no folder; name one, or leave it out")
    names = [name.strip() for name in asked.evolution.objectives.split(",")]
    if "objectives" in given and (twice := [name for name in names if names.count(name) > 1]):
        raise BadInput(f"--objectives: {twice[0]} is there twice; name each objective once")


def _check_wiring(asked: Flags, typed: Collection[str]) -> None:
    space = asked.space
    if space.wiring not in WIRINGS:
        known = f"{did_you_mean(space.wiring, WIRINGS)}; one of {', '.join(WIRINGS)}"
        raise BadInput(f"--wiring: unknown {space.wiring!r}{known}")
    if space.head not in HEADS:
        raise BadInput(f"--head: unknown {space.head!r}{did_you_mean(space.head, HEADS)}; one of {', '.join(HEADS)}")
    for name in ("rows", "columns"):
        if name in typed and space.wiring != "grid":
            raise BadInput(f"{spelled(name)}: {asked.values[name]} goes with --wiring grid, not {space.wiring}")
    columns = space.columns or space.num_max_depth
    if space.wiring == "grid" and space.rows * columns > _CELLS:
        raise BadInput(f"--rows: {space.rows} x {columns} nodes; expected at most {_CELLS:,} in all")


def _check_given(asked: Flags, typed: Collection[str]) -> None:
    """Raise BadInput for flags of searches where the networks are given, by a family or as weights."""
    family, weights = asked.evolution.family, asked.beginning.weights
    if family and weights:
        raise BadInput(f"--weights: {weights} goes without --family {family}; leave one out")
    given = f"--family {family}" if family else f"--weights {weights}"
    for name in (*OF_SEARCHES, *(("confirm", "norm_epsilon") if weights else ())):
        if (family or weights) and name in typed:
            raise BadInput(
                f"{spelled(name)}: {asked.values[name]} has no effect on {given}, whose networks are given; "
                "leave it out"
            )

    if family != VGG_FEATURES and (name := next((name for name in OF_VGG_FEATURES if name in typed), None)):
        raise BadInput(
            f"{spelled(name)}: {asked.values[name]} goes with --family {VGG_FEATURES}, which was not given"
        )


def depths_of(text: str) -> list[int]:
    """Return the numbers of blocks in the value of `--mlp-depths`. Raises BadInput for anything else."""
    numbers = [_whole_number(word.strip()) or 0 for word in text.split(",")]
    if not all(1 <= number <= _DEEPEST_MLP for number in numbers) or len(set(numbers)) < len(numbers):
        raise BadInput(f"--mlp-depths: {text!r}; expected different numbers, 1..{_DEEPEST_MLP:,}, with commas")
    return numbers


def _check_mlp(asked: Flags, typed: Collection[str]) -> None:
    """Raise BadInput for flags of residual MLPs without their family, and of others with it."""
    family, chosen = asked.evolution.family, asked.mlp
    for name in vars(chosen):
        if name in typed and family != RESIDUAL_MLP:
            raise BadInput(f"{spelled(name)}: {asked.values[name]} goes with --family {RESIDUAL_MLP}; leave it out")
    if family != RESIDUAL_MLP:
        return
    if "init" in typed:
        raise BadInput(f"--init: {asked.evaluation.init} has no effect on --family {family}; expected --mlp-begins")
    if asked.evaluation.record:
        raise BadInput(
            f"--record: {asked.evaluation.record} are of layers, and --family {family} holds all its blocks as one; "
            "leave it out"
        )
    if "norm_epsilon" in typed:
        raise BadInput(f"--norm-epsilon: has no effect on --family {family}, which does not normalise; leave it out")
    if asked.evaluation.dropout:
        raise BadInput(f"--dropout: has no effect on --family {family}, whose head is not trained; leave it out")
    if asked.evaluation.checkpoint_activations:
        raise BadInput(
            f"--checkpoint-activations: has no effect on --family {family}, which has no nodes; leave it out"
        )
    depths_of(chosen.mlp_depths)
    try:
        ResidualMLP(1, 1, Shape(1, 1, 1), 1, **chosen.of_each)
    except BadInput as error:
        raise BadInput(f"--family {family}: {error}") from error


def _check_task(asked: Flags, recipe: Recipe, data: DataSpec) -> None:
    """Raise BadInput for an unknown dataset, and for what goes with residual MLPs alone, or with classes alone."""
    evolution, regression = asked.evolution, dataset(data).regression
    if recipe.schedule == "variation" and evolution.family != RESIDUAL_MLP:
        raise BadInput(
            f"--schedule variation: goes with --family {RESIDUAL_MLP}, whose weights are a path; choose another"
        )
    if not regression:
        return
    if evolution.family != RESIDUAL_MLP:
        raise BadInput(
            f"--dataset {data.name}: a regression, which --family {RESIDUAL_MLP} alone learns; choose images"
        )
    if data.preprocess != "standard":
        raise BadInput(
            f"--preprocess: {data.preprocess} is of images, and {data.name} a regression, whose inputs stay as they "
            "are; leave it out"
        )
    for goal in objectives(evolution.objectives):
        if goal.by is not None or "accuracy" in goal.name:
            raise BadInput(
                f"--objectives: {goal.name} is of classes, and {data.name} a regression; expected val_loss"
            )


_IDLE_IN = {"probe": ("backbone_rate", "train_norm"), "from-scratch": ("backbone_rate", "train_norm", "keep_head")}


def _check_beginning(asked: Flags, typed: Collection[str]) -> None:
    chosen = asked.beginning
    if chosen.mode not in MODES:
        raise BadInput(
            f"--mode: unknown {chosen.mode!r}{did_you_mean(chosen.mode, MODES)}; one of {', '.join(MODES)}"
        )
    if not 0 < chosen.backbone_rate <= 1:
        raise BadInput(f"--backbone-rate: {chosen.backbone_rate}; expected a share of --lr, above 0 and at most 1")
    for name in ("mode", "backbone_rate", "train_norm", "keep_head"):
        if name in typed and chosen.weights is None:
            raise BadInput(f"{spelled(name)}: {asked.values[name]} goes with --weights FILE, which was not given")
        if name in typed and name in _IDLE_IN.get(chosen.mode, ()):
            raise BadInput(
                f"{spelled(name)}: {asked.values[name]} has no effect on --mode {chosen.mode}; leave it out"
            )


def _check_strategy(asked: Flags, typed: Collection[str]) -> None:
    evolution, keep = asked.evolution, asked.run.keep
    if keep != "all" and evolution.inherit:
        raise BadInput(f"--keep {keep}: drops the weights that --inherit hands on; expected --keep all")
    if keep != "all" and evolution.confirm:
        raise BadInput(
            f"--keep {keep}: drops the weights of winners that --confirm may put first; expected --keep all"
        )
    if keep == "pareto" and (evolution.strategy != "nsga2" or evolution.family):
        raise BadInput(
            f"--keep pareto: goes with --strategy nsga2, not with {evolution.family or evolution.strategy}, which "
            "has no front; expected --keep all or best"
        )
    if evolution.deterministic and evolution.strategy != "aging":
        raise BadInput(
            f"--deterministic: goes with --strategy aging, which was not given; {evolution.strategy} always is"
        )
    if evolution.rungs is not None and not evolution.racing:
        raise BadInput(f"--rungs: {evolution.rungs} goes with --racing, not with --no-racing")
    if "rung_score" in typed and not evolution.racing:
        raise BadInput(f"--rung-score: {evolution.rung_score} goes with --racing, not with --no-racing")
    chosen = strategy_class(evolution.strategy)
    if not chosen.races and "racing" in typed and evolution.racing:
        raise BadInput(
            f"--racing: ends networks for their val_accuracy alone, which --strategy {evolution.strategy} weighs "
            "against other objectives; leave it out"
        )
    if evolution.strategy == "nsga2" and not evolution.family and len(objectives(evolution.objectives)) < 2:
        raise BadInput(
            f"--objectives: {evolution.objectives} is one; --strategy nsga2 expects several, such as "
            "val_accuracy,params"
        )
    for name in chosen.idle:
        if name in typed:
            value = asked.values[name]
            raise BadInput(
                f"{spelled(name)}: {value} has no effect on --strategy {evolution.strategy}; leave it out, or choose "
                "another --strategy"
            )
    population, _ = evolution.sizes
    if evolution.confirm > population:
        raise BadInput(
            f"--confirm: {evolution.confirm} is more than the {population} networks of the population; "
            f"expected 0..{population}"
        )
    if population < chosen.fewest and not (evolution.family or asked.beginning.weights):
        raise BadInput(
            f"--population: {population} is fewer than the {chosen.fewest} networks from which --strategy "
            f"{evolution.strategy} learns first; expected at least {chosen.fewest}"
        )


def _check_download(asked: Flags, typed: Collection[str]) -> None:
    images = asked.evaluation.dataset
    here = images.partition(":")[0] in ("digits", "folder", *SYNTHETIC)
    if asked.evaluation.download and "download" in typed and here:
        raise BadInput(
            f"--download: has no effect on --dataset {images}, whose images are here already; leave it out"
        )


def _check_executor(asked: Flags, typed: Collection[str]) -> None:
    chosen, wait = asked.resources.executor, asked.resources.wait
    if chosen not in EXECUTORS:
        known = f"{did_you_mean(chosen, EXECUTORS)}; one of {', '.join(EXECUTORS)}"
        raise BadInput(f"--executor: unknown {chosen!r}{known}")
    if not 0 <= wait < math.inf:
        raise BadInput(f"--wait: {wait}; expected seconds of at least 0")
    for name in EXECUTORS[chosen].idle:
        if name in typed:
            raise BadInput(
                f"{spelled(name)}: {asked.values[name]} does not go with --executor {chosen}; leave one out"
            )


def _check_serial(asked: Flags, given: Collection[str]) -> None:
    devices, timeout = asked.resources.devices, asked.resources.timeout
    if asked.resources.executor != "serial":
        return
    if timeout is not None and "timeout" in given:
        raise BadInput(
            f"--timeout: {timeout:g} cannot be kept by --executor serial, which trains in this process and "
            "has none to kill; leave one out"
        )
    if "," in devices:
        raise BadInput(f"--devices: {devices}; expected one, as --executor serial trains one network at once")


def _check_dask(asked: Flags) -> None:
    scheduler = asked.resources.scheduler
    if asked.resources.executor != "dask":
        return
    if scheduler is None:
        raise BadInput("--executor dask: needs --scheduler tcp://HOST:PORT, which was not given")
    if not re.fullmatch(r"(tcp|tls)://([\w.-]+|\[[0-9a-fA-F:]+\]):\d{1,5}", scheduler):
        raise BadInput(f"--scheduler: {scheduler!r}; expected tcp://HOST:PORT, or tls:// where it asks for that")
    if importlib.util.find_spec("distributed") is None:
        raise BadInput("--executor dask: Dask is not installed here; install it: pip install 'cgp-evolve[dask]'")


def _whole_number(text: str) -> int | None:
    return int(text) if text.isdecimal() and len(text) < 19 and int(text) > 0 else None
