"""What do noise, blur, weather and compression do to networks? 19 corruptions at 5 severities of the test images."""

import argparse
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cgp.errors import BadInput
from evaluate.corruptions import CORRUPTIONS, SEVERITIES
from evaluate.data.splits import Data
from populations.plotting.drawn import legend, whole_numbers
from populations.plotting.style import BLUE, INK, LINE, QUIET
from populations.search.asking import session_flags
from populations.terminal.screen import Screen
from populations.terminal.tables import print_table
from studies.asking import OF_MODELS, asked, by_part, measurements, stopped
from studies.landing import Picture, land
from studies.relating import means, spearman

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NAME = "corruptions"
_VALUES = ["accuracy", "relative"]


def ask(arguments: argparse.Namespace) -> int:
    """Measure, write tables and pictures, show each corruption's means; 0: done, 1: nothing, 130: stopped."""
    found = asked(arguments.run, arguments.models, arguments.top, session_flags(arguments), "classes")
    options = _options(found.images(), arguments.images, arguments.files)
    screen = Screen(aside=arguments.format != "table")
    tables = measurements(found, NAME, [(name, options) for name in found.models["id"]], screen)
    if tables is None:
        return stopped(screen)
    (wide,) = tables
    if wide.empty:
        screen.line("nothing was measured")
        return 1
    cells = cells_of(wide)
    networks, corruptions = by_network(cells), by_corruption(cells)
    depth = against_depth(networks)
    landed = {"cells": cells, "networks": networks, "corruptions": corruptions, "depth": depth}
    pictures = {
        "corruptions": Picture(partial(_draw_corruptions, corruptions)),
        "depth": Picture(partial(_draw_depth, networks), 2),
    }
    land(arguments.run, NAME, landed, pictures, screen)
    print_table(corruptions, arguments.format)
    screen.line("")
    for row in depth.to_dict("records"):
        interval = f"{row['low']:.2f} .. {row['high']:.2f}, n = {row['n']:.0f}"
        screen.line(f"{row['function_set']}: Spearman of {row['what']} and depth {row['spearman']:.2f} ({interval})")
    return 0


def _options(data: Data, images: int | None, files: Path | None) -> dict[str, object]:
    """Return the options of the measure, or raise BadInput where images or files are not what they have to be."""
    there = len(data.splits["test"])
    if images is not None and not 1 <= images <= there:
        raise BadInput(f"--images: {images}; there are {there} test images, expected 1..{there}")
    options: dict[str, object] = {} if images is None else {"images": images}
    if files is None:
        return options
    _check_files(files, data)
    return options | {"files": str(files.absolute())}


def _check_files(folder: Path, data: Data) -> None:
    labels = data.labels[data.splits["test"]]
    count, (channels, height, width) = len(labels) * len(SEVERITIES), data.shape
    for name in CORRUPTIONS:
        stored = _opened(folder / f"{name}.npy")
        expected = (count, height, width, channels)
        if stored.shape != expected or stored.dtype != np.uint8:
            what = f"{folder / name}.npy: {stored.dtype} of shape {stored.shape}"
            raise BadInput(f"--files: {what}; expected uint8 of shape {expected}: the test images, five times")
    found = _opened(folder / "labels.npy")
    if found.shape != (count,) or not np.array_equal(found, np.tile(labels, len(SEVERITIES))):
        raise BadInput(
            f"--files: {folder / 'labels.npy'}: are not the labels of the test images, in order, five times"
        )


def _opened(path: Path) -> "np.ndarray[tuple[int, ...], np.dtype[np.generic]]":
    try:
        stored: np.ndarray[tuple[int, ...], np.dtype[np.generic]] = np.load(path, mmap_mode="r")
    except FileNotFoundError as error:
        raise BadInput(
            f"--files: {path} is not there; expected one for each of 19 corruptions, and labels.npy"
        ) from error
    except (OSError, EOFError, ValueError) as error:
        raise BadInput(f"--files: {path}: no array of numpy ({error})") from error
    return stored


def cells_of(wide: pd.DataFrame) -> pd.DataFrame:
    """Return a row for each network, corruption and severity: accuracy, clean accuracy, and relative, their ratio."""
    cells = by_part(wide, ["corruption", "severity"]).merge(wide[["id", "clean", "images"]], on="id")
    cells["relative"] = (cells["accuracy"] / cells["clean"]).where(cells["clean"] > 0)
    cells["images"] = cells["images"].astype("int64")
    return cells[[*OF_MODELS, "corruption", "severity", "images", "clean", *_VALUES]]


def by_network(cells: pd.DataFrame) -> pd.DataFrame:
    """Return a row for each network: clean accuracy, and the means over all corruptions and severities."""
    return means(cells, [*OF_MODELS, "images", "clean"], _VALUES).rename(columns={"n": "cells"})


def by_corruption(cells: pd.DataFrame) -> pd.DataFrame:
    """Return a row for each function set and corruption: n networks, mean and spread, the severities pooled."""
    pooled = means(cells, ["id", "function_set", "corruption"], _VALUES)
    return means(pooled.sort_values("corruption", kind="stable"), ["function_set", "corruption"], _VALUES)


def against_depth(networks: pd.DataFrame) -> pd.DataFrame:
    """Return, for each function set, the rank correlations with convolution layers: what, spearman, low, high, n."""
    return pd.DataFrame(
        {"function_set": name, "what": what} | spearman(own["conv_layers"], own[what])
        for name, own in networks.groupby("function_set", sort=False)
        for what in ("clean", *_VALUES)
    )


def _draw_corruptions(table: pd.DataFrame, panels: "list[Axes]") -> None:
    (axes,) = panels
    table = table.sort_values("relative")
    look: dict[str, Any] = {"color": LINE, "edgecolor": INK, "linewidth": 0.4, "error_kw": {"linewidth": 0.6}}
    axes.barh(table["corruption"].str.replace("_", " "), table["relative"], xerr=table["relative_sd"], **look)
    networks = int(table["n"].max())
    axes.set(xlabel=f"corrupted / clean (mean and sd of {networks:,} networks)")
    axes.tick_params(axis="y", labelsize=5)
    axes.grid(visible=False, axis="y")


def _draw_depth(networks: pd.DataFrame, panels: "list[Axes]") -> None:
    absolute, relative = panels
    for values, ink, marker, label in (("clean", QUIET, "o", "clean"), ("accuracy", BLUE, "s", "corrupted")):
        absolute.plot(networks["conv_layers"], networks[values], marker, color=ink, markersize=3, label=label)
    relative.plot(networks["conv_layers"], networks["relative"], "s", color=BLUE, markersize=3)
    absolute.set(xlabel="convolution layers", ylabel="accuracy")
    relative.set(xlabel="convolution layers", ylabel="corrupted / clean")
    for axes in panels:
        whole_numbers(axes)
    legend(absolute)
