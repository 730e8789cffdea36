"""What is wrong with the flags of a search, said before torch is imported or anything is written.

Ranges are asked of the flags given now: a run that is resumed with what it was recorded with, by whichever
version, is not judged again. A flag without effect is refused on the command line alone, so that one file of flags
serves all strategies and datasets.
"""

import importlib.util
import math
import re
from collections.abc import Collection, Mapping
from typing import Any

from cgp.blocks import function_set
from cgp.errors import BadInput, did_you_mean
from cgp.families import family_named
from evaluate.data.datasets import dataset
from evaluate.fitness import objectives
from evaluate.job import DataSpec, Recipe
from populations.search.racing import rungs_of
from populations.setup.executors import EXECUTORS
from populations.strategies import strategy_class

_MOST = 2**63 - 1  # what numpy and SQLite can hold
_DEEPEST = 2_000  # nodes: more than ResNet-1202 (He et al. 2015); to draw and measure 10,000 takes minutes
_RANGES = {
    "num_max_depth": (1, _DEEPEST),
    "levels_back": (2, 10_000),
    "population": (1, 100_000),
    "offspring": (1, 100_000),
    "generations": (1, 1_000_000),
    "workers": (1, 10_000),
    "image_size": (1, 4_096),
    "train_size": (1, _MOST),
    "seed": (0, _MOST),
    "max_params": (1, _MOST),
    "max_flops": (0, _MOST),
}


#: What has no effect on networks that are given.
_OF_SEARCHES = (
    *("num_min_depth", "num_max_depth", "function_set", "levels_back", "max_params", "max_flops"),
    *("strategy", "population", "offspring", "generations", "mutation_rate"),
    *("deterministic", "racing", "rungs", "inherit"),
)


def check_flags(values: Mapping[str, Any], given: Collection[str], typed: Collection[str]) -> None:
    """Check every flag by itself and with others; of all `values`, those `given` now, in a file or `typed`.

    Raises BadInput for a number out of range, an unknown word, or a flag that has no effect.
    """
    _check_numbers(values, given)
    _check_words(values, given)
    _check_effects(values, typed)
    _check_executor(values, given, typed)


def check_names(values: Mapping[str, Any], recipe: Recipe, data: DataSpec, typed: Collection[str]) -> None:
    """Raise BadInput for an unknown block, strategy, objective or dataset, and for what does not go with `recipe`."""
    function_set(values["function_set"])
    if values["family"] is not None:
        family_named(values["family"])
    strategy_class(values["strategy"])
    objectives(values["objectives"])
    dataset(data)
    if values["racing"]:
        rungs_of(values["rungs"], recipe)
    if "momentum" in typed and recipe.optimizer != "sgd":
        raise BadInput(f"--momentum: {recipe.momentum} has no effect on --optimizer {recipe.optimizer}; leave it out")


def _check_numbers(values: Mapping[str, Any], given: Collection[str]) -> None:
    for name in given:
        value, flag = values[name], _flag(name)
        if value is None:
            continue
        lowest, most = _RANGES.get(name, (-_MOST, _MOST))
        if isinstance(value, int) and not lowest <= value <= most:
            expected = f"at least {lowest}" if most == _MOST and value < lowest else f"{lowest}..{most}"
            raise BadInput(f"{flag}: {value}; expected {expected}")
    if not 0 <= values["mutation_rate"] <= 1:
        raise BadInput(f"--mutation-rate: {values['mutation_rate']}; expected 0..1")
    if values["timeout"] is not None and not 0 < values["timeout"] < math.inf:
        raise BadInput(f"--timeout: {values['timeout']}; expected seconds above 0")


def _check_words(values: Mapping[str, Any], given: Collection[str]) -> None:
    each, most = values["workers_per_device"], _RANGES["workers"][1]
    if each not in (None, "auto") and not 1 <= (_whole_number(each) or 0) <= most:
        raise BadInput(f"--workers-per-device: {each!r}; expected 1..{most}, or auto")
    size = values["val_size"]
    if size not in ("auto", "all") and _whole_number(size) is None:
        raise BadInput(f"--val-size: {size!r}; expected a number of images of at least 1, auto or all")
    if values["keep"] not in ("all", "best"):
        raise BadInput(f"--keep: {values['keep']!r}; expected all or best")
    if values["run"] is not None and not values["run"].strip():
        raise BadInput(f"--run: {values['run']!r} names no folder; name one, or leave it out")
    names = [name.strip() for name in values["objectives"].split(",")]
    if "objectives" in given and (twice := [name for name in names if names.count(name) > 1]):
        raise BadInput(f"--objectives: {twice[0]} is there twice; name each objective once")


def _check_effects(values: Mapping[str, Any], typed: Collection[str]) -> None:
    chosen, images = values["strategy"], values["dataset"]
    for name in _OF_SEARCHES:
        if values["family"] and name in typed:
            raise BadInput(
                f"{_flag(name)}: {values[name]} has no effect on --family {values['family']}, whose networks are "
                "given; leave it out"
            )
    if values["keep"] == "best" and values["inherit"]:
        raise BadInput("--keep best: drops the weights that --inherit hands on; expected --keep all")
    if values["deterministic"] and chosen != "aging":
        raise BadInput(f"--deterministic: goes with --strategy aging, which was not given; {chosen} always is")
    if values["rungs"] is not None and not values["racing"]:
        raise BadInput(f"--rungs: {values['rungs']} goes with --racing, not with --no-racing")
    for name in ("offspring", "mutation_rate"):
        if chosen == "random" and name in typed:
            raise BadInput(
                f"{_flag(name)}: {values[name]} has no effect on --strategy random, which draws --population "
                "networks a generation and breeds none; leave it out"
            )
    if values["download"] and "download" in typed and (images == "digits" or images.startswith("folder:")):
        raise BadInput(
            f"--download: has no effect on --dataset {images}, whose images are here already; leave it out"
        )


def _check_executor(values: Mapping[str, Any], given: Collection[str], typed: Collection[str]) -> None:
    chosen, scheduler = values["executor"], values["scheduler"]
    if chosen not in EXECUTORS:
        known = f"{did_you_mean(chosen, EXECUTORS)}; one of {', '.join(EXECUTORS)}"
        raise BadInput(f"--executor: unknown {chosen!r}{known}")
    if not 0 <= values["wait"] < math.inf:
        raise BadInput(f"--wait: {values['wait']}; expected seconds of at least 0")
    for name in EXECUTORS[chosen].idle:
        if name in typed:
            raise BadInput(f"{_flag(name)}: {values[name]} does not go with --executor {chosen}; leave one out")
    if chosen == "serial" and "timeout" in given:
        raise BadInput(
            f"--timeout: {values['timeout']:g} cannot be kept by --executor serial, which trains in this process and "
            "has none to kill; leave one out"
        )
    if chosen == "serial" and "," in values["devices"]:
        raise BadInput(
            f"--devices: {values['devices']}; expected one, as --executor serial trains one network at once"
        )
    if chosen == "dask":
        if scheduler is None:
            raise BadInput("--executor dask: needs --scheduler tcp://HOST:PORT, which was not given")
        if not re.fullmatch(r"(tcp|tls)://([\w.-]+|\[[0-9a-fA-F:]+\]):\d{1,5}", scheduler):
            raise BadInput(f"--scheduler: {scheduler!r}; expected tcp://HOST:PORT, or tls:// where it asks for that")
        if importlib.util.find_spec("distributed") is None:
            raise BadInput("--executor dask: Dask is not installed here; install it: pip install 'cgp-evolve[dask]'")


def _whole_number(text: str) -> int | None:
    return int(text) if text.isdecimal() and len(text) < 19 and int(text) > 0 else None


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"
