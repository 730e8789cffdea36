"""Where what a study finds lands: tables and pictures in `RUN/studies/NAME`, each file whole. No torch."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pandas as pd

from evaluate.files import write_atomically
from populations.plotting.drawn import drawn, is_installed
from populations.reading.studied import folder_of
from populations.terminal.programs import report_is_installed
from populations.terminal.screen import Screen

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class Picture(NamedTuple):
    """What draws a figure of tables, on how many panels, in how many columns, and as which kinds of file."""

    draw: "Callable[[list[Axes]], None]"
    panels: int = 1
    columns: int = 1
    kinds: tuple[str, ...] = (".png", ".svg")  #: reports show the second


def land(
    run: Path,
    study: str,
    tables: Mapping[str, pd.DataFrame],
    pictures: Mapping[str, Picture],
    screen: Screen,
    files: Mapping[str, bytes] | None = None,
    pages: "Mapping[str, Callable[[], bytes]] | None" = None,
) -> None:
    """Write each table as CSV, each picture as files of its kinds, and `files` as they are; say where they are.

    `pages` make HTML, each with a figure to be turned in a browser. Without matplotlib there are no pictures, without
    plotly no pages, and a line says so.
    """
    folder = folder_of(run, study)
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in tables.items():
        write_atomically(folder / f"{name}.csv", table.to_csv(index=False).encode(), durable=False)
    for file, content in (files or {}).items():
        write_atomically(folder / file, content, durable=False)
    if is_installed():
        for name, picture in pictures.items():
            for kind in picture.kinds:
                content = drawn(picture.draw, picture.panels, kind, picture.columns)
                write_atomically(folder / f"{name}{kind}", content, durable=False)
    else:
        screen.line("no pictures: matplotlib is not installed: pip install 'cgp-evolve[report]'")
    if report_is_installed():
        for name, make in (pages or {}).items():
            write_atomically(folder / f"{name}.html", make(), durable=False)
    elif pages:
        screen.line("no figures to be turned: plotly is not installed: pip install 'cgp-evolve[report]'")
    screen.line(f"tables and pictures: {folder}")
