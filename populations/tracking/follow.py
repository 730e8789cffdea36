"""What is new in a run folder since it was looked into last. No torch."""

import csv
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from populations.reading.frame import Run, load

_EVERY_S = 2.0  # from one look to the next


class Network(NamedTuple):
    """A network of the run: one that trains, or that has ended."""

    row: dict[str, Any]  #: its row of the models table, without what is missing
    curve: list[dict[str, float]]  #: all of it so far, a row per epoch; empty where the result is another's
    place: int | None  #: of its result among all of the run; None while it trains


class News(NamedTuple):
    """What one look found."""

    networks: list[Network]  #: those that ended since the last look, in that order; then those that train
    generations: list[dict[str, Any]]  #: statistics of those that were finished since


def followed(folder: Path, follow: bool, wait: Callable[[float], None] = time.sleep) -> Iterator[News]:
    """Yield what is in the run in `folder`; where it is to `follow`, what comes too, as long as a process drives it.

    Raises BadInput where it is no run.
    """
    ended, generations = 0, 0
    while True:
        run = load(folder)
        going_on = follow and run.state == "running"  # asked first: what is written until it ends is seen below
        networks = _ended(run, ended)
        ended = max([ended, *(network.place for network in networks if network.place)])
        news = run.generations.iloc[generations:].to_dict("records")
        generations += len(news)
        yield News([*networks, *_training(run)], [_known(row) for row in news])
        if not going_on:
            return
        wait(_EVERY_S)


def _ended(run: Run, after: int) -> list[Network]:
    results = run.results(after)
    rows = _rows(run, [identity for _, identity, _ in results])
    return [
        Network(rows[identity], [] if "same_as" in rows[identity] else result.curve, place)
        for place, identity, result in results
    ]


def _training(run: Run) -> list[Network]:
    """Return the networks that have trained an epoch and have no result: most that are open wait for a slot."""
    curves = {name: _curve(run.folder / "models" / name / "curve.csv") for name in run.open_models()}
    begun = {name: curve for name, curve in curves.items() if curve}
    return [Network(row, begun[name], None) for name, row in _rows(run, list(begun)).items()]


def _rows(run: Run, names: list[str]) -> dict[str, dict[str, Any]]:
    return {row["id"]: _known(row) for row in run.named(names).to_dict("records")}


def _known(row: Any) -> dict[str, Any]:
    """Return what of a table's row is not missing."""
    return {str(name): value for name, value in row.items() if pd.notna(value)}


def _curve(path: Path) -> list[dict[str, float]]:
    """Return the whole lines of a curve that is being written."""
    try:
        text = path.read_text()
    except FileNotFoundError:  # its first epoch
        return []
    lines = text[: text.rfind("\n") + 1].splitlines()
    return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(lines)]
