"""What were the activations of each layer like while a network was trained? Read from what trainings have recorded.

The picture of each network has a panel for each layer and a column for each epoch: how many activations lie where,
the "colourful dimension" of Howard's and Gugger's course (its author is S. Giomo).
"""

import argparse
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cgp.errors import BadInput
from evaluate.files import ACTIVATIONS
from evaluate.training.activations import REACH, Activations
from populations.plotting.style import QUIET
from populations.terminal.screen import Screen
from populations.terminal.tables import print_table
from studies.asking import OF_MODELS, Asked, asked
from studies.landing import Picture, land

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NAME = "activations"
_COLUMNS = 8  # of panels
_RAREST = 1e-5  # share of a layer's activations that has the darkest colour


def ask(arguments: argparse.Namespace) -> int:
    """Write the tables, and the picture of each network, and show a line for each; 0: done."""
    screen = Screen(aside=arguments.format != "table")
    found = asked(arguments.run, arguments.models, arguments.top, [], "any", trained=False)
    recorded = _recorded(found, screen)
    layers = layers_of(recorded)
    networks = networks_of(found.models, layers)
    best = networks.sort_values("val_accuracy", kind="stable")["id"].iloc[-1]
    pictures = {}
    for name, own in recorded.items():
        kinds = (".png", ".svg") if name == best else (".png",)  # one in the report says what they are like
        pictures[name] = Picture(partial(_draw, own), len(own.layers), min(_COLUMNS, len(own.layers)), kinds)
    land(arguments.run, NAME, {"layers": layers, "networks": networks}, pictures, screen)
    print_table(networks, arguments.format)
    return 0


def _recorded(found: Asked, screen: Screen) -> dict[str, Activations]:
    """Return what the trainings of models recorded, by id, and say of how many nothing is there.

    Raises BadInput where none did.
    """
    paths = {name: found.run.folder / "models" / name / ACTIVATIONS for name in found.models["id"]}
    there = {name: path for name, path in paths.items() if path.exists()}
    if not there:
        raise BadInput(
            f"{found.run.folder}: its trainings recorded no activations; search again with --record activations: "
            "the same flags and seed give the same networks"
        )
    if missing := len(paths) - len(there):
        screen.line(f"recorded no activations, and are in no table: {missing} of the {len(paths)} models")
    return {name: Activations.read(path) for name, path in there.items()}


def layers_of(recorded: Mapping[str, Activations]) -> pd.DataFrame:
    """Return a row for each model, layer and epoch.

    Columns: id, layer (from 1, as they compute), name, epoch (from 1), mean, sd, near_zero (share of the values).
    """
    tables = []
    for identity, found in recorded.items():
        epochs, layers = found.mean.shape
        columns: dict[str, Any] = {
            "id": identity,
            "layer": np.repeat(np.arange(1, layers + 1), epochs),
            "name": np.repeat(found.layers, epochs),
            "epoch": np.tile(found.epoch, layers),
        }
        columns |= {name: getattr(found, name).T.ravel() for name in ("mean", "sd", "near_zero")}
        tables.append(pd.DataFrame(columns))
    return pd.concat(tables, ignore_index=True)


def networks_of(models: pd.DataFrame, layers: pd.DataFrame) -> pd.DataFrame:
    """Return a row for each network that recorded: what its layers are like after the last epoch that it has.

    Columns: those of models; layers, epochs, and over its layers: sd_least, sd_most, near_zero (the mean) and
    near_zero_most.
    """
    last = layers[layers["epoch"] == layers.groupby("id")["epoch"].transform("max")].groupby("id")
    table = pd.DataFrame(
        {
            "layers": last.size(),
            "epochs": last["epoch"].first(),
            "sd_least": last["sd"].min(),
            "sd_most": last["sd"].max(),
            "near_zero": last["near_zero"].mean(),
            "near_zero_most": last["near_zero"].max(),
        }
    )
    return models[OF_MODELS].merge(table, left_on="id", right_index=True).reset_index(drop=True)


def _draw(found: Activations, panels: "list[Axes]") -> None:
    from matplotlib.colors import LogNorm

    shares = found.histogram / found.histogram.sum(-1, keepdims=True)
    first, last = found.epoch[0] - 0.5, found.epoch[-1] + 0.5
    for n, axes in enumerate(panels):
        image = axes.imshow(
            shares[:, n].T.clip(_RAREST),
            cmap="inferno",
            norm=LogNorm(_RAREST, 1),
            aspect="auto",
            origin="lower",
            extent=(first, last, -REACH, REACH),
            interpolation="nearest",
        )
        axes.axhline(0, color=QUIET, linewidth=0.3)
        axes.grid(False)
        axes.set_title(str(found.layers[n]), fontsize=6, pad=2)
        axes.tick_params(labelsize=5, length=2, pad=1)
        axes.set_yticks([-5, 0, 5] if n % _COLUMNS == 0 else [])
        axes.set_xticks(sorted({int(found.epoch[0]), int(found.epoch[-1])}) if n + _COLUMNS >= len(panels) else [])
    panels[0].set_ylabel("activation", fontsize=6)
    panels[-1].set_xlabel("epoch", fontsize=6)
    bar = panels[0].figure.colorbar(image, ax=panels, shrink=0.9, aspect=40, pad=0.01)
    bar.ax.tick_params(labelsize=5)
    bar.set_label("share of a layer's activations", fontsize=6)
