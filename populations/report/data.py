"""Everything that the page shows of all networks at once, as one JSON-able value. No torch."""

import shlex
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from cgp.drawing.style import colour
from populations.figures import blocks, curves, failures, lineage, progress, sizes, statuses, times
from populations.figures.chosen import Runs, best, spread
from populations.reading.columns import COLUMNS
from populations.reading.frame import Run
from populations.reading.studied import pictures
from populations.terminal.programs import populations_command, typed

POINTS = 10_000  #: networks that a figure shows at most; the table has all
_WORDS = ("stage", "status", "function_set", "reason")  # columns of few different texts
_RELATED = ("parent", "same_as")  # columns that name another network
_LEFT_OUT = ("run", "dataset", "seed")  # which are told once for the run, or with the replay
_DIGITS = 6  # behind the point


def gathered(runs: Runs) -> dict[str, Any]:
    """Return what `render` of the page takes.

    Each table is an object of columns, all of one length. A network is meant by its row in `networks`: as `row` in
    the other tables, and as `parent` and `same_as`. `notes` says of each figure what it leaves out, if anything.
    """
    rows = _Rows(runs)
    steps = rows.located(progress.table(runs))
    networks = rows.located(sizes.table(runs))
    family, points = rows.located(lineage.table(runs)), rows.located(curves.table(runs))
    shown = _thinned(steps, steps["best"] > steps.groupby("run")["best"].shift())
    fronts = [f"front_{size}" for size in sizes.SIZES]
    spots = _thinned(networks, networks[fronts].any(axis=1))
    shares = blocks.table(runs)
    return {
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": populations_command(),
        "runs": [_about(name, run) for name, run in runs.items()],
        "networks": rows.columns(),
        "meanings": COLUMNS,
        "kinds": {kind: colour(kind) for kind in sorted(set(shares["kind"]))},
        "progress": _columns(shown[["row", "networks", "slot_seconds", "best", "median"]]),
        "sizes": _columns(spots[["row", *fronts]]),
        "blocks": _columns(shares),
        "lineage": _columns(family[["row", "gain", "line", "change"]]),
        "curves": _columns(points[["row", "epoch", *(["val_accuracy"] if "val_accuracy" in points else [])]]),
        "statuses": _columns(statuses.table(runs)),
        "failures": _columns(rows.located(failures.table(runs))[["row", "error"]]),
        "times": _columns(times.table(runs)),
        "studies": [{"run": name} | picture for name, run in runs.items() for picture in pictures(run.folder)],
        "notes": {
            "progress": _shown(len(shown), len(steps), "evenly spaced, and each that was the best so far"),
            "sizes": _shown(len(spots), len(networks), "evenly spaced, and all that are on a front"),
            "lineage": _shown(len(family), rows.searched, f"the {lineage.BEST} best of each run and their ancestors"),
            "curves": _shown(
                points["row"].nunique(),
                rows.trained,
                f"the {curves.MOST} best of each run, and as many others, evenly spaced",
            ),
        },
    }


class _Rows:
    """The networks of all runs below each other: where each stands, and their columns."""

    def __init__(self, runs: Runs) -> None:
        """Number the networks."""
        self._models = pd.concat([run.models.assign(run=name) for name, run in runs.items()], ignore_index=True)
        self._order = {name: n for n, name in enumerate(runs)}
        # Two runs may have a network of the same id, as a run and its copy do.
        self._row = pd.Series(range(len(self._models)), index=[self._models["run"], self._models["id"]])
        self.searched = int((self._models["stage"] == "search").sum())
        own = self._models["epochs"].notna() & self._models["same_as"].isna() & (self._models["stage"] == "search")
        self.trained = int(own.sum())

    def located(self, table: pd.DataFrame) -> pd.DataFrame:
        """Return `table` with the column `row` for its columns run and id."""
        return table.assign(row=self._rows_of(table["run"], table["id"]))

    def _rows_of(self, run: "pd.Series[str]", identity: "pd.Series[str]") -> "pd.Series[int]":
        found = self._row.reindex(pd.MultiIndex.from_arrays([run, identity]))
        return pd.Series(found.to_numpy(), index=identity.index).astype("Int64")

    def columns(self) -> dict[str, Any]:
        """Return the networks as columns, those of few words as `words` and `codes`, without the empty ones."""
        table = self._models.dropna(axis="columns", how="all").drop(columns=[*_LEFT_OUT], errors="ignore")
        for name in (name for name in _RELATED if name in table):
            table[name] = self._rows_of(self._models["run"], table[name])
        found = dict[str, Any]({name: _coded(table[name]) for name in _WORDS if name in table})
        found |= _columns(table.drop(columns=list(found)))
        own = [self._order[name] for name in self._models["run"]]
        return {"run": own} | {name: found[name] for name in map(str, table)}


def _about(name: str, run: Run) -> dict[str, Any]:
    config = run.config
    facts = {
        "function set": config.get("family") or config["function_set"],
        "dataset": _images(config.get("dataset")),
        "strategy": config.get("strategy"),
        "recipe": config.get("recipe"),
        "epochs": config.get("epochs"),
        "seed": config.get("seed"),
        "state": run.state,
        "folder": str(run.folder),
    }
    winner = best(run, 1)["id"]
    return {
        "name": name,
        "typed": shlex.quote(str(run.folder)),  # as it is typed in a command
        "best": next(iter(winner), None),
        "facts": {fact: value for fact, value in facts.items() if value is not None},
    }


def _images(dataset: str | None) -> str | None:
    """Return the name of a dataset, of a folder as one types it from here: a page that is handed on tells no more."""
    kind, _, path = (dataset or "").partition(":")
    return f"{kind}:{typed(Path(path))}" if path else dataset


def _thinned(table: pd.DataFrame, kept: "pd.Series[bool]") -> pd.DataFrame:
    """Return at most `POINTS` rows, or where there are more of those that are `kept`, these."""
    if len(table) <= POINTS:
        return table
    even = spread(table[~kept], max(2, POINTS - int(kept.sum())))
    return table.loc[sorted([*table.index[kept], *even.index])]


def _shown(shown: int, total: int, which: str) -> str:
    return f"Shown are {shown:,} of {total:,} networks: {which}." if shown < total else ""


def _columns(table: pd.DataFrame) -> dict[str, list[Any]]:
    """Return the columns of `table` as lists; numbers are rounded, and what is missing is None."""
    return {str(name): _values(table[name]) for name in table}


def _values(column: "pd.Series[Any]") -> list[Any]:
    if pd.api.types.is_float_dtype(column):
        column = column.round(_DIGITS)
    if not column.hasnans:
        return list(column.tolist())
    return list(column.astype(object).where(column.notna(), None).tolist())


def _coded(column: "pd.Series[Any]") -> dict[str, Sequence[Any]]:
    codes, words = pd.factorize(column)  # -1: missing
    return {"words": _listed(words), "codes": codes.tolist()}


def _listed(words: Iterable[Any]) -> list[str]:
    return [str(word) for word in words]
