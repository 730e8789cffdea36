"""Where what a study finds lands: tables and pictures in `RUN/studies/NAME`, each file whole. No torch."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pandas as pd

from evaluate.files import write_atomically
from populations.plotting.drawn import drawn, is_installed
from populations.reading.studied import folder_of
from populations.terminal.screen import Screen

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_PICTURES = (".png", ".svg")


class Picture(NamedTuple):
    """What draws a figure of tables, and on how many panels below each other."""

    draw: "Callable[[list[Axes]], None]"
    panels: int = 1


def land(
    run: Path,
    study: str,
    tables: Mapping[str, pd.DataFrame],
    pictures: Mapping[str, Picture],
    screen: Screen,
    files: Mapping[str, bytes] | None = None,
) -> None:
    """Write each table as CSV, each picture as PNG and SVG, and `files` of other kinds; say where they are.

    Without matplotlib there are no pictures, and a line says so.
    """
    folder = folder_of(run, study)
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in tables.items():
        write_atomically(folder / f"{name}.csv", table.to_csv(index=False).encode(), durable=False)
    for file, content in (files or {}).items():
        write_atomically(folder / file, content, durable=False)
    if is_installed():
        for name, picture in pictures.items():
            for kind in _PICTURES:
                write_atomically(folder / f"{name}{kind}", drawn(picture.draw, picture.panels, kind), durable=False)
    else:
        screen.line("no pictures: matplotlib is not installed: pip install 'cgp-evolve[report]'")
    screen.line(f"tables and pictures: {folder}")
