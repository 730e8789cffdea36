"""The command `measure`: a measure of trained models, through the pool and the store of their run."""

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from cgp.errors import BadInput, did_you_mean
from evaluate.job import Measure
from populations.reading.frame import Run, load
from populations.record import Candidate
from populations.search.asking import carry_out, session_flags
from populations.setup.config import Config
from populations.terminal.programs import studies_command
from populations.terminal.screen import Screen
from populations.terminal.tables import print_table

#: A model, by its id or `best`, and the options of a measurement of it.
Wanted = tuple[str, Mapping[str, Any]]


def measure(run: Run, name: str, wanted: Sequence[Wanted], flags: list[str], screen: Screen | None = None) -> bool:
    """Measure models of `run` by `name`, each once with the same options; stage and measure have one name.

    Returns whether all is done: False where the user has stopped it. Raises BadInput for a model without a score.
    """
    return carry_out(run.folder, flags, _candidates(run, name, wanted), screen)


def _candidates(run: Run, name: str, wanted: Sequence[Wanted]) -> list[Candidate]:
    known = run.asked(name)
    data, free = Config.of(run.config, run.folder).data(), run.next_number(name)
    candidates = dict[tuple[str, str], Candidate]()
    generations = run.models.set_index("id")["generation"]
    for model, options in ((run.model(model), options) for model, options in wanted):
        source, precision = str(model.folder.absolute()), model.scored.numerics["precision"]
        task = Measure(name, model.model, source, data, precision, dict(options))
        what = model.id, task.options_json
        if what in candidates:
            continue
        number = known.get(what)
        if number is None:
            number, free = free, free + 1
        place = number, int(generations[model.id]), model.key
        candidates[what] = Candidate(*place, None, model.model, stage=name, task=task)
    return list(candidates.values())


def measured(run: Run, name: str, models: list[str]) -> pd.DataFrame:
    """Return what `name` measured of `models`: model, options, metric, value."""
    found = run.measures[run.measures["measure"] == name]
    found = found[found["model"].isin([run.model(model).id for model in models])]
    return found[["model", "options", "metric", "value"]].reset_index(drop=True)


def measure_models(arguments: argparse.Namespace) -> int:
    """Measure models and show the numbers; 0: done, 1: a measurement failed, 130: stopped."""
    from evaluate.measures import MEASURES, OF_CLASSES, OF_STUDIES  # imports torch

    name, known = arguments.measure, [measure for measure in MEASURES if measure not in OF_STUDIES]
    if name in OF_STUDIES:
        study = f"{studies_command()} {name.replace('_', '-')} {arguments.run}"
        raise BadInput(f"--measure: {name} is asked for by its study; expected: {study}")
    if name not in known:
        raise BadInput(f"--measure: unknown {name!r}{did_you_mean(name, known)}; one of {', '.join(known)}")
    run, models = load(arguments.run), arguments.models or ["best"]
    if run.regression and name in OF_CLASSES:
        fit = [measure for measure in known if measure not in OF_CLASSES]
        raise BadInput(f"--measure: {name} is of classes, and {run.folder} a regression; one of {', '.join(fit)}")
    screen = Screen(aside=arguments.format != "table")
    wanted: list[Wanted] = [(model, {}) for model in models]
    if not measure(run, name, wanted, session_flags(arguments), screen):
        screen.line("stopped; the same command goes on")
        return 130
    run = load(arguments.run)
    table = measured(run, arguments.measure, models)
    if len(table):
        screen.line("")
        print_table(table.drop(columns="options"), arguments.format)
    else:
        screen.line("nothing was measured")
    return 0 if table["model"].nunique() == len({run.model(model).id for model in models}) else 1
