"""python -m benchmarks NAME [--quick] [--data-dir DIR] [--keep DIR]."""

import argparse
import importlib
import os
import sys
from pathlib import Path
from typing import cast

from benchmarks.measure import Benchmark, Kept, run, show, write
from cgp.errors import BadInput

# Each is a module of this package with `benchmark(quick) -> Benchmark`. Only the one that is asked for
# is imported, as every process that `peer` spawns imports this file again.
LONG = ("peer", "peer_shallow", "scaling", "trainer")  #: those with `benchmark(quick, kept)`, which go on when killed
NAMES = (
    "activations",
    "cluster",
    "footprint",
    "growth",
    "memory",
    "overhead",
    "peer",
    "peer_shallow",
    "ranking",
    "recipe",
    "report",
    "sampling",
    "scaling",
    "store",
    "trainer",
)


def main() -> int:
    """Run the benchmark that the command line names; 0: done, 2: bad input (one line on stderr)."""
    parser = argparse.ArgumentParser(prog="benchmarks", description="Measure, side by side.")
    parser.add_argument("name", choices=NAMES)
    parser.add_argument("--quick", action="store_true", help="a short form, which writes no result file")
    parser.add_argument("--data-dir", help="images of `peer`, `peer_shallow` and `ranking`; or set CGP_DATA")
    parser.add_argument(
        "--keep",
        metavar="DIR",
        type=Path,
        help=f"a folder for what {', '.join(LONG)} have measured so far; a later call goes on from there",
    )
    arguments = parser.parse_args()
    if arguments.data_dir is not None:
        os.environ["CGP_DATA"] = arguments.data_dir
    try:
        result = run(_benchmark(arguments.name, arguments.quick, arguments.keep))
    except BadInput as error:
        print(f"benchmarks: error: {error}", file=sys.stderr)
        return 2
    show(result)
    if not arguments.quick:
        print(write(result))
    return 0


def _benchmark(name: str, quick: bool, folder: Path | None) -> Benchmark:
    """Return the benchmark `name`. Raises BadInput where it cannot keep what `folder` is for."""
    module = importlib.import_module(f"benchmarks.{name}")
    if name in LONG:
        kept = Kept(folder / f"{name}{'-quick' * quick}-so-far.json") if folder else Kept()
        return cast(Benchmark, module.benchmark(quick, kept))
    if folder:
        raise BadInput(
            f"--keep: {name} cannot go on where it was killed; expected one of {', '.join(LONG)}, or no --keep"
        )
    return cast(Benchmark, module.benchmark(quick))


if __name__ == "__main__":
    sys.exit(main())
