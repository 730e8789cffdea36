"""One function for each figure, from its table to axes. matplotlib is imported when it is needed. No torch."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd

from cgp.drawing.style import colour
from cgp.errors import BadInput
from populations.figures import blocks, curves, lineage, progress, sizes
from populations.figures.chosen import Runs, best
from populations.plotting.drawn import drawn, is_installed, legend, whole_numbers
from populations.plotting.style import BLUE, HATCHES, INK, LINE, MANY, QUIET, VERMILION

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_ACCURACY = "validation accuracy"


class Plot(NamedTuple):
    """A figure: what draws it, and how many panels it has, below each other."""

    draw: "Callable[[list[Axes], Runs], None]"
    panels: int = 1


def plotted(what: str, runs: Runs, kind: str) -> bytes:
    """Return the figure `what` of `PLOTS` of the one run in `runs`, as a file of `kind`, one of `FORMATS`.

    Raises BadInput where matplotlib is not installed, or the run has no network yet that was trained to its end.
    """
    if not is_installed():
        raise BadInput("plot: needs matplotlib, which is not installed: pip install 'cgp-evolve[report]'")
    if sizes.table(runs).empty:
        ((name, _),) = runs.items()
        raise BadInput(f"{name}: no network is trained to its end yet; expected at least one to plot")
    plot = PLOTS[what]
    return drawn(lambda panels: plot.draw(panels, runs), plot.panels, kind)


def _progress(panels: "list[Axes]", runs: Runs) -> None:
    (axes,), table = panels, progress.table(runs)
    _points(axes, table["networks"], table["val_accuracy"])
    axes.plot(
        table["networks"], table["best"], drawstyle="steps-post", color=BLUE, linewidth=1.6, label="best so far"
    )
    label = f"median of the last {progress.WINDOW}"
    axes.plot(table["networks"], table["median"], ":", color=VERMILION, linewidth=1.4, label=label)
    axes.set(xlabel="results", ylabel=_ACCURACY)
    legend(axes)


def _against(axes: "Axes", table: pd.DataFrame, size: str, label: str) -> None:
    """Draw accuracy against `size`, and the front."""
    front = table[table[f"front_{size}"]].sort_values(size)
    _points(axes, table[size], table["val_accuracy"])
    look: dict[str, Any] = {"marker": "s", "markersize": 3.5, "drawstyle": "steps-post"}
    axes.plot(front[size], front["val_accuracy"], color=BLUE, linewidth=1.4, label="Pareto front", **look)
    axes.set(xlabel=label, ylabel=_ACCURACY)
    legend(axes)


def _depth(panels: "list[Axes]", runs: Runs) -> None:
    _against(panels[0], sizes.table(runs), "depth", "depth (active nodes)")


def _pareto(panels: "list[Axes]", runs: Runs) -> None:
    table = sizes.table(runs)
    for axes, size, label in zip(panels, ("params", "flops"), ("parameters", "FLOPs of an image"), strict=True):
        _orders_of_magnitude(axes)
        _against(axes, table, size, label)


def _blocks(panels: "list[Axes]", runs: Runs) -> None:
    table = blocks.table(runs)
    kinds = sorted(set(table["kind"]))
    for axes, group in zip(panels, (blocks.WINNERS, blocks.REST), strict=True):
        own = table[table["group"] == group]
        shares = own.pivot_table(index="tenth", columns="kind", values="share", aggfunc="sum")
        shares = shares.reindex(index=range(1, blocks.TENTHS + 1), columns=kinds).fillna(0.0)
        below = shares.cumsum(axis=1) - shares
        for n, kind in enumerate(kinds):
            # Pale, so that the hatches are seen in grey.
            look: dict[str, Any] = {"facecolor": (colour(kind), 0.55), "edgecolor": INK, "linewidth": 0.4}
            hatch = HATCHES[n % len(HATCHES)]
            axes.bar(shares.index, shares[kind], 0.9, below[kind], hatch=hatch, label=kind, **look)
        networks = int(own["networks"].iloc[0]) if len(own) else 0
        axes.set(xlabel=f"tenth of the depth, {group} ({networks:,})", ylabel="share of networks", ylim=(0, 1))
        axes.set_xticks(range(1, blocks.TENTHS + 1))
        axes.grid(visible=False)
    legend(panels[0], columns=3)


def _lineage(panels: "list[Axes]", runs: Runs) -> None:
    (axes,), table = panels, lineage.table(runs)
    by_id = table.set_index("id")
    bred = table[table["parent"].isin(by_id.index)]
    parents = by_id.loc[bred["parent"]].set_axis(bred.index)
    better = bred["gain"] > 0
    for label, chosen, ink, width, dashes in (
        ("bred from", ~bred["line"] & ~better, LINE, 0.5, "-"),
        ("better than its parent", ~bred["line"] & better, VERMILION, 0.9, "--"),
        ("to the best", bred["line"], BLUE, 2.0, "-"),
    ):
        x, y = (_broken(parents.loc[chosen, name], bred.loc[chosen, name]) for name in ("generation", "val_accuracy"))
        axes.plot(x, y, dashes, color=ink, linewidth=width, label=label)
    _points(axes, table["generation"], table["val_accuracy"])
    axes.set(xlabel="generation", ylabel=_ACCURACY)
    whole_numbers(axes)
    legend(axes)


def _broken(start: "pd.Series[float]", end: "pd.Series[float]") -> list[float]:
    """Return the coordinates of separate lines, from each start to its end."""
    pairs = zip(start, end, strict=True)
    return [value for a, b in pairs for value in (a, b, float("nan"))]


def _curves(panels: "list[Axes]", runs: Runs) -> None:
    (axes,), table = panels, curves.table(runs)
    ((_, run),) = runs.items()
    winner = table["id"] == best(run, 1)["id"].iloc[0]
    for status, points in table[~winner].groupby("status", sort=False):
        ink, dashes = (QUIET, "-") if status == "ok" else (VERMILION, "--")
        label = "trained to its end" if status == "ok" else str(status)
        for _, curve in points.groupby("id", sort=False):
            look: dict[str, Any] = {"marker": "." if len(curve) == 1 else None, "markersize": 3, "label": label}
            axes.plot(curve["epoch"], curve["val_accuracy"], dashes, color=ink, linewidth=0.6, **look)
            label = "_"  # once is enough
    axes.plot(
        table.loc[winner, "epoch"], table.loc[winner, "val_accuracy"], color=BLUE, linewidth=2.2, label="the best"
    )
    axes.set(xlabel="epoch", ylabel=_ACCURACY)
    whole_numbers(axes)
    legend(axes)


def _points(axes: "Axes", x: "pd.Series[float]", y: "pd.Series[float]") -> None:
    """Draw networks, where there are many as one image."""
    many = len(x) > MANY
    look: dict[str, Any] = {"markersize": 1.5, "alpha": 0.3} if many else {"markersize": 3, "alpha": 0.8}
    axes.plot(x, y, "o", color=QUIET, markeredgewidth=0, rasterized=many, label="a network", zorder=1.5, **look)


def _orders_of_magnitude(axes: "Axes") -> None:
    from matplotlib.ticker import EngFormatter, LogLocator, NullLocator

    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.xaxis.set_minor_locator(NullLocator())


PLOTS: Mapping[str, Plot] = {
    "progress": Plot(_progress),
    "depth": Plot(_depth),
    "pareto": Plot(_pareto, 2),
    "blocks": Plot(_blocks, 2),
    "lineage": Plot(_lineage),
    "curves": Plot(_curves),
}
