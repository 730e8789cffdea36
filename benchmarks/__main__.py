"""python -m benchmarks NAME [--quick]."""

import argparse

from benchmarks import growth, overhead, sampling, store
from benchmarks.measure import run, show, write

BENCHMARKS = {
    "growth": growth.benchmark,
    "overhead": overhead.benchmark,
    "sampling": sampling.benchmark,
    "store": store.benchmark,
}


def main() -> None:
    """Run the benchmark that the command line names."""
    parser = argparse.ArgumentParser(prog="benchmarks", description="Measure, side by side.")
    parser.add_argument("name", choices=BENCHMARKS)
    parser.add_argument("--quick", action="store_true", help="a short form, which writes no result file")
    arguments = parser.parse_args()
    result = run(BENCHMARKS[arguments.name](arguments.quick))
    show(result)
    if not arguments.quick:
        print(write(result))


if __name__ == "__main__":
    main()
