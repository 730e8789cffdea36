"""Is depth what matters? One population is drawn of each function set and trained at every size of training data.

Each set and size is a search of its own, `DIR/SET-SIZE`: networks drawn at random with the same seed, so the same
genomes and the same seeds of training, none bred and none stopped early. They resume and replay as any.
"""

import argparse
import math
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from cgp.blocks import function_set
from cgp.errors import BadInput
from evaluate.data.splits import load as load_images
from populations.figures.chosen import scored
from populations.plotting.drawn import legend
from populations.reading.frame import load
from populations.search.conduct import conduct
from populations.setup.checks import check_count
from populations.setup.config import Config, parse
from populations.setup.flags import words_of
from populations.terminal.screen import Screen
from populations.terminal.tables import print_table
from studies.asking import stopped
from studies.landing import Picture, land
from studies.relating import means, spearman

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NAME = "depth"
#: What random-nas-combined published of CIFAR-10 (2019): mean clean accuracy by set and training images, ...
SOURCE_MEANS = {
    ("resnet", 500): 0.338,
    ("resnet", 1000): 0.424,
    ("resnet", 5000): 0.569,
    ("resnet", 10000): 0.644,
    ("resnet", 25000): 0.740,
    ("densenet", 500): 0.300,
    ("densenet", 1000): 0.367,
    ("densenet", 5000): 0.517,
    ("densenet", 10000): 0.582,
    ("densenet", 25000): 0.675,
}
#: ... and Spearman's correlation of accuracy and depth.
SOURCE_SPEARMAN = {("resnet", 500): -0.52, ("resnet", 25000): -0.14}
_Kind = tuple[str, int]  # a function set, and how many training images
_KEY = ["function_set", "train_size"]
_SMOOTHED = 5  # a line is the mean over a fifth of the networks around each


def ask(arguments: argparse.Namespace) -> int:
    """Train every population, write tables and pictures, show the means; 0: done, 1: nothing, 130: stopped."""
    check_count("--networks", arguments.networks)
    sets = [name.strip() for name in arguments.function_sets.split(",")]
    sizes = _sizes(arguments.train_sizes)
    for name in sets:
        function_set(name)
    configs = dict(_configs(arguments, sets, sizes))
    largest = configs[sets[0], max(sizes)]
    load_images(largest.data())  # refuses what is larger than the data, before anything is trained
    screen = Screen(aside=arguments.format != "table")
    for (name, size), config in configs.items():
        screen.line(f"{name}, {size:,} training images")
        _, finished = conduct(config, Screen(aside=arguments.format != "table"))
        if not finished:
            return stopped(screen)
    networks = networks_of(arguments.run, sets, sizes)
    if networks.empty:
        screen.line("nothing was trained to its end")
        return 1
    table, ranks = means_of(networks), ranks_of(networks)
    pictures = {
        name: Picture(partial(_draw, networks[networks["function_set"] == name], name))
        for name in networks["function_set"].unique()
    }
    land(arguments.run, NAME, {"networks": networks, "means": table, "ranks": ranks}, pictures, screen)
    print_table(table.merge(ranks, on=[*_KEY, "n"]), arguments.format)
    return 0


def _sizes(text: str) -> list[int]:
    words = [word.strip() for word in text.split(",")]
    if not all(word.isdecimal() and int(word) > 0 for word in words):
        raise BadInput(f"--train-sizes: {text!r}; expected numbers of images with commas, such as 500,1000,5000")
    return sorted({int(word) for word in words})


def _configs(
    arguments: argparse.Namespace, sets: list[str], sizes: list[int]
) -> Iterator[tuple[tuple[str, int], Config]]:
    given = words_of({name: getattr(arguments, name) for name in arguments.passed})
    for name in sets:
        for size in sizes:
            folder = arguments.run / f"{name}-{size}"
            own = {"function_set": name, "train_size": size, "population": arguments.networks}
            drawn = {"strategy": "random", "generations": 1, "racing": False, "objectives": "val_accuracy"}
            where = ["--resume" if (folder / "config.json").exists() else "--run", str(folder)]
            yield (name, size), parse([*where, *words_of(own | drawn), *given])


def networks_of(folder: Path, sets: list[str], sizes: list[int]) -> pd.DataFrame:
    """Return a row for each network that was trained to its end, at each size.

    Columns: function_set, train_size, network (its number, the same at every size), id, depth, conv_layers, params,
    val_accuracy. Networks with the graph of an earlier one are left out.
    """
    tables = list[pd.DataFrame]()
    for name in sets:
        for size in sizes:
            found = scored(load(folder / f"{name}-{size}"))
            found = found[found["same_as"].isna()].assign(train_size=size, network=found["job"])
            tables.append(found[[*_KEY, "network", "id", "depth", "conv_layers", "params", "val_accuracy"]])
    return pd.concat(tables, ignore_index=True)


def means_of(networks: pd.DataFrame) -> pd.DataFrame:
    """Return a row for each set and size: n, val_accuracy (mean), val_accuracy_sd, best, and the source's mean."""
    table = means(networks, _KEY, ["val_accuracy"])
    best = networks.groupby(_KEY, sort=False)["val_accuracy"].max().rename("best").reset_index()
    keys = zip(table["function_set"], table["train_size"], strict=True)
    return table.merge(best, on=_KEY).assign(source=[SOURCE_MEANS.get(key, math.nan) for key in keys])


def ranks_of(networks: pd.DataFrame) -> pd.DataFrame:
    """Return, for each set and size, Spearman's correlation of accuracy and convolution layers.

    Columns: function_set, train_size, spearman, low, high, n, and source_spearman, where the source gave one.
    """
    rows = list[dict[str, object]]()
    for name, size in networks[_KEY].drop_duplicates().itertuples(index=False, name=None):
        own = networks[(networks["function_set"] == name) & (networks["train_size"] == size)]
        rank = spearman(own["conv_layers"], own["val_accuracy"]) | {"n": len(own)}
        theirs = {"source_spearman": SOURCE_SPEARMAN.get((name, size), math.nan)}
        rows.append({"function_set": name, "train_size": size} | rank | theirs)
    return pd.DataFrame(rows)


def _draw(networks: pd.DataFrame, name: str, panels: "list[Axes]") -> None:
    from matplotlib import colormaps

    (axes,) = panels
    sizes = sorted(networks["train_size"].unique())
    for place, (size, marker) in enumerate(zip(sizes, "os^vDP*Xph" * len(sizes), strict=False)):
        own = networks[networks["train_size"] == size].sort_values("conv_layers", kind="stable")
        ink = colormaps["viridis"](0.9 * place / max(len(sizes) - 1, 1))
        axes.plot(
            own["conv_layers"], own["val_accuracy"], marker, color=ink, markersize=2.5, alpha=0.5, markeredgewidth=0
        )
        around = own[["conv_layers", "val_accuracy"]].rolling(max(3, len(own) // _SMOOTHED), center=True).mean()
        axes.plot(around["conv_layers"], around["val_accuracy"], color=ink, linewidth=1.4, label=f"{size:,}")
    axes.set(
        xlabel=f"convolution layers ({name}, {len(networks) // len(sizes):,} networks)", ylabel="validation accuracy"
    )
    legend(axes, 4)
