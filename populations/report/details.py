"""What the page shows of one network alone: its drawing, learning curve and genome. No torch."""

from collections.abc import Collection
from typing import Any

import pandas as pd

from cgp.drawing.arrange import layout_of
from cgp.drawing.svg import svg
from cgp.graph import Graph
from cgp.model import model_from_json
from populations.figures import lineage
from populations.figures.changes import change
from populations.figures.chosen import Runs, best
from populations.reading.frame import Run

DETAILED = 100  #: networks of a report whose details are in it; to draw more would take long


def chosen(run: Run, count: int) -> list[str]:
    """Return at most `count` ids: all models where there are no more, else the best, and ancestors of the best."""
    if len(run.models) <= count:
        return list(run.models["id"])
    winners = list(best(run, count)["id"])
    return list(dict.fromkeys([*winners[: count // 2], *lineage.line(run), *winners]))[:count]


def for_report(runs: Runs) -> dict[str, dict[str, Any]]:
    """Return the details of `DETAILED` models of all `runs`, by the name of the run and then by id."""
    return {name: details(run, chosen(run, max(1, DETAILED // len(runs)))) for name, run in runs.items()}


def details(run: Run, identities: Collection[str]) -> dict[str, Any]:
    """Return the details of these models, by id: drawing, curve, genome, change; none of one that the run lacks.

    `drawing` is SVG, None for a model that is no graph; `curve` is an object of columns, empty where there is none;
    `genome` is None where a model was made by hand, and `change` says in words what was changed from its parent.
    """
    models = run.named(list(identities)).set_index("id")
    graphs = run.graphs({*models.index, *models["parent"].dropna()})
    curves = run.curves_of(list(identities))
    by_id = dict(iter(curves.groupby("id"))) if len(curves) else {}
    name = run.folder.absolute().name
    return {
        identity: {
            "drawing": _drawing(graphs[identity], f"{name} · {identity}"),
            "curve": _curve(by_id.get(identity)),
            "genome": run.genome(identity),
            "change": change(graphs[parent], graphs[identity]) if pd.notna(parent) else "",
        }
        for identity, parent in zip(models.index.astype(str), models["parent"], strict=True)
    }


def _drawing(graph: dict[str, Any], title: str) -> str | None:
    model = model_from_json(graph)
    return svg(layout_of(model, title)) if isinstance(model, Graph) else None


def _curve(points: pd.DataFrame | None) -> dict[str, list[Any]]:
    if points is None:
        return {}
    shown = points[["epoch", "train_accuracy", "val_accuracy"]].astype(object)
    return {str(name): shown[name].where(shown[name].notna(), None).tolist() for name in shown}
