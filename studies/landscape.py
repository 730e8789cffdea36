"""What is the loss like around the weights of a network? On a plane of random directions, or of its training."""

import argparse
import json
import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import pandas as pd
import torch

from cgp.errors import BadInput
from cgp.network import build
from evaluate.data.splits import Data
from evaluate.measures.landscape import STATISTICS, axis
from evaluate.measures.planes import varied
from evaluate.measures.trajectory import FEWEST, Trajectory, epochs_of, trajectory
from populations.commands.measure import Wanted
from populations.search.asking import session_flags
from populations.setup.forecast import FORWARD
from populations.terminal.screen import Screen
from populations.terminal.spoken import duration
from populations.terminal.tables import print_table
from studies.asking import OF_MODELS, Asked, asked, by_part, measurements, stopped
from studies.landing import Picture, land
from studies.surfaces import Surface, arrays, draw, page

NAME = "landscape"
IMAGES = {"validation": "validation", "training": "train"}  #: what one asks for, and how that split is called
_REACH = {"random": 1.0, "trajectory": 1.25}  # unless one asks for another
_VALUES = ["loss", "accuracy"]
_OPTIONS = ["directions", "seed", "batch_norm", "images", "grid", "reach"]


def ask(arguments: argparse.Namespace) -> int:
    """Measure, write all that is known of each plane, show a row of each; 0: done, 1: nothing, 130: stopped."""
    reach = _REACH[arguments.directions] if arguments.reach is None else arguments.reach
    if arguments.grid < 2:
        raise BadInput(f"--grid: {arguments.grid}; expected at least 2 points of a side")
    if not 0 < reach < math.inf:
        raise BadInput(f"--reach: {reach}; expected a number above 0")
    if arguments.seed is not None and arguments.seed < 0:
        raise BadInput(f"--seed: {arguments.seed}; expected at least 0")
    if arguments.seed is not None and arguments.directions != "random":
        raise BadInput(f"--seed: {arguments.seed} has no effect on --directions trajectory; leave it out")
    found = asked(arguments.run, arguments.models or ["best"], None, session_flags(arguments), "any")
    if arguments.directions == "trajectory":
        _require_epochs(found)
    data = found.images()
    options = _options(arguments, reach, data)
    screen = Screen(aside=arguments.format != "table")
    wanted: list[Wanted] = [
        (name, options | {"row": row}) for name in found.models["id"] for row in range(arguments.grid)
    ]
    screen.line(_forecast(found, wanted, data))
    tables = measurements(found, NAME, wanted, screen)
    if tables is None:
        return stopped(screen)
    points = points_of(tables, found.models, options)
    if points.empty:
        screen.line("nothing was measured")
        return 1
    if unknown := int(points["loss"].isna().sum()):
        screen.line(f"{unknown} of {len(points)} points have no loss: it is no number there, or their job failed")
    ways = {}
    if arguments.directions == "trajectory":
        ways = {name: _way(found, name) for name in dict.fromkeys(points["id"])}
    surfaces = [
        _surface(str(name), own, options, ways.get(str(name))) for name, own in points.groupby("id", sort=False)
    ]
    planes = planes_of(points, options, ways)
    landed = {"points": points, "planes": planes} | ({"trajectory": trajectory_of(ways)} if ways else {})
    pictures = {one.name: Picture(partial(draw, one), len(one.values)) for one in surfaces}
    files = {f"{one.name}.npz": arrays(one) for one in surfaces}
    land(arguments.run, NAME, landed, pictures, screen, files, {one.name: partial(page, one) for one in surfaces})
    print_table(planes, arguments.format)
    return 0


def _require_epochs(found: Asked) -> None:
    """Raise BadInput where weights of a model's epochs are missing; it says how they are had."""
    for name in found.models["id"]:
        epochs = epochs_of(found.run.model(name).folder)
        if len(epochs) < FEWEST:
            what = f"--directions trajectory: model {name} of {found.run.folder} keeps the weights of {len(epochs)}"
            raise BadInput(
                f"{what} of its epochs, expected at least {FEWEST}; search again with --keep-epochs: the same flags "
                "and seed give the same networks"
            )


def _options(arguments: argparse.Namespace, reach: float, data: Data) -> dict[str, Any]:
    """Return the options of the measure, but for the row. Raises BadInput for more images than there are."""
    split = IMAGES[arguments.images]
    there = len(data.splits[split])
    samples = there if arguments.samples is None else arguments.samples
    if not 1 <= samples <= there:
        raise BadInput(f"--samples: {samples}; there are {there} {arguments.images} images, expected 1..{there}")
    options = {
        "directions": arguments.directions,
        "grid": arguments.grid,
        "reach": reach,
        "batch_norm": arguments.batch_norm,
        "images": split,
        "samples": samples,
    }
    return options | ({"seed": arguments.seed or 0} if arguments.directions == "random" else {})


def _forecast(found: Asked, wanted: Sequence[Wanted], data: Data) -> str:
    """Say how many points there are to measure, and how long the trainings of their networks let expect."""
    measured = found.run.measures
    measured = measured[measured["measure"] == NAME]
    known = set(zip(measured["model"], measured["options"], strict=True))
    left = [name for name, options in wanted if (name, json.dumps(options, sort_keys=True)) not in known]
    options = wanted[0][1]
    training, validation = len(data.splits["train"]), len(data.splits["validation"])
    passed = options["samples"] + (min(STATISTICS, training) if options["batch_norm"] == "recomputed" else 0)
    share = FORWARD * passed / (training + FORWARD * validation)  # of what an epoch takes
    epoch = (found.models["seconds"] / found.models["epochs"].astype("float64")).set_axis(found.models["id"])
    seconds = options["grid"] * share * float(epoch[left].sum())
    points = options["grid"] * len(left)
    said = f"{points:,} points to measure, each on {options['samples']:,} images"
    return f"{said}: about {duration(seconds)} of one worker, by how long its trainings took" if left else said


def points_of(tables: Sequence[pd.DataFrame], models: pd.DataFrame, options: Mapping[str, Any]) -> pd.DataFrame:
    """Return a row for each point of each model of which something was measured.

    Columns: those of models; directions, seed (of random ones), batch_norm, images, grid, reach; row and column, from
    0, x and y, in units of the directions; loss and accuracy, empty where they are not known.
    """
    found = [by_part(table, ["row", "column"]) for table in tables if len(table)]
    if not found:
        return pd.DataFrame()
    measured = pd.concat(found)
    places = pd.Series(axis(options["grid"], options["reach"]))
    numbers = pd.DataFrame({"row": range(options["grid"])})
    every = numbers.merge(pd.DataFrame({"column": range(options["grid"])}), how="cross")
    every = every.assign(x=every["column"].map(places), y=every["row"].map(places))
    known = models.loc[models["id"].isin(measured["id"]), OF_MODELS].assign(**_about(options))
    table = known.merge(every, how="cross").merge(measured, how="left", on=[*OF_MODELS, "row", "column"])
    return table.reindex(columns=[*known, *every, *_VALUES])


def _about(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: options.get(name) for name in _OPTIONS}


def planes_of(points: pd.DataFrame, options: Mapping[str, Any], ways: Mapping[str, Trajectory]) -> pd.DataFrame:
    """Return a row for each plane: n points, the least loss and where it is, the median and the most.

    `centre` is the loss of the weights that the plane is around, where an odd grid has such a point; `around` says
    which these are. Of the plane of a training also how much of its way each direction explains.
    """
    rows = list[dict[str, Any]]()
    for name, own in points.groupby("id", sort=False):
        known = own.dropna(subset="loss").sort_values("loss", kind="stable")
        middle = known[(known["x"] == 0) & (known["y"] == 0)]["loss"]
        first = own.iloc[0]
        row = {column: first[column] for column in [*OF_MODELS, *_OPTIONS]}
        row |= {"around": "last epoch" if name in ways else "best epoch", "n": len(known)}
        row |= {"centre": middle.iloc[0] if len(middle) else None}
        row |= {"least": known["loss"].min(), "median": known["loss"].median(), "most": known["loss"].max()}
        row |= {f"least_{place}": known[place].iloc[0] if len(known) else None for place in ("x", "y")}
        if name in ways:
            row |= {f"explained_{n}": share for n, share in enumerate(ways[str(name)].explained, 1)}
        rows.append(row)
    return pd.DataFrame(rows)


def _way(found: Asked, name: str) -> Trajectory:
    model = found.run.model(name)
    with torch.device("meta"):  # names alone
        names = list(varied(build(model.model)))
    return trajectory(model.folder, names)


def trajectory_of(ways: Mapping[str, Trajectory]) -> pd.DataFrame:
    """Return a row for each epoch whose weights were kept: id, epoch, x, y, off.

    `off` is its distance from the plane, as a share of that from the last weights.
    """
    return pd.DataFrame(
        {"id": name, "epoch": epoch, "x": x, "y": y, "off": off}
        for name, way in ways.items()
        for epoch, (x, y), off in zip(way.epochs, way.places.tolist(), way.off.tolist(), strict=True)
    )


def _surface(name: str, points: pd.DataFrame, options: Mapping[str, Any], way: Trajectory | None) -> Surface:
    shape = (options["grid"], options["grid"])
    values = {
        value: points[value].to_numpy("float64").reshape(shape)
        for value in _VALUES
        if value == "loss" or points[value].notna().any()
    }
    return Surface(name, options, values, way)
