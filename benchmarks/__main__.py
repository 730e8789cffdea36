"""python -m benchmarks NAME [--quick] [--data-dir DIR]."""

import argparse
import importlib
import os
import sys

from benchmarks.measure import run, show, write
from cgp.errors import BadInput

# Each is a module of this package with `benchmark(quick) -> Benchmark`. Only the one that is asked for
# is imported, as every process that `peer` spawns imports this file again.
NAMES = (
    "cluster",
    "growth",
    "memory",
    "overhead",
    "peer",
    "peer_shallow",
    "ranking",
    "recipe",
    "sampling",
    "scaling",
    "search",
    "store",
    "trainer",
)


def main() -> int:
    """Run the benchmark that the command line names; 0: done, 2: bad input (one line on stderr)."""
    parser = argparse.ArgumentParser(prog="benchmarks", description="Measure, side by side.")
    parser.add_argument("name", choices=NAMES)
    parser.add_argument("--quick", action="store_true", help="a short form, which writes no result file")
    parser.add_argument(
        "--data-dir", help="images of `peer`, `peer_shallow`, `ranking` and `search`; or set CGP_DATA"
    )
    arguments = parser.parse_args()
    if arguments.data_dir is not None:
        os.environ["CGP_DATA"] = arguments.data_dir
    try:
        result = run(importlib.import_module(f"benchmarks.{arguments.name}").benchmark(arguments.quick))
    except BadInput as error:
        print(f"benchmarks: error: {error}", file=sys.stderr)
        return 2
    show(result)
    if not arguments.quick:
        print(write(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
