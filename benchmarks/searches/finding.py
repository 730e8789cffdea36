"""The command line of what is found in the recorded population: how often it is repeated, and where it is written."""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.measure import hardware, versions
from benchmarks.searches import population
from benchmarks.searches.table import Row, read
from cgp import BadInput

#: Returns what is found in the rows of a table, by as many repeats. Raises BadInput for too few rows.
Finder = Callable[[list[Row], int], dict[str, Any]]


def finding(
    argv: Sequence[str], about: str | None, repeats: int, finder: Finder, show: Callable[[dict[str, Any]], None]
) -> int:
    """Find, show and write, as `argv` asks; 0: done, 2: bad input.

    `about` is the docstring of the module, which begins with its command line; `repeats` how often is usual.
    """
    first, _, _ = (about or "").partition("\n")
    name = first.partition(":")[0].split()[-1]
    parser = argparse.ArgumentParser(prog=f"benchmarks.searches {name}", description=first)
    parser.add_argument("--table", type=Path, default=population.TABLE, help="recorded [default: the committed one]")
    parser.add_argument("--repeats", type=int, default=repeats, help=f"how often [default: {repeats}]")
    result = Path(__file__).with_name(f"{name}.json")
    parser.add_argument("--out", type=Path, default=result, help=f"file that is written [default: {result.name}]")
    arguments = parser.parse_args(argv)
    try:
        found = finder(read(arguments.table, population.VERSION), arguments.repeats)
    except BadInput as error:
        print(f"benchmarks: error: {error}", file=sys.stderr)
        return 2
    show(found)
    written = {"benchmark": name, **found, "hardware": hardware(), "versions": versions()}
    arguments.out.write_text(json.dumps(written, indent=1) + "\n")
    return 0


def enough(count: int, fewest: int) -> None:
    """Raise BadInput where `count` networks that were trained twice are too few."""
    if count < fewest:
        raise BadInput(
            f"{count} networks of the table were trained twice; expected at least {fewest}: record more by "
            "python -m benchmarks.searches population"
        )
