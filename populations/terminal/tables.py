"""A table on standard output: for a terminal, or as CSV or JSON. No torch."""

import json
import os
import shutil
import sys
from collections.abc import Sequence

import pandas as pd


def print_table(table: pd.DataFrame, form: str, spare: Sequence[str] = ()) -> None:
    """Print `table` as table, csv or json; where it is wider than the terminal, without the first of `spare`."""
    if form == "csv":
        print(table.to_csv(index=False), end="")
    elif form == "json":
        plain = table.astype(object).where(table.notna(), None)
        print(json.dumps(plain.to_dict("records"), indent=1))
    else:
        table = table.fillna({name: "" for name in ("parent", "same_as") if name in table})
        left_out = _too_wide(table, spare)
        print(_text(table.drop(columns=left_out)))
        if left_out:
            print(f"(no room for {', '.join(left_out)}; --format csv has all columns)", file=sys.stderr)


def _too_wide(table: pd.DataFrame, spare: Sequence[str]) -> list[str]:
    """Return the columns to leave out so that the rest fits the terminal; a pipe takes all, unless COLUMNS is set."""
    if not sys.stdout.isatty() and not os.environ.get("COLUMNS"):
        return []
    room = shutil.get_terminal_size().columns
    widths = {name: 1 + len(_text(table[[name]]).partition("\n")[0]) for name in table}
    left_out = list[str]()
    for name in spare:
        if sum(widths.values()) - 1 <= room:
            break
        if widths.pop(name, None):
            left_out.append(name)
    return left_out


def _text(table: pd.DataFrame) -> str:
    return table.to_string(index=False, na_rep="", float_format=_number)


def _number(value: float) -> str:
    """Return four decimals, of less than a thousandth two digits: learning rates are that small."""
    return f"{value:.4f}" if value == 0 or abs(value) >= 0.001 else f"{value:.2g}"
