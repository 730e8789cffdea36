"""Which models a study asks about, and how: its measurements are jobs of the run, so that a killed study goes on."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pandas as pd
import torch
from torch import nn

from cgp.errors import BadInput
from cgp.graph import Graph
from cgp.network import build
from evaluate.data.splits import Data
from evaluate.data.splits import load as load_images
from evaluate.files import BEST
from populations.commands.confirm import winners
from populations.commands.measure import Wanted, measure
from populations.figures.chosen import scored
from populations.reading.frame import Run, load
from populations.setup.config import parse
from populations.terminal.screen import Screen

#: What is told of a model in every table of a study.
OF_MODELS = ["id", "function_set", "depth", "conv_layers", "val_accuracy"]


#: What the models have to have that a study is about.
About = Literal["convolutions", "classes", "any"]

_FEW = 4  # samples a channel, below which a line warns


@dataclass(frozen=True)
class Asked:
    """A run, and the models in it that a study is about."""

    run: Run
    models: pd.DataFrame  #: their rows of `run.models`, in order of job number
    flags: list[str]  #: of `evolve.py`: where it is computed

    def images(self) -> Data:
        """Return the images of the run."""
        return load_images(parse(["--resume", str(self.run.folder), *self.flags]).data())


def asked(
    folder: Path,
    names: Sequence[str],
    top: int | None,
    flags: list[str],
    about: About = "convolutions",
    trained: bool = True,
) -> Asked:
    """Return the models of the run in `folder` that `names` mean; without names the best `top`, or all.

    Raises BadInput where there is no finished model, where one is not what the study is `about`, and, unless it is
    asked of fresh weights instead of `trained` ones, where those of one were not kept.
    """
    if top is not None and top < 1:
        raise BadInput(f"--top: {top}; expected at least 1")
    if top is not None and names:
        raise BadInput(f"--top: {top} chooses models, and {names[0]} is one; expected one of the two")
    run = load(folder)
    if names:
        chosen = run.models[run.models["id"].isin([run.model(name).id for name in names])]
        for name in chosen["id"]:
            run.model(name).scored  # noqa: B018 - refuses one without a score
    elif top:
        chosen = run.models[run.models["id"].isin(winners(run, top)["id"])]
    else:
        chosen = scored(run)
        chosen = chosen[chosen["same_as"].isna()]
    if chosen.empty:
        raise BadInput(f"{folder}: no finished network yet; expected at least one whose status is ok")
    _require_kind(run, list(chosen["id"]), about)
    if trained:
        _require_weights(run, list(chosen["id"]))
    return Asked(run, chosen, flags)


def _require_kind(run: Run, identities: list[str], about: About) -> None:
    """Raise BadInput where a model has no classes or no convolutions, and the study is about them."""
    if about != "any" and run.regression:
        raise BadInput(f"{run.folder}: a regression; expected networks that tell classes apart")
    for identity in identities if about == "convolutions" else ():
        if not isinstance(model := run.model(identity).model, Graph):
            raise BadInput(f"model {identity}: is of kind {type(model).__name__}; expected a graph, of convolutions")


def _require_weights(run: Run, identities: list[str]) -> None:
    """Raise BadInput where weights of a model are gone; it says which are left, and how the others are had again."""
    left = [identity for identity in identities if (run.folder / "models" / identity / BEST).exists()]
    if len(left) < len(identities):
        missing, keep = len(identities) - len(left), run.config.get("keep")
        named = " ".join(left[:3]) + (f" and {len(left) - 3} more" if len(left) > 3 else "")
        what = f"{run.folder}: the weights of {missing} of {len(identities)} models were not kept (--keep {keep})"
        raise BadInput(
            f"{what}; left: {named or 'none'}; name those by their ids, or search again with --keep all: "
            "the same flags and seed give the same networks"
        )


def measurements(asked: Asked, name: str, wanted: Sequence[Wanted], screen: Screen) -> list[pd.DataFrame] | None:
    """Measure by `name` what is `wanted`, and return the numbers of each set of options; None where the user stopped.

    For each options in `wanted`, in the order in which they come first, a table with a row for each model that could
    be measured so, and a column for each metric beside `OF_MODELS`. What was measured already is not measured again.
    """
    if not measure(asked.run, name, wanted, asked.flags, screen):
        return None
    found = load(asked.run.folder).measures
    found = found[found["measure"] == name]
    tables = list[pd.DataFrame]()
    for options in dict.fromkeys(json.dumps(options, sort_keys=True) for _, options in wanted):
        wide = found[found["options"] == options].pivot_table(index="model", columns="metric", values="value")
        tables.append(asked.models[OF_MODELS].merge(wide, left_on="id", right_index=True).reset_index(drop=True))
    missing = len({name for name, _ in wanted} - set(found["model"]))
    if missing:
        screen.line(
            f"could not be measured, and are in no table: {missing} of the models; the same command tries again"
        )
    return tables


def require_samples(asked: Asked, samples: int, what: str, screen: Screen) -> None:
    """Raise BadInput where a convolution has more channels than there are `samples`; say so where they are few.

    A covariance of fewer samples than channels has a rank below its size: its other values are rounding.
    """
    widest, its = 1, ""
    for identity in asked.models["id"]:
        with torch.device("meta"):  # shapes alone
            network = build(asked.run.model(identity).model)
        for module in network.modules():
            if isinstance(module, nn.Conv2d) and module.out_channels > widest:
                widest, its = module.out_channels, identity
    if samples < widest:
        said = f"{what} are fewer than the {widest} channels of a convolution of {its}"
        raise BadInput(f"{said}, whose other singular values are rounding; expected at least {_FEW * widest}")
    if samples < _FEW * widest:
        said = f"{samples} samples are fewer than {_FEW} for each of {widest} channels"
        screen.line(f"{said}: small singular values come out too small")


def by_part(wide: pd.DataFrame, parts: Sequence[str]) -> pd.DataFrame:
    """Return a row for each model and part of it, from metrics such as `mean[3, spam]`.

    `parts` names the columns of what stands in the brackets; numbers become numbers. Other metrics are left out.
    """
    named = {name: re.fullmatch(r"(\w+)\[(.+)\]", name) for name in map(str, wide)}
    metrics = {name: found for name, found in named.items() if found}
    long = wide.melt([*OF_MODELS], list(metrics), "metric")
    long = long.dropna(subset="value")
    inside = long["metric"].map(lambda name: metrics[name][2].split(", "))
    for place, part in enumerate(parts):
        words = inside.str[place]
        long[part] = words.astype("int64") if words.str.fullmatch(r"\d+").all() else words
    long["metric"] = long["metric"].map(lambda name: metrics[name][1])
    order = {identity: place for place, identity in enumerate(wide["id"])}
    table = long.pivot(index=["id", *parts], columns="metric", values="value").reset_index()
    table.columns.name = None
    table = wide[OF_MODELS].merge(table, on="id")
    return table.sort_values("id", key=lambda ids: ids.map(order), kind="stable").reset_index(drop=True)


def stopped(screen: Screen) -> int:
    """Say how a study goes on that the user has stopped, and return the exit code."""
    screen.line("stopped; the same command goes on")
    return 130
