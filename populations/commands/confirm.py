"""The command `confirm`: winners trained again from scratch, on seeds that selection has not seen.

The highest of many scores is biased upwards, since it was selected; the mean over fresh seeds is not.
"""

import argparse
from collections import defaultdict
from functools import partial

import pandas as pd

from cgp.errors import BadInput
from evaluate.job import FINAL, SEARCH
from evaluate.metrics import objectives
from populations.reading.frame import Run, load
from populations.record import Candidate
from populations.search.asking import carry_out, session_flags
from populations.setup.checks import check_count
from populations.terminal.screen import Screen
from populations.terminal.tables import print_table

STAGE = "confirm"


def confirm(run: Run, top: int, seeds: int, flags: list[str], screen: Screen | None = None) -> bool:
    """Train the best `top` models of `run` on `seeds` fresh seeds each.

    What was trained so already is not trained again, what failed is. `flags` of `evolve.py` say with which workers,
    `screen` shows how far it is. Returns whether all is done: False where the user has stopped it. Raises BadInput
    without a finished network.
    """
    return carry_out(run.folder, flags, _candidates(run, top, seeds), screen)


def confirmed(run: Run, top: int) -> pd.DataFrame:
    """One row per confirmed model of the best `top`, best first by the search.

    Columns: id, depth, params, val_accuracy (of the search), mean, sd (of a sample; empty for one seed), seeds (how
    many ended ok), rank (by `mean`, from 1). Of a regression it is val_loss, and lower is better.
    """
    score = run.score
    again = run.models[(run.models["stage"] == STAGE) & (run.models["status"] == "ok")]
    found = again.groupby("parent")[score].agg(["mean", "std", "count"])
    table = winners(run, top)[["id", "depth", "params", score]]
    table = table.join(found.set_axis(["mean", "sd", "seeds"], axis=1), on="id").dropna(subset="mean")
    table["seeds"] = table["seeds"].astype("int64")
    table["rank"] = table["mean"].rank(ascending=run.regression, method="min").astype("int64")
    return table.reset_index(drop=True)


def winners(run: Run, top: int) -> pd.DataFrame:
    """Return the rows of the best `top` models by the run's objectives, best first, no graph twice.

    They are of the final ranking, where there is one. Raises BadInput without a finished network.
    """
    models = run.models[(run.models["status"] == "ok") & run.models["same_as"].isna()]
    final = models[models["stage"] == FINAL]
    models = final if len(final) else models[models["stage"] == SEARCH]
    if models.empty:
        raise BadInput(f"{run.folder}: no finished network yet; expected at least one whose status is ok")
    goals = objectives(run.config["objectives"])
    order = [*(goal.name for goal in goals), "job"]
    return models.sort_values(order, ascending=[*(goal.weight < 0 for goal in goals), True]).head(top)


def _candidates(run: Run, top: int, seeds: int) -> list[Candidate]:
    again = run.models[(run.models["stage"] == STAGE) & run.models["status"].isin(("ok", "open"))]
    numbers = defaultdict[str, list[int]](list)
    for parent, number in zip(again["parent"], again["job"], strict=True):
        numbers[parent].append(int(number))
    free = run.next_number(STAGE)
    candidates = []
    best = winners(run, top)
    for identity, generation in zip(best["id"], best["generation"], strict=True):
        model = run.model(identity)
        missing = max(0, seeds - len(numbers[identity]))
        own = [*numbers[identity][:seeds], *range(free, free + missing)]
        free += missing
        of_model = partial(Candidate, generation=int(generation), parent=model.key, genome=None, model=model.model)
        candidates += [of_model(number, stage=STAGE) for number in own]
    return candidates


def confirm_models(arguments: argparse.Namespace) -> int:
    """Train the winners again and show what came of it; 0: done, 1: nothing ended ok, 130: stopped."""
    check_count("--top", arguments.top)
    check_count("--seeds", arguments.seeds)
    screen = Screen(aside=arguments.format != "table")
    if not confirm(load(arguments.run), arguments.top, arguments.seeds, session_flags(arguments), screen):
        screen.line("stopped; the same command goes on")
        return 130
    table = confirmed(load(arguments.run), arguments.top)
    if table.empty:
        screen.line("nothing was confirmed: no training ended ok; the same command tries again")
        return 1
    screen.line("")
    print_table(table, arguments.format)
    screen.line(f"\n{_verdict(table)}")
    return 0


def _verdict(table: pd.DataFrame) -> str:
    if len(table) < 2:
        return "one model has no order"
    if list(table["rank"]) == sorted(table["rank"]):
        return f"the order holds: the mean scores of the {len(table)} are in the order of the search"
    best = table.sort_values("rank")["id"].iloc[0]
    return f"the order does not hold: the best mean is that of {best}, the search has {table['id'][0]} first"
