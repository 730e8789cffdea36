"""Metrics: one entry each is all that tables, objectives and their documentation know of them."""

import subprocess
import sys
from pathlib import Path

import pytest

from cgp.graph import Graph
from cgp.layers import Shape
from evaluate.job import Result
from evaluate.metrics import METRICS, OBJECTIVES
from harness import ROOT, TINY, program
from populations import load
from populations.reading.columns import COLUMNS
from populations.record import Candidate, Record
from populations.strategies.breeding import Individual

SMALL, LARGE = (Graph.chain(["conv_8_3"] * depth, Shape(1, 8, 8), 10) for depth in (1, 3))
#: Adds a metric as its author would, then shows its column in a run's table.
ADDED = """
import sys
from evaluate import metrics
metrics.METRICS["test_loss"] = metrics.Metric("test_loss", -1.0, "score", "cross-entropy on the test images, in nats")
from populations import load
from populations.reading.columns import COLUMNS
table = load(sys.argv[1]).models
print(list(table)[-2:], table["test_loss"].dtype, COLUMNS["test_loss"], sep="|")
"""


def ended(model: Graph, score: float, cost: float) -> Record:
    row = {"epoch": 1.0, "train_accuracy": score, "val_accuracy": score, "val_loss": cost}
    scores = {"val_accuracy": score, "val_loss": cost}
    measured = dict.fromkeys(("latency_ms", "latency_ms_64"), cost) | {"robust_accuracy": score}
    result = Result("ok", scores, [row], seconds=cost, peak_memory_mb=cost, measured=measured)
    return Record(Candidate(0, 0, None, None, model), "", result)


@pytest.mark.parametrize("name", METRICS)
def test_a_metric_is_a_described_column(name: str) -> None:
    assert COLUMNS[name] == METRICS[name].meaning


@pytest.mark.parametrize("name", OBJECTIVES)
def test_an_objective_prefers_in_its_direction(name: str) -> None:
    better, worse = (
        Individual(record, [OBJECTIVES[name]]) for record in (ended(SMALL, 0.9, 1.0), ended(LARGE, 0.8, 2.0))
    )
    assert better.fitness > worse.fitness


def test_an_objective_is_told_as_of_each_epoch() -> None:
    """Of the best epoch until then; what no epoch tells, once."""
    rows = [(0.2, 2.0), (0.5, 1.5), (0.4, 1.0), (0.6, 1.2)]
    curve = [{"epoch": n + 1.0, "val_accuracy": a, "val_loss": b, "seconds": 1.0} for n, (a, b) in enumerate(rows)]
    result = Result("ok", {"val_accuracy": 0.6, "val_loss": 1.2}, curve, seconds=4.5)
    found = {name: OBJECTIVES[name].by_epoch(SMALL, result) for name in ("val_accuracy", "val_loss", "seconds")}
    assert found == {"val_accuracy": [0.2, 0.5, 0.5, 0.6], "val_loss": [2.0, 1.5, 1.5, 1.2], "seconds": [4.5]}
    assert OBJECTIVES["params"].by_epoch(SMALL, result) == [SMALL.params]


def test_an_objective_has_the_value_of_its_column(tmp_path: Path, searched: Path) -> None:
    done = program(*TINY, "--objectives", ",".join(OBJECTIVES), "--generations", "1", "--run", "r", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    run = load(tmp_path / "r")
    for row in run.models.to_dict("records"):
        model = run.model(row["id"])
        assert model.result
        assert {name: goal.value(model.model, model.result) for name, goal in OBJECTIVES.items()} == {
            name: row[name] for name in OBJECTIVES
        }
    added = subprocess.run(
        [sys.executable, "-c", ADDED, searched], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert added.stdout.strip() == ("['predicted', 'test_loss']|float64|cross-entropy on the test images, in nats"), (
        added.stderr
    )
