"""At which rates does a network learn? Smith's finder: the rate rises batch by batch until the loss does, too."""

import argparse
import math
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import pandas as pd

from cgp.errors import BadInput
from evaluate.measures.lr_range import DIVERGED, SMOOTHING
from populations.commands.measure import Wanted
from populations.plotting.drawn import legend
from populations.plotting.style import BLUE, LINE, QUIET, VERMILION
from populations.reading.replay import recorded_job
from populations.search.asking import session_flags
from populations.terminal.screen import Screen
from populations.terminal.tables import print_table
from studies.asking import OF_MODELS, Asked, asked, by_part, measurements, stopped
from studies.landing import Picture, land

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NAME, _MEASURE = "lr-range", "lr_range"
_SUGGESTED = ["suggested_steepest", "suggested_tenth"]
_FEWEST = 10  # batches that show anything


def ask(arguments: argparse.Namespace) -> int:
    """Measure, write tables and pictures, show the suggestions; 0: done, 1: nothing, 130: stopped."""
    first, last = arguments.lowest, arguments.highest
    if not 0 < first < math.inf:
        raise BadInput(f"--from: {first}; expected a rate above 0")
    if not first < last < math.inf:
        raise BadInput(f"--from: {first} to --to {last}; expected rates that rise")
    if arguments.batches < _FEWEST:
        raise BadInput(f"--batches: {arguments.batches}; expected at least {_FEWEST}")
    found = asked(arguments.run, arguments.models, None, session_flags(arguments), "any", trained=False)
    wanted = [_wanted(found, name, arguments) for name in found.models["id"]]
    screen = Screen(aside=arguments.format != "table")
    tables = measurements(found, _MEASURE, wanted, screen)
    if tables is None:
        return stopped(screen)
    known = [table for table in tables if len(table)]
    if not known:
        screen.line("nothing was measured")
        return 1
    batches = pd.concat([by_part(table, ["batch"]).sort_values("batch") for table in known], ignore_index=True)
    batches = batches.reindex(columns=[*OF_MODELS, "batch", "rate", "loss", "smoothed"])
    suggestions = suggestions_of(pd.concat(known, ignore_index=True), dict(wanted))
    pictures = {
        str(row["id"]): Picture(partial(_draw, batches[batches["id"] == row["id"]], row))
        for _, row in suggestions.iterrows()
    }
    land(arguments.run, NAME, {"batches": batches, "suggestions": suggestions}, pictures, screen)
    print_table(suggestions, arguments.format)
    return 0


def _wanted(found: Asked, name: str, arguments: argparse.Namespace) -> Wanted:
    """Return what is measured of a model: by its recipe and on its seed, so that it begins as its training did."""
    job = recorded_job(found.run, found.run.model(name))
    recipe = replace(job.train.recipe, cuda_graphs=False, record="").about()
    rates = {"from": arguments.lowest, "to": arguments.highest, "batches": arguments.batches}
    return name, {"recipe": recipe, "seed": job.seed} | rates


def suggestions_of(wide: pd.DataFrame, options: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """Return a row for each model: rates that are suggested, empty where the loss never fell, and how it was asked.

    Columns: those of models; trained_at, the highest rate of its recipe; suggested_steepest, suggested_tenth; from,
    to; batches, until it ended, and whether the loss had diverged then.
    """
    asked = [options[name] for name in wide["id"]]
    table = wide[OF_MODELS].assign(trained_at=[one["recipe"]["lr"] for one in asked])
    table = table.join(wide.reindex(columns=_SUGGESTED))
    for name in ("from", "to"):
        table[name] = [one[name] for one in asked]
    return table.assign(batches=wide["batches"].astype("int64"), diverged=wide["diverged"] == 1)


def _draw(batches: pd.DataFrame, row: "pd.Series[Any]", panels: "list[Axes]") -> None:
    (axes,) = panels
    label = f"smoothed ({SMOOTHING:g} stays)"
    axes.plot(batches["rate"], batches["loss"], ".", color=LINE, markersize=3, label="loss of a batch")
    axes.plot(batches["rate"], batches["smoothed"], color=BLUE, linewidth=1.4, label=label)
    for name, style, ink, said in (
        ("suggested_steepest", "--", VERMILION, "falls fastest"),
        ("suggested_tenth", "-.", VERMILION, "a tenth of the least"),
        ("trained_at", ":", QUIET, "trained at"),
    ):
        if pd.notna(row[name]):
            axes.axvline(row[name], linestyle=style, color=ink, linewidth=1, label=f"{said}: {row[name]:.2g}")
    known = batches["smoothed"][batches["smoothed"].map(math.isfinite)]
    if len(known):  # what diverges leaves the picture
        first, most = known.iloc[0], min(known.max(), DIVERGED * known.min())
        axes.set_ylim(0, 1.15 * max(first, most))
    axes.set(xlabel="learning rate", ylabel="training loss", xscale="log")
    legend(axes)
