"""python -m benchmarks.searches population|replayed|foretold|rungs|live|summary ...: see each one's --help."""

import sys
from importlib import import_module

PARTS = ("population", "replayed", "foretold", "rungs", "live", "summary")

if __name__ == "__main__":
    if sys.argv[1:2] == [] or sys.argv[1] not in PARTS:
        print(f"benchmarks: error: expected one of {', '.join(PARTS)}", file=sys.stderr)
        sys.exit(2)
    # Imported by its own name, by which workers import what they are sent.
    sys.exit(import_module(f"benchmarks.searches.{sys.argv[1]}").main(sys.argv[2:]))
