"""The loss on a plane as contours for a paper, as a surface to turn in a browser, and as arrays."""

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import RegularGridInterpolator

from evaluate.measures.landscape import axis
from evaluate.measures.trajectory import Trajectory
from populations.plotting.style import INK, VERMILION

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Grid = NDArray[np.float64]  #: (points of a side, points of a side): a row for each y, a column for each x

_LEVELS = 15
_LOG_FROM = 10  # times the least, from which values are shown on a log scale
_COLOURS = "viridis"


@dataclass(frozen=True)
class Surface:
    """What was measured on one plane around a network."""

    model: str  #: id
    options: Mapping[str, Any]  #: of the measure
    values: Mapping[str, Grid]  #: `loss`, and `accuracy` where there is one; nan where it is not known
    way: Trajectory | None  #: of the training, where the plane is its

    @cached_property
    def axis(self) -> list[float]:
        """The places of rows and columns."""
        return axis(self.options["grid"], self.options["reach"])

    @property
    def name(self) -> str:
        """What tells it from others of the same run."""
        return f"{self.model}-{self.options['directions']}-{self.options['batch_norm']}"

    @property
    def treatment(self) -> str:
        """How batch normalisation was treated."""
        return f"{self.options['batch_norm']} statistics"

    @property
    def directions(self) -> tuple[str, str]:
        """What x and y are."""
        if self.way is None:
            return "first random direction", "second random direction"
        first, second = (f"{share:.1%}" for share in self.way.explained)
        return f"first principal direction ({first})", f"second principal direction ({second})"

    def titled(self, value: str) -> str:
        """Return what a number of `values` is: `validation loss`."""
        return f"{ {'train': 'training'}.get(self.options['images'], self.options['images']) } {value}"


def draw(surface: Surface, panels: "list[Axes]") -> None:
    """Draw contours of each value on a panel of its own, the weights that it is around, and their way."""
    for axes, (name, grid) in zip(panels, surface.values.items(), strict=True):
        _contours(axes, surface, name, grid)
        if surface.way is not None:
            x, y = surface.way.places.T.tolist()
            axes.plot(x, y, "o-", color=INK, markersize=2.5, linewidth=0.8)
            beside: dict[str, Any] = {"xytext": (-3, 3), "textcoords": "offset points", "ha": "right", "fontsize": 6}
            axes.annotate(f"epoch {surface.way.epochs[0]}", (x[0], y[0]), **beside)
        axes.plot(0, 0, "+", color=VERMILION, markersize=8, markeredgewidth=1.4)
        axes.set(xlabel=surface.directions[0], ylabel=surface.directions[1])
        axes.grid(visible=False)


def _contours(axes: "Axes", surface: Surface, name: str, grid: Grid) -> None:
    from matplotlib.colors import LogNorm, Normalize

    known = np.ma.masked_invalid(grid)
    if known.count() == 0:
        return
    low, high = float(known.min()), float(known.max())
    log = name == "loss" and _is_wide(grid)
    high = max(high, low + 1e-9)
    levels = np.geomspace(low, high, _LEVELS) if log else np.linspace(low, high, _LEVELS)
    levels[[0, -1]] = low, high  # which rounding must not leave out
    norm = LogNorm(low, high) if log else Normalize(low, high)
    shades = axes.contourf(surface.axis, surface.axis, known, levels=levels, norm=norm, cmap=_COLOURS)
    axes.contour(surface.axis, surface.axis, known, levels=levels[1:-1], colors=INK, linewidths=0.3)
    bar = axes.figure.colorbar(shades, ax=axes, label=f"{surface.titled(name)}, {surface.treatment}", format="%.3g")
    bar.set_ticks(list(levels[:: (_LEVELS - 1) // 2]))
    bar.ax.minorticks_off()


def _is_wide(grid: Grid) -> bool:
    """Whether a log scale helps."""
    known = grid[np.isfinite(grid)]
    return bool(known.size and known.min() > 0 and known.max() > _LOG_FROM * known.min())


def page(surface: Surface) -> bytes:
    """Return a page with the loss as a surface that one can turn; it needs no net."""
    from plotly import graph_objects

    loss = np.where(np.isfinite(surface.values["loss"]), surface.values["loss"], np.nan)
    log = _is_wide(loss)
    label = surface.titled("loss")
    shown = graph_objects.Surface(
        x=surface.axis,
        y=surface.axis,
        z=loss,
        surfacecolor=np.log10(loss) if log else loss,
        colorscale=_COLOURS,
        showscale=False,
        hovertemplate=f"x %{{x:.3f}}<br>y %{{y:.3f}}<br>{label} %{{z:.4g}}<extra></extra>",
    )
    figure = graph_objects.Figure(shown)
    if surface.way is not None:
        figure.add_trace(_line(surface.way, surface.axis, loss))
    x, y = surface.directions
    figure.update_layout(
        title={"text": f"{surface.model}: {label}, {surface.treatment}"},
        margin={"l": 0, "r": 0, "b": 0, "t": 48},
        scene={"xaxis": {"title": {"text": x}}, "yaxis": {"title": {"text": y}}}
        | {"camera": {"eye": {"x": 1.5, "y": 1.5, "z": 1.2}}}
        | {"zaxis": {"title": {"text": label}, "type": "log" if log else "linear"}},
    )
    made: str = figure.to_html(include_plotlyjs=True, div_id="surface", config={"displaylogo": False})
    return made.encode()


def _line(way: Trajectory, places: list[float], loss: Grid) -> Any:
    """Return the way of the training on the surface."""
    from plotly import graph_objects

    on_surface = RegularGridInterpolator((places, places), loss, bounds_error=False)
    x, y = way.places.T.numpy()
    return graph_objects.Scatter3d(
        x=x,
        y=y,
        z=on_surface(np.stack([y, x], 1)),
        mode="lines+markers",
        text=[f"epoch {epoch}" for epoch in way.epochs],
        hovertemplate="%{text}<extra></extra>",
        line={"color": INK, "width": 5},
        marker={"color": INK, "size": 3},
    )


def arrays(surface: Surface) -> bytes:
    """Return a file of numpy's: `x`, `y`, what is in `values`, and `about`, the options as JSON.

    Of a training's plane also `epochs`, `places` (epochs, 2) and `explained`.
    """
    own: dict[str, Any] = {"x": surface.axis, "y": surface.axis, **surface.values}
    if surface.way is not None:
        own |= {
            "epochs": surface.way.epochs,
            "places": surface.way.places.numpy(),
            "explained": surface.way.explained,
        }
    about = json.dumps({"model": surface.model} | dict(surface.options), sort_keys=True)
    written = io.BytesIO()
    np.savez_compressed(written, allow_pickle=False, about=np.array(about), **own)
    return written.getvalue()
