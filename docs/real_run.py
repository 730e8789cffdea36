"""Print a table of runs as Markdown and draw their accuracy by depth.

usage: python docs/real_run.py PICTURE.png RUN [RUN ...]
"""

import itertools
import sys
from pathlib import Path

import matplotlib as mpl
import pandas as pd

from populations import load

mpl.use("Agg")
import matplotlib.pyplot as plt

BANDS = [0, 36, 53, 1000]  # three equal parts of 20..70
NAMES = ["20..36", "37..53", "54..70"]


def summary(models: pd.DataFrame) -> str:
    """Return one row of the table: a run's networks, failures, seconds and accuracies."""
    ok = models[models["status"] == "ok"]
    bands = pd.cut(ok["depth"], BANDS, labels=NAMES)
    cells = [
        f"{group['val_accuracy'].mean():.3f} (n = {len(group)})" if len(group) else "-"
        for _, group in ok.groupby(bands, observed=False)
    ]
    best = ok.sort_values("val_accuracy").iloc[-1]
    test = f"{best['test_accuracy']:.4f}" if "test_accuracy" in models else "-"
    return " | ".join(
        [
            models["function_set"].iloc[0],
            str(len(models)),
            str(len(models) - len(ok)),
            f"{ok['seconds'].mean():.0f} ± {ok['seconds'].std():.0f}",
            *cells,
            f"{best['val_accuracy']:.4f} (depth {best['depth']})",
            test,
        ]
    )


def main(picture: str, *runs: str) -> None:
    """Print the table of `runs` and draw `picture`."""
    head = ["function set", "networks", "failed", "seconds each", *NAMES, "best validation", "its test"]
    print(f"| {' | '.join(head)} |\n|{'---|' * len(head)}")
    figure, axes = plt.subplots(figsize=(7, 3.4), layout="constrained")
    for run, marker in zip(runs, itertools.cycle("os^D"), strict=False):
        models = load(run).models
        print(f"| {summary(models)} |")
        name = models["function_set"].iloc[0]
        axes.plot(models["depth"], models["val_accuracy"], marker, fillstyle="none", markersize=8, label=name)
    axes.set_xlabel("depth (active nodes)")
    axes.set_ylabel("validation accuracy")
    axes.set_ylim(top=1)
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(Path(picture), dpi=110)


if __name__ == "__main__":
    main(*sys.argv[1:])
