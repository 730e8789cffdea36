"""What studies have found of a run: tables in `RUN/studies/NAME`, read again. No torch."""

from pathlib import Path

import pandas as pd

from cgp.errors import BadInput, did_you_mean

_STUDIES = "studies"


def folder_of(run: Path, study: str) -> Path:
    """Return where what `study` finds of `run` is."""
    return run / _STUDIES / study


def studied(run: Path) -> list[str]:
    """Return the names of the studies that have found something of `run`, in order."""
    return sorted({path.parent.name for path in (run / _STUDIES).glob("*/*.csv")})


def study(run: Path, name: str) -> dict[str, pd.DataFrame]:
    """Return the tables that the study `name` has made of `run`, by name. Raises BadInput where there is none."""
    paths = sorted(folder_of(run, name).glob("*.csv"))
    if not paths:
        known = studied(run)
        found = f"{did_you_mean(name, known)}; found {', '.join(known) or 'none'}"
        raise BadInput(f"{run}: has no study {name!r}{found} (ask: python -m studies {name} {run})")
    return {path.stem: pd.read_csv(path) for path in paths}


def pictures(run: Path) -> list[dict[str, str]]:
    """Return the pictures that studies have made of `run`: study, picture (its name), and svg, its source."""
    return [
        {"study": path.parent.name, "picture": path.stem, "svg": path.read_text(encoding="utf-8")}
        for path in sorted((run / _STUDIES).glob("*/*.svg"))
    ]
