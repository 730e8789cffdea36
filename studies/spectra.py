"""How many directions does each convolution use? Singular values of the covariance of its channels, over images.

The source of this question saw one large value and the rest tiny, from two samples: the rank of a covariance is below
the number of its samples. `samples.csv` shows that on the best of the models, and what more samples do to it.
"""

import argparse
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cgp.errors import BadInput
from populations.plotting.drawn import legend, whole_numbers
from populations.plotting.style import BLUE, MANY, QUIET, VERMILION
from populations.search.asking import session_flags
from populations.terminal.screen import Screen
from populations.terminal.tables import print_table
from studies.asking import OF_MODELS, Asked, asked, by_part, measurements, require_samples, stopped
from studies.landing import Picture, land
from studies.relating import means

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NAME = "spectra"
_LADDER = (2, 8, 32, 128, 512, 2048)  #: samples that the best model is measured with, too
_LAYER = ["layer", "relative_depth"]
_NUMBERS = ["largest", "mean", "median", "above", "effective_rank"]


def ask(arguments: argparse.Namespace) -> int:
    """Measure, write tables and pictures, show the means by tenth of the depth; 0: done, 1: nothing, 130: stopped."""
    if arguments.threshold is not None and not 0 < arguments.threshold < 1:
        raise BadInput(f"--threshold: {arguments.threshold}; expected a share of the largest, above 0 and below 1")
    found = asked(arguments.run, arguments.models, arguments.top, session_flags(arguments))
    samples, screen = _samples(found, arguments.samples), Screen(aside=arguments.format != "table")
    require_samples(found, samples, f"--samples: {samples}", screen)
    best = found.models.sort_values("val_accuracy", kind="stable")["id"].iloc[-1]
    ladder = [*(step for step in _LADDER if step < samples), samples]
    given = {} if arguments.threshold is None else {"threshold": arguments.threshold}
    options = {step: {"samples": step} | given for step in ladder}
    wanted = [*((name, options[samples]) for name in found.models["id"]), *((best, options[step]) for step in ladder)]
    tables = measurements(found, NAME, wanted, screen)
    if tables is None:
        return stopped(screen)
    if tables[0].empty:
        screen.line("nothing was measured")
        return 1
    layers = layers_of(tables[0])
    by_samples = pd.concat([layers_of(table[table["id"] == best]) for table in tables])
    by_samples = by_samples.sort_values(["samples", "layer"])
    tenths = by_tenth(layers)
    name = layers["function_set"].iloc[0]
    pictures = {
        "spectra": Picture(partial(_draw_layers, layers, name), 2),
        "samples": Picture(partial(_draw_samples, by_samples), 2),
    }
    land(arguments.run, NAME, {"layers": layers, "tenths": tenths, "samples": by_samples}, pictures, screen)
    print_table(tenths, arguments.format)
    return 0


def _samples(found: Asked, wanted: int | None) -> int:
    """Return over how many images, or raise BadInput where these are too few or more than there are."""
    there = len(found.images().splits["test"])
    samples = there if wanted is None else wanted
    if samples > there:
        raise BadInput(f"--samples: {samples}; there are {there} test images, expected 2..{there}")
    if samples < 2:
        raise BadInput(f"--samples: {samples}; expected at least 2, better 4 for each channel")
    return samples


def layers_of(wide: pd.DataFrame) -> pd.DataFrame:
    """Return a row for each model and convolution.

    Columns: those of models; layer (from 1, as they compute), relative_depth (of the last: 1), channels, samples,
    largest, mean, median, above, effective_rank, and used, the share of the channels that this is.
    """
    layers = by_part(wide, ["layer"]).sort_values([*OF_MODELS, "layer"], kind="stable")
    layers = layers.merge(wide[["id", "samples"]], on="id")
    layers["relative_depth"] = layers["layer"] / layers.groupby("id")["layer"].transform("max")
    layers["used"] = layers["effective_rank"] / layers["channels"]
    whole = {"channels": "int64", "samples": "int64", "above": "int64"}
    return layers[[*OF_MODELS, *_LAYER, "channels", "samples", *_NUMBERS, "used"]].astype(whole)


def by_tenth(layers: pd.DataFrame) -> pd.DataFrame:
    """Return a row for each tenth of the relative depth: n layers, and means of what is `above`, ranks and shares."""
    tenth = np.ceil(layers["relative_depth"] * 10).astype("int64")
    return means(
        layers.assign(tenth=tenth).sort_values("tenth"),
        ["function_set", "tenth"],
        ["above", "effective_rank", "used"],
    )


def _draw_layers(layers: pd.DataFrame, name: str, panels: "list[Axes]") -> None:
    labels = ("convolution, from the input", f"relative depth ({name}, {layers['id'].nunique():,} networks)")
    for axes, place, label in zip(panels, _LAYER, labels, strict=True):
        for value, ink, marker, said in (
            ("largest", BLUE, "o", "largest"),
            ("mean", VERMILION, "s", "mean"),
            ("median", QUIET, "^", "median"),
        ):
            shown = layers[layers[value] > 0]
            look: dict[str, Any] = {"markersize": 2, "alpha": 0.5, "markeredgewidth": 0}
            many = len(shown) > MANY
            axes.plot(shown[place], shown[value], marker, color=ink, label=said, rasterized=many, **look)
        axes.set(xlabel=label, ylabel="singular value", yscale="log")
    whole_numbers(panels[0])
    legend(panels[0], 3)


def _draw_samples(layers: pd.DataFrame, panels: "list[Axes]") -> None:
    rank, ratio = panels
    label = "a convolution"
    for _, own in layers.groupby("layer", sort=False):
        rank.plot(own["samples"], own["effective_rank"], ".-", color=QUIET, linewidth=0.6, markersize=3, label=label)
        label = "_"  # once is enough
        ratio.plot(
            own["samples"],
            (own["median"] / own["largest"]).clip(lower=1e-18),
            ".-",
            color=QUIET,
            linewidth=0.6,
            markersize=3,
        )
    steps = sorted(layers["samples"].unique())
    widest = layers["channels"].max()
    rank.plot(
        steps,
        [min(step - 1, widest) for step in steps],
        "--",
        color=VERMILION,
        label="samples - 1",
    )
    rank.set(xlabel="samples", ylabel="effective rank", xscale="log", yscale="log")
    legend(rank)
    ratio.set(xlabel="samples", ylabel="median / largest", xscale="log", yscale="log")
