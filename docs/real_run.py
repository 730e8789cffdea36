"""Print a table of runs as Markdown and draw their accuracy by depth.

usage: python docs/real_run.py PICTURE.png RUN [RUN ...]
"""

import itertools
import sys
from pathlib import Path

import matplotlib as mpl
import pandas as pd

from populations import Run, load

mpl.use("Agg")
import matplotlib.pyplot as plt


def bands_of(runs: list[Run]) -> list[range]:
    """Return three bands of depth, as equal as can be, that cover what any of `runs` may draw."""
    fewest = min(run.config["num_min_depth"] for run in runs)
    most = max(run.config["num_max_depth"] for run in runs)
    ends = [fewest + round(third * (most + 1 - fewest) / 3) for third in range(4)]
    return [range(begin, end) for begin, end in itertools.pairwise(ends) if begin < end]


def name_of(band: range) -> str:
    """Return a band as the head of its column: `20..36`."""
    return f"{band.start}..{band.stop - 1}"


def summary(models: pd.DataFrame, bands: list[range]) -> str:
    """Return one row of the table: how many networks ended how; seconds and accuracies of those that ended ok."""
    models = models[models["stage"] == "search"]
    ok = models[models["status"] == "ok"]
    groups = [ok[ok["depth"].isin(band)] for band in bands]
    cells = [f"{group['val_accuracy'].mean():.3f} (n = {len(group)})" if len(group) else "-" for group in groups]
    best = ok.sort_values("val_accuracy").iloc[-1]
    test = f"{best['test_accuracy']:.4f}" if "test_accuracy" in models else "-"
    pruned = int((models["status"] == "pruned").sum())
    return " | ".join(
        [
            models["function_set"].iloc[0],
            str(len(models)),
            str(pruned),
            str(len(models) - len(ok) - pruned),
            f"{ok['seconds'].mean():.0f} ± {ok['seconds'].std():.0f}",
            *cells,
            f"{best['val_accuracy']:.4f} (depth {best['depth']})",
            test,
        ]
    )


def main(picture: str, *folders: str) -> None:
    """Print the table of the runs in `folders` and draw `picture`, of the networks that ended ok."""
    runs = [load(folder) for folder in folders]
    bands = bands_of(runs)
    head = ["function set", "networks", "pruned", "failed", "seconds each"]
    head += [*map(name_of, bands), "best validation", "its test"]
    print(f"| {' | '.join(head)} |\n|{'---|' * len(head)}")
    figure, axes = plt.subplots(figsize=(7, 3.4), layout="constrained")
    for run, marker in zip(runs, itertools.cycle("os^D"), strict=False):
        print(f"| {summary(run.models, bands)} |")
        ok = run.models[run.models["status"] == "ok"]
        name = run.config["function_set"]
        axes.plot(ok["depth"], ok["val_accuracy"], marker, fillstyle="none", markersize=8, label=name)
    axes.set_xlabel("depth (active nodes)")
    axes.set_ylabel("validation accuracy")
    axes.set_ylim(top=1)
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(Path(picture), dpi=110)


if __name__ == "__main__":
    main(*sys.argv[1:])
