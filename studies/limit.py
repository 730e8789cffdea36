"""Do the weights of a deep network have a limit as a path in depth, and how fast does the gradient fall?

Of residual MLPs, `evolve.py --family residual-mlp`: the p-variation of the weights after each epoch and of those that
were kept, their norms and single weights along the path, and powers fitted to the gradient. Of other networks the
p-variation of each chain of equally shaped convolutions.
"""

import argparse
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from cgp.chains import SHORTEST, chains
from cgp.errors import BadInput
from cgp.graph import Graph
from cgp.residual_mlp import ResidualMLP
from evaluate.files import BEST
from evaluate.training.checkpoint import read_tensors
from evaluate.training.limit import VARIATIONS, named
from evaluate.variation import Vector, require_power
from populations.plotting.drawn import legend
from populations.search.asking import session_flags
from populations.terminal.screen import Screen
from populations.terminal.tables import print_table
from studies.asking import Asked, asked, by_part, measurements, stopped
from studies.decay import LAWS, NUMBERS, fitted, law
from studies.landing import Picture, land

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NAME = "limit"
_MEASURE = "variation"
_OF = ["id", "depth", "val_accuracy", "val_loss"]  # what is told of a model in each table
_CHOSEN = ((0, 0), (0, 1), (1, 0))  # weights whose paths are shown, where there are so many


def ask(arguments: argparse.Namespace) -> int:
    """Measure, write tables and pictures, show p-variations; 0: done, 1: nothing, 130: stopped."""
    require_power(arguments.p)
    chosen = [_place(text) for text in arguments.weights or ()]
    found = asked(arguments.run, arguments.models, arguments.top, session_flags(arguments), "any")
    mlps = {
        name: model for name in found.models["id"] if isinstance(model := found.run.model(name).model, ResidualMLP)
    }
    _refuse_weights(chosen, mlps)
    screen = Screen(aside=arguments.format != "table")
    wanted = [name for name in found.models["id"] if name in mlps or _has_chain(found, name)]
    if not wanted:
        raise BadInput(
            f"{arguments.run}: no network has {SHORTEST} convolutions of one shape in a row, nor is a residual MLP"
        )
    if without := len(found.models) - len(wanted):
        screen.line(f"without {SHORTEST} convolutions of one shape in a row, and in no table: {without} networks")
    tables = measurements(found, _MEASURE, [(name, {"p": arguments.p}) for name in wanted], screen)
    if tables is None:
        return stopped(screen)
    if tables[0].empty:
        screen.line("nothing was measured")
        return 1
    variation = variations(tables[0], found.models)
    landed, pictures = {"variation": variation}, {"variation": Picture(partial(_draw_variation, variation))}
    if mlps:
        own = found.models[found.models["id"].isin(mlps)]
        epochs = epochs_of(found, own)
        fits = fits_of(epochs, own)
        norms, paths = along(found, own, mlps, chosen)
        landed |= {"epochs": epochs, "fits": fits, "norms": norms, "weights": paths}
        pictures |= {
            "gradient": Picture(partial(_draw_gradient, epochs, fits)),
            "training": Picture(partial(_draw_training, epochs)),
            "norms": Picture(partial(_draw_along, norms, "norm", "||L^beta W_k||")),
            "weights": Picture(partial(_draw_along, paths, "value", "a weight of L^beta W_k")),
        }
    land(arguments.run, NAME, landed, pictures, screen)
    print_table(variation, arguments.format, ("val_accuracy", "val_loss", "points"))
    return 0


def _place(text: str) -> tuple[int, int]:
    row, comma, column = text.partition(",")
    if not (comma and row.isdecimal() and column.isdecimal()):
        raise BadInput(f"--weights: {text!r}; expected ROW,COLUMN of a weight in each block, from 0,0")
    return int(row), int(column)


def _refuse_weights(chosen: list[tuple[int, int]], mlps: dict[str, ResidualMLP]) -> None:
    """Raise BadInput where weights are `chosen` that some of `mlps` lack, or where there is none of these."""
    if chosen and not mlps:
        raise BadInput("--weights: are of residual MLPs, of which there is none; leave it out")
    for row, column in chosen:
        if max(row, column) >= (width := min(model.width for model in mlps.values())):
            raise BadInput(
                f"--weights: {row},{column}; blocks are {width} wide, expected 0,0 to {width - 1},{width - 1}"
            )


def _has_chain(found: Asked, name: str) -> bool:
    model = found.run.model(name).model
    return isinstance(model, Graph) and bool(chains(model))


def variations(wide: pd.DataFrame, models: pd.DataFrame) -> pd.DataFrame:
    """Return a row for each model, path and p.

    Columns: id, depth, val_accuracy, val_loss; path, its first and last block or convolution; points; p; variation,
    to the power 1/p.
    """
    long = by_part(wide[[name for name in wide if not str(name).startswith("points")]], ["path", "p"])
    points = by_part(wide[[name for name in wide if not str(name).startswith("variation")]], ["path"])
    table = long.merge(points[["id", "path", "points"]], on=["id", "path"]).astype(
        {"p": "float64", "points": "int64"}
    )
    table = table[["id", "path", "points", "p", "variation"]].merge(models[_OF], on="id")
    return table.sort_values(["depth", "id", "points", "path", "p"], kind="stable", ignore_index=True)[
        [*_OF, "path", "points", "p", "variation"]
    ]


def epochs_of(found: Asked, models: pd.DataFrame) -> pd.DataFrame:
    """Return a row for each residual MLP and epoch: id, depth, epoch, lr, train_loss, omega, and variations.

    `omega` is of the weights that the epoch began with, variations are of those that it ended with.
    """
    columns = ["id", "depth", "epoch", "lr", "train_loss", "omega", *map(named, VARIATIONS)]
    curves = found.run.curves_of(list(models["id"])).merge(models[["id", "depth"]], on="id")
    return curves.sort_values(["depth", "id", "epoch"], ignore_index=True)[columns].astype({"epoch": "int64"})


def fits_of(epochs: pd.DataFrame, models: pd.DataFrame) -> pd.DataFrame:
    """Return a row for each residual MLP and law: id, depth, epochs, law and what `fitted` finds."""
    rows = [
        {"id": identity, "depth": own["depth"].iloc[0], "epochs": len(own), "law": name} | numbers
        for identity, own in epochs.groupby("id", sort=False)
        for name, numbers in fitted(list(own["omega"])).items()
    ]
    return pd.DataFrame(rows)


def along(
    found: Asked, models: pd.DataFrame, mlps: dict[str, ResidualMLP], chosen: list[tuple[int, int]]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return two tables along the paths of residual MLPs, of the weights that were kept, L^beta W_k.

    A row for each block: id, depth, k (from 0), place (k/(L-1)), norm (Frobenius). And one for each of the `chosen`
    weights of a block: id, depth, row, column, k, place, value.
    """
    norms, weights = list[pd.DataFrame](), list[pd.DataFrame]()
    for identity, depth in zip(models["id"], models["depth"], strict=True):
        tensors, _ = read_tensors(found.run.folder / "models" / identity / BEST)
        path: Vector = mlps[identity].scale * tensors["weights"].double().numpy()
        blocks = pd.DataFrame({"id": identity, "depth": depth, "k": range(depth), "place": np.linspace(0, 1, depth)})
        norms.append(blocks.assign(norm=np.linalg.norm(path, axis=(1, 2))))
        for row, column in chosen or [place for place in _CHOSEN if max(place) < mlps[identity].width]:
            weights.append(blocks.assign(row=row, column=column, value=path[:, row, column]))
    order = ["id", "depth", "row", "column", "k", "place", "value"]
    return pd.concat(norms, ignore_index=True), pd.concat(weights, ignore_index=True)[order]


def _draw_variation(table: pd.DataFrame, panels: "list[Axes]") -> None:
    (axes,) = panels
    for (p, own), marker in zip(table.groupby("p"), "os^", strict=False):
        axes.plot(own["points"], own["variation"], marker, markersize=3, label=f"p = {p:g}")
    axes.set(xlabel="blocks, or convolutions of a chain", ylabel="p-variation, to the power 1/p", ylim=(0, None))
    legend(axes, 3)


def _draw_gradient(epochs: pd.DataFrame, fits: pd.DataFrame, panels: "list[Axes]") -> None:
    (axes,) = panels
    for ink, (identity, own) in zip(_inks(epochs), epochs.groupby("id", sort=False), strict=True):
        t = own["epoch"].to_numpy() - 1
        axes.plot(t + 1, own["omega"], ".", color=ink, markersize=3, label=f"L = {own['depth'].iloc[0]}")
        for name, dashes in zip(LAWS, ("--", "-"), strict=True):
            found = fits[(fits["id"] == identity) & (fits["law"] == name)].iloc[0]
            if found["C"] > 0:
                axes.plot(
                    t + 1, law(t, *(float(found[number]) for number in NUMBERS)), dashes, color=ink, linewidth=0.8
                )
    axes.set(xlabel="epoch (dashed: C/(t+1)^rho, solid: C/(t+T0)^rho)", ylabel="Omega", xscale="log", yscale="log")
    legend(axes, 3)


def _draw_training(epochs: pd.DataFrame, panels: "list[Axes]") -> None:
    (axes,) = panels
    for ink, (_, own) in zip(_inks(epochs), epochs.groupby("id", sort=False), strict=True):
        for p, dashes in zip(VARIATIONS, (":", "--", "-"), strict=True):
            label = f"L = {own['depth'].iloc[0]}" if dashes == "-" else "_"
            axes.plot(own["epoch"], own[named(p)], dashes, color=ink, linewidth=1, label=label)
    dashed = ", ".join(f"{how} p = {p:g}" for p, how in zip(VARIATIONS, ("dotted", "dashed", "solid"), strict=True))
    axes.set(xlabel=f"epoch ({dashed})", ylabel="p-variation, to the power 1/p", yscale="log")
    legend(axes, 3)


def _draw_along(table: pd.DataFrame, value: str, label: str, panels: "list[Axes]") -> None:
    (axes,) = panels
    for ink, (_, own) in zip(_inks(table), table.groupby("id", sort=False), strict=True):
        lines = [one for _, one in own.groupby(["row", "column"])] if "row" in own else [own]
        for n, one in enumerate(lines):
            shown = f"L = {own['depth'].iloc[0]}" if n == 0 else "_"
            axes.plot(one["place"], one[value], color=ink, linewidth=0.8, label=shown)
    axes.set(xlabel="place of block k, k / (L - 1)", ylabel=label)
    legend(axes, 3)


def _inks(table: pd.DataFrame) -> list[tuple[float, float, float, float]]:
    """Return a colour for each model, the deeper the lighter."""
    from matplotlib import colormaps

    count = table["id"].nunique()
    return [colormaps["viridis"](0.9 * place / max(count - 1, 1)) for place in range(count)]
