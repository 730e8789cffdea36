"""What do layers remember? Each network is trained from scratch on some classes, then on the others."""

import argparse
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cgp.errors import BadInput
from evaluate.data.splits import Data
from populations.plotting.drawn import legend
from populations.plotting.style import BLUE, MANY, QUIET, VERMILION
from populations.search.asking import session_flags
from populations.setup.checks import check_count
from populations.setup.config import Config
from populations.terminal.screen import Screen
from populations.terminal.tables import print_table
from studies.asking import OF_MODELS, asked, by_part, measurements, require_samples, stopped
from studies.landing import Picture, land
from studies.relating import means, spearman

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NAME = "forgetting"
_ACCURACIES = ["first_before", "first_after", "lost", "first_before_own", "first_after_own", "lost_own"]
_NEW = ["second_after", "second_after_own"]
_BINS = 10  # of the relative depth


def ask(arguments: argparse.Namespace) -> int:
    """Measure, write tables and pictures, show the means; 0: done, 1: nothing, 130: stopped."""
    check_count("--seeds", arguments.seeds)
    found = asked(arguments.run, arguments.models, arguments.top, session_flags(arguments), trained=False)
    data = found.images()
    classes = _classes(arguments.split, data)
    first = int((data.labels[data.splits["test"]] < classes[0]).sum())
    screen = Screen(aside=arguments.format != "table")
    require_samples(found, first, f"--split: {arguments.split}: {first} test images of the first classes", screen)
    recipe = Config.of(found.run.config, found.run.folder).recipe()
    epochs = recipe.epochs if arguments.epochs is None else arguments.epochs
    recipe = replace(recipe, epochs=epochs, cuda_graphs=False, record="")
    common = {"classes": classes, "recipe": recipe.about()}
    options = [common | {"repeat": repeat} for repeat in range(arguments.seeds)]
    wanted = [(name, one) for name in found.models["id"] for one in options]
    tables = measurements(found, NAME, wanted, screen)
    if tables is None:
        return stopped(screen)
    trainings = pd.concat([table.assign(seed=seed) for seed, table in enumerate(tables)], ignore_index=True)
    if trainings.empty:
        screen.line("nothing was measured")
        return 1
    trainings = trainings_of(trainings)
    layers = pd.concat([layers_of(table).assign(seed=seed) for seed, table in enumerate(tables)], ignore_index=True)
    networks = means(trainings, OF_MODELS, [*_ACCURACIES, *_NEW])
    sets = means(networks.drop(columns="n"), ["function_set"], [*_ACCURACIES, *_NEW])
    tenths = by_tenth(layers)
    landed = {"trainings": trainings, "networks": networks, "sets": sets, "layers": layers, "tenths": tenths}
    land(arguments.run, NAME, landed, {NAME: Picture(partial(_draw, networks, layers, tenths), 2)}, screen)
    print_table(tenths, arguments.format)
    screen.line("")
    for row in sets.to_dict("records"):
        spread = f"sd {row['lost_own_sd']:.2f}, n = {row['n']} networks"
        outcome = f"{row['first_before_own']:.2f} before, {row['first_after_own']:.2f} after ({spread})"
        screen.line(f"{row['function_set']}: accuracy on the first classes, among themselves: {outcome}")
    rank = spearman(layers["relative_depth"], layers["excess"])
    interval = f"{rank['low']:.2f} .. {rank['high']:.2f}, n = {rank['n']:.0f} layers"
    screen.line(
        f"Spearman of what is remembered beyond chance and relative depth {rank['spearman']:.2f} ({interval})"
    )
    return 0


def _classes(split: str, data: Data) -> list[int]:
    """Return how many classes are first and next. Raises BadInput for what is no two numbers, and for too many."""
    words = split.split("+")
    if len(words) != 2 or not all(word.isdecimal() and int(word) > 0 for word in words):
        raise BadInput(f"--split: {split!r}; expected two numbers of classes, such as 5+5")
    classes = [int(word) for word in words]
    if sum(classes) > len(data.classes):
        raise BadInput(f"--split: {split} are {sum(classes)} classes; the images have {len(data.classes)}")
    return classes


def trainings_of(wide: pd.DataFrame) -> pd.DataFrame:
    """Return a row for each network and seed: accuracies before and after, and what is lost of those."""
    lost = {f"lost{own}": wide[f"first_before{own}"] - wide[f"first_after{own}"] for own in ("", "_own")}
    return wide.assign(**lost)[[*OF_MODELS, "seed", *_ACCURACIES, *_NEW]]


def layers_of(wide: pd.DataFrame) -> pd.DataFrame:
    """Return a row for each network and convolution.

    Columns: those of models; layer, relative_depth (of the last: 1), channels, leading, overlap, chance (the overlap
    of as many random directions), and excess: 0 by chance, 1 where all is remembered.
    """
    layers = by_part(wide, ["layer"])
    layers["relative_depth"] = layers["layer"] / layers.groupby("id")["layer"].transform("max")
    layers["chance"] = layers["leading"] / layers["channels"]
    free = 1 - layers["chance"]
    layers["excess"] = ((layers["overlap"] - layers["chance"]) / free).where(free > 0)
    layers = layers.astype({"channels": "int64", "leading": "int64"})
    return layers[[*OF_MODELS, "layer", "relative_depth", "channels", "leading", "overlap", "chance", "excess"]]


def by_tenth(layers: pd.DataFrame) -> pd.DataFrame:
    """Return a row for each tenth of the relative depth: n layers (of all seeds), and means."""
    tenth = np.ceil(layers["relative_depth"] * _BINS).astype("int64")
    table = layers.assign(tenth=tenth).sort_values("tenth", kind="stable")
    return means(table, ["function_set", "tenth"], ["leading", "overlap", "chance", "excess"])


def _draw(networks: pd.DataFrame, layers: pd.DataFrame, tenths: pd.DataFrame, panels: "list[Axes]") -> None:
    accuracy, kept = panels
    for values, ink, marker, label in (
        ("first_before_own", QUIET, "o", "first classes, before"),
        ("first_after_own", VERMILION, "s", "after"),
        ("second_after_own", BLUE, "^", "next classes"),
    ):
        accuracy.plot(networks["conv_layers"], networks[values], marker, color=ink, markersize=3, label=label)
    accuracy.set(xlabel="convolution layers", ylabel="accuracy among own classes")
    legend(accuracy, 3)
    look: dict[str, Any] = {"color": QUIET, "markersize": 2, "alpha": 0.5, "rasterized": len(layers) > MANY}
    kept.plot(layers["relative_depth"], layers["excess"], "o", label="a layer", **look)
    middles = (tenths["tenth"] - 0.5) / _BINS
    kept.plot(middles, tenths["excess"], "s-", color=BLUE, markersize=3, label="mean of a tenth")
    kept.axhline(0, color=VERMILION, linewidth=0.8, linestyle="--", label="chance")
    kept.set(xlabel="relative depth", ylabel="overlap beyond chance")
    legend(kept, 3)
