"""From axes that a function draws on to the file of a figure. matplotlib is imported when it is needed. No torch."""

import io
import logging
from collections.abc import Callable
from importlib.util import find_spec
from typing import TYPE_CHECKING

from populations.plotting.style import DPI, HEIGHT, SETTINGS, SMALL, WIDTH

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FORMATS = (".png", ".svg", ".pdf")


def is_installed() -> bool:
    """Whether matplotlib is."""
    return find_spec("matplotlib") is not None


def drawn(draw: "Callable[[list[Axes]], None]", panels: int, kind: str, columns: int = 1) -> bytes:
    """Return what `draw` draws on `panels` axes, as a file of `kind`, one of `FORMATS`.

    They stand below each other, or as a grid of small ones, row by row, with several `columns`.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)  # of the fonts one is enough
    written = io.BytesIO()
    with rc_context(SETTINGS):
        width, height = (WIDTH, HEIGHT) if columns == 1 else SMALL
        rows = -(-panels // columns)
        figure = Figure(figsize=(width * columns, height * rows), layout="constrained")
        every = list(figure.subplots(rows, columns, squeeze=False).flat)
        for empty in every[panels:]:
            empty.set_axis_off()
        draw(every[:panels])
        dated = {".svg": "Date", ".pdf": "CreationDate"}
        figure.savefig(written, format=kind[1:], dpi=DPI, metadata={dated[kind]: None} if kind in dated else None)
    return written.getvalue()


def whole_numbers(axes: "Axes") -> None:
    """Let the marks on x be whole numbers."""
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def legend(axes: "Axes", columns: int = 2) -> None:
    """Say what is what above the axes, where it hides nothing."""
    axes.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=columns, borderaxespad=0.2)
