"""The command `measure`: a measure of trained models, through the pool and the store of their run."""

import argparse
from collections.abc import Mapping
from typing import Any

import pandas as pd

from cgp.errors import BadInput, did_you_mean
from evaluate.job import Measure
from populations.reading.frame import RecordedModel, Run, load
from populations.record import Candidate
from populations.search.asking import carry_out, session_flags
from populations.setup.config import Config
from populations.terminal.screen import Screen
from populations.terminal.tables import print_table


def measure(
    run: Run,
    name: str,
    models: list[str],
    options: Mapping[str, Any],
    flags: list[str],
    screen: Screen | None = None,
) -> bool:
    """Measure `models` (ids or `best`) of `run`, each once with these `options`; stage and measure have one name.

    Returns whether all is done: False where the user has stopped it. Raises BadInput for a model without a score.
    """
    asked = _candidates(run, name, [run.model(model) for model in models], options)
    return carry_out(run.folder, flags, asked, screen)


def _candidates(run: Run, name: str, models: list[RecordedModel], options: Mapping[str, Any]) -> list[Candidate]:
    known = run.asked(name)
    data, free = Config.of(run.config, run.folder).data(), run.next_number(name)
    candidates = list[Candidate]()
    generations = run.models.set_index("id")["generation"]
    for model in {model.id: model for model in models}.values():  # each once
        result = model.scored
        source, precision = str(model.folder.absolute()), result.numerics["precision"]
        task = Measure(name, model.model, source, data, precision, dict(options))
        number = known.get((model.id, task.options_json))
        if number is None:
            number, free = free, free + 1
        place = number, int(generations[model.id]), model.key
        candidates.append(Candidate(*place, None, model.model, stage=name, task=task))
    return candidates


def measured(run: Run, name: str, models: list[str]) -> pd.DataFrame:
    """Return what `name` measured of `models`: model, options, metric, value."""
    found = run.measures[run.measures["measure"] == name]
    found = found[found["model"].isin([run.model(model).id for model in models])]
    return found[["model", "options", "metric", "value"]].reset_index(drop=True)


def measure_models(arguments: argparse.Namespace) -> int:
    """Measure models and show the numbers; 0: done, 1: a measurement failed, 130: stopped."""
    from evaluate.measures import MEASURES  # imports torch

    if arguments.measure not in MEASURES:
        hint = did_you_mean(arguments.measure, MEASURES)
        raise BadInput(f"--measure: unknown {arguments.measure!r}{hint}; one of {', '.join(MEASURES)}")
    models = arguments.models or ["best"]
    screen = Screen(aside=arguments.format != "table")
    if not measure(load(arguments.run), arguments.measure, models, {}, session_flags(arguments), screen):
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
