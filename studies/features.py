"""Which layers want the features? VGG networks with about one total of them, shared in other ways.

Of a run of `--family vgg-features`: after Mundt et al. 2018 (arXiv 1812.05836), who found that large early layers
win.
"""

import argparse
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cgp.errors import BadInput
from cgp.families import VGG_FEATURES
from cgp.feature_amounts import Amounts, Member, members, weights
from cgp.graph import Graph
from populations.commands.confirm import STAGE as CONFIRM
from populations.figures.chosen import scored
from populations.plotting.drawn import legend
from populations.plotting.style import BLUE, QUIET, VERMILION
from populations.reading.frame import Run, load
from populations.setup.config import Config
from populations.terminal.programs import search_command
from populations.terminal.screen import Screen
from populations.terminal.tables import print_table
from studies.landing import Picture, land
from studies.relating import spearman

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NAME = "features"
_SPACE = ["mean", "width", "skew"]
_UNITS = {
    "mean": "mean m, layers",
    "width": "width w, layers",
    "skew": "skew a",
    "early": "share of the features in the first third",
    "last": "features of the last layer before the classifier",
    "weights": "weights",
}
_PLOTTED = ("early", "last", "weights")  # against accuracy


def ask(arguments: argparse.Namespace) -> int:
    """Write tables, pictures and the interactive figure, show the rank correlations; 0: done."""
    run = load(arguments.run)
    amounts = _amounts(run)
    screen = Screen(aside=arguments.format != "table")
    networks = networks_of(run, amounts)
    if networks.empty:
        raise BadInput(f"{run.folder}: no finished network yet; expected at least one whose status is ok")
    ranks = ranks_of(networks)
    placed = networks.fillna(_place_of_vgg(amounts))
    pictures = {
        "projections": Picture(partial(_draw_projections, placed), 3),
        "accuracy": Picture(partial(_draw_accuracy, networks), len(_PLOTTED)),
    }
    pages = {"networks": partial(_interactive, placed)}
    land(arguments.run, NAME, {"networks": networks, "ranks": ranks}, pictures, screen, pages=pages)
    print_table(ranks, arguments.format)
    screen.line("")
    for line in _said(networks, len(members(amounts))):
        screen.line(line)
    return 0


def _amounts(run: Run) -> Amounts:
    """Return which networks `run` is of. Raises BadInput where it is of another family, or of a search."""
    config = Config.of(run.config, run.folder)
    if config.evolution.family != VGG_FEATURES:
        asked = f"--family {config.evolution.family}" if config.evolution.family else "a search"
        raise BadInput(f"{run.folder}: is of {asked}; expected a run of: {search_command()} --family {VGG_FEATURES}")
    return config.amounts()


def networks_of(run: Run, amounts: Amounts) -> pd.DataFrame:
    """Return a row for each network of `run` that was trained to its end, in the order of the family.

    Columns: network (its name), id, mean, width and skew of its density (empty for the VGG itself), total of its
    features, early, the share of them in the first third of the layers, last, those of the last layer, weights
    (without biases and batch normalisation), params, accuracy (validation: the mean over n trainings, that of the run
    and those of `confirm`), accuracy_sd (of a sample; empty for one), n, and features, of each layer, with spaces.
    """
    models = scored(run).set_index("job")
    again = run.models[(run.models["stage"] == CONFIRM) & (run.models["status"] == "ok")]
    rows = list[dict[str, Any]]()
    for number, member in enumerate(members(amounts)):
        if number not in models.index:
            continue
        model = models.loc[number]
        trained: str = model["id"] if pd.isna(model["same_as"]) else model["same_as"]
        found = pd.Series([model["val_accuracy"], *again[again["parent"] == trained]["val_accuracy"]])
        rows.append(_row(member, run.model(str(model["id"])).model, str(model["id"]), found))
    return pd.DataFrame(rows)


def _row(member: Member, graph: object, identity: str, found: "pd.Series[float]") -> dict[str, Any]:
    assert isinstance(graph, Graph)  # for mypy: a family is of graphs
    features, third = member.features, len(member.features) // 3
    place = (np.nan,) * 3 if member.variant is None else member.variant[:3]
    return {
        "network": member.name,
        "id": identity,
        **dict(zip(_SPACE, map(float, place), strict=True)),
        "total": sum(features),
        "early": sum(features[:third]) / sum(features),
        "last": features[-1],
        "weights": weights(graph),
        "params": graph.params,
        "accuracy": found.mean(),
        "accuracy_sd": found.std(),
        "n": len(found),
        "features": " ".join(map(str, features)),
    }


def ranks_of(networks: pd.DataFrame) -> pd.DataFrame:
    """Return Spearman's correlations of accuracy with what networks differ in: what, spearman, low, high, n.

    The VGG itself is left out: it is none of the densities. So are variants with the features of one before.
    """
    variants = networks.dropna(subset=_SPACE).drop_duplicates("features")
    return pd.DataFrame({"with": name} | spearman(variants[name], variants["accuracy"]) for name in _UNITS)


def _place_of_vgg(amounts: Amounts) -> dict[str, float]:
    """Return mean, width and skew of the variant that shares its features most as the VGG does."""
    vgg = _shares(amounts.vgg)
    every = Amounts(amounts.depth, amounts.total, amounts.exact).variants()
    nearest = min(every, key=lambda variant: float(np.abs(_shares(variant.features) - vgg).sum()))
    return dict(zip(_SPACE, map(float, nearest[:3]), strict=True))


def _shares(features: tuple[int, ...]) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
    return np.array(features) / sum(features)


def _said(networks: pd.DataFrame, count: int) -> list[str]:
    """Return in words how many were trained, which is best, and where the VGG itself stands."""
    order = networks.sort_values("accuracy", ascending=False, kind="stable").reset_index(drop=True)
    best = order.iloc[0]
    seeds = f"n = {networks['n'].min()}" + (
        f" to {most}" if (most := networks["n"].max()) > networks["n"].min() else ""
    )
    said = [
        f"{len(networks)} of {count} networks, {seeds} trainings each",
        f"best: {best['network']} ({best['id']}), accuracy {best['accuracy']:.4f}, features {best['features']}",
    ]
    for place, vgg in order[order["mean"].isna()].iterrows():
        said.append(
            f"{vgg['network']} ({vgg['id']}), accuracy {vgg['accuracy']:.4f}, is number {int(str(place)) + 1}"
        )
    return said


def _draw_projections(placed: pd.DataFrame, panels: "list[Axes]") -> None:
    """Draw each pair of mean, width and skew; what lies in one place is its mean."""
    variants = placed[~_is_vgg(placed)]
    scale = {"vmin": placed["accuracy"].min(), "vmax": placed["accuracy"].max(), "cmap": "viridis"}
    for axes, (x, y) in zip(panels, (("mean", "width"), ("mean", "skew"), ("skew", "width")), strict=True):
        flat = variants.groupby([x, y], as_index=False)["accuracy"].mean()
        points = axes.scatter(flat[x], flat[y], c=flat["accuracy"], s=14, marker="s", **scale)
        for _, vgg in placed[_is_vgg(placed)].iterrows():
            look: dict[str, Any] = {
                "edgecolors": VERMILION,
                "facecolors": "none",
                "label": f"most like {vgg['network']}",
            }
            axes.scatter([vgg[x]], [vgg[y]], s=50, marker="o", **look)
        axes.set(xlabel=_UNITS[x], ylabel=_UNITS[y])
        axes.figure.colorbar(points, ax=axes, label="accuracy")
    if _is_vgg(placed).any():
        legend(panels[0])


def _draw_accuracy(networks: pd.DataFrame, panels: "list[Axes]") -> None:
    vgg = networks["mean"].isna()
    for axes, name in zip(panels, _PLOTTED, strict=True):
        for own, ink, marker, label in ((~vgg, BLUE, "o", "variant"), (vgg, VERMILION, "*", "VGG itself")):
            if not own.any():
                continue
            shown = networks[own]
            look: dict[str, Any] = {"color": ink, "label": label, "elinewidth": 0.5}
            size = 3 if marker == "o" else 8
            axes.errorbar(shown[name], shown["accuracy"], shown["accuracy_sd"], fmt=marker, markersize=size, **look)
        for accuracy in networks[vgg]["accuracy"]:
            axes.axhline(accuracy, color=QUIET, linewidth=0.6, linestyle="--")
        axes.set(xlabel=_UNITS[name], ylabel="validation accuracy")
    legend(panels[0])


def _is_vgg(placed: pd.DataFrame) -> "pd.Series[bool]":
    return placed["network"].str.startswith("vgg")


def _interactive(placed: pd.DataFrame) -> bytes:
    """Return a page with the networks at mean, width and skew, their accuracy as colour and weights as size."""
    from plotly import graph_objects

    vgg = _is_vgg(placed)
    scale = {"cmin": placed["accuracy"].min(), "cmax": placed["accuracy"].max(), "colorscale": "Viridis"}
    largest = placed["weights"].max()
    figure = graph_objects.Figure()
    for own, label, symbol in (
        (~vgg, "variants", "circle"),
        (vgg, "VGG itself, at the variant most like it", "diamond"),
    ):
        shown = placed[own]
        texts = [
            f"{row['network']} ({row['id']})<br>accuracy {row['accuracy']:.4f}, n = {row['n']}"
            f"<br>{row['weights']:,} weights<br>{row['features']}"
            for row in shown.to_dict("records")
        ]
        marker = {
            "color": shown["accuracy"], "size": 4 + 12 * np.cbrt(shown["weights"] / largest), "symbol": symbol,
            "showscale": symbol == "circle", "colorbar": {"title": "accuracy"}, "line": {"width": 1}, **scale,
        }  # fmt: skip
        figure.add_trace(
            graph_objects.Scatter3d(
                x=shown["mean"], y=shown["width"], z=shown["skew"], mode="markers", name=label, marker=marker,
                text=texts, hoverinfo="text",
            )
        )  # fmt: skip
    axes = dict(zip(("xaxis", "yaxis", "zaxis"), ({"title": _UNITS[name]} for name in _SPACE), strict=True))
    figure.update_layout(
        title="Features shared in other ways: accuracy (colour), weights (size)", scene=axes,
        legend={"orientation": "h", "y": 0}, margin={"l": 0, "r": 0, "b": 0},
    )  # fmt: skip
    made: str = figure.to_html(include_plotlyjs=True, div_id="networks")
    return made.encode()
