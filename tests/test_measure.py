"""Measuring: arms in turn, ratios turn by turn, what is written of them; and how `peer` chooses its epochs."""

import importlib.util
import json
import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import measure, peer
from benchmarks.measure import Benchmark, Kept, Samples, hardware, in_turn, readme, run, short_notes, show, write
from benchmarks.searching import DIGITS, nothing
from evaluate.pool.pool import Pool
from harness import ROOT

SAMPLES = {"slow": [4.0, 9.0, 10.0], "quick": [2.0, 3.0, 1.0], "other": [8.0, 9.0, 5.0]}


def bench(samples: Samples, *ratios: tuple[str, str], **notes: Any) -> Benchmark:
    return Benchmark("made-up", "Seconds of nothing", "s", lambda: samples, ratios, "below 9", notes)


@pytest.fixture
def result() -> dict[str, Any]:
    return run(bench(SAMPLES, ("slow", "quick"), ("slow", "other"), device="cpu", table=[1, 2]))


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep result files and README.md in a folder of this test."""
    (tmp_path / "results").mkdir()
    monkeypatch.setattr(measure, "RESULTS", tmp_path / "results")
    return tmp_path / "results"


def arm(calls: list[str], name: str) -> Callable[[], float]:
    """Return an arm that notes when it runs, and gives its place in the order of all runs."""

    def measured() -> float:
        calls.append(name)
        return float(len(calls))

    return measured


@pytest.mark.parametrize("warm_up", [True, False])
def test_arms_run_in_turn_after_a_turn_that_is_not_counted(warm_up: bool) -> None:
    calls = list[str]()
    found = in_turn({name: arm(calls, name) for name in "abc"}, 2, warm_up)
    assert calls == list("abc") * (2 + warm_up)
    assert found == {name: [n + 3 * warm_up, n + 3 + 3 * warm_up] for n, name in enumerate("abc", 1)}


def test_a_ratio_is_taken_turn_by_turn(result: dict[str, Any]) -> None:
    """Its median is not the ratio of the medians, which would be 4.5 here."""
    assert result["ratio"] == {"of": "slow / quick", "median": 3.0, "interval": [2.0, 10.0]}
    assert result["more_ratios"] == [{"of": "slow / other", "median": 1.0, "interval": [0.5, 2.0]}]
    assert (result["n"], result["arms"]) == (3, SAMPLES)


@given(st.lists(st.tuples(st.floats(0.1, 10), st.floats(0.1, 10)), min_size=1, max_size=9))
def test_a_ratio_and_its_inverse_have_inverse_intervals(turns: list[tuple[float, float]]) -> None:
    samples = {"a": [a for a, _ in turns], "b": [b for _, b in turns]}
    there, back = (run(bench(samples, pair))["ratio"]["interval"] for pair in (("a", "b"), ("b", "a")))
    assert there == pytest.approx([1 / back[1], 1 / back[0]])


def test_arms_of_different_length_have_no_ratio() -> None:
    with pytest.raises(ValueError, match="zip"):
        run(bench({"a": [1.0, 2.0], "b": [1.0]}, ("a", "b")))


def test_a_result_says_how_it_can_be_repeated(result: dict[str, Any]) -> None:
    assert json.loads(json.dumps(result)) == result
    assert result["command"] == "python -m benchmarks made-up"
    assert result["hardware"] == hardware()
    assert f", {os.cpu_count()} cores" in result["hardware"]
    assert {"torch", "numpy", "python"} <= result["versions"].keys()
    assert result["date"].count("-") == 2
    assert (result["what"], result["unit"], result["bar"]) == ("Seconds of nothing", "s", "below 9")


def test_short_notes_are_those_of_a_line(result: dict[str, Any]) -> None:
    assert short_notes(result) == {"device": "cpu"}
    assert short_notes({}) == {}


def test_it_shows_medians_spreads_ratios_and_short_notes(
    result: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    show(result)
    head, *lines = capsys.readouterr().out.splitlines()
    assert head == f"made-up: Seconds of nothing ({hardware()}, n = 3)"
    assert [line.split() for line in lines[:3]] == [
        ["slow", "9", "s", "(4", "..", "10)"], ["quick", "2", "s", "(1", "..", "3)"],
        ["other", "8", "s", "(5", "..", "9)"],
    ]  # fmt: skip
    assert lines[3:] == ["  slow / quick: 3 (2 .. 10)", "  slow / other: 1 (0.5 .. 2)", "  device: cpu"]


def test_the_page_has_a_table_for_each_result_in_order_of_name(results: Path, result: dict[str, Any]) -> None:
    path = write(result)
    assert path.parent == results
    assert json.loads(path.read_text()) == result
    other = result | {"benchmark": "another", "bar": ""}
    write(other)
    page = (results.parent / "README.md").read_text()
    assert page == readme()
    assert [line for line in page.splitlines() if line.startswith("#")] == [
        "# Benchmarks",
        "## another",
        "## made-up",
    ]
    for line in (
        "| slow | 9 s | 4 .. 10 |", "| quick | 2 s | 1 .. 3 |", "- slow / quick: **3** (2 .. 10)",
        "- slow / other: **1** (0.5 .. 2)", "- device: cpu", "n = 3. Bar: below 9.", "n = 3.",
    ):  # fmt: skip
        assert line in page.splitlines()
    assert page.count("table") == 0


def test_measuring_again_on_the_same_machine_replaces_the_result(results: Path, result: dict[str, Any]) -> None:
    first = write(result)
    assert write(result | {"n": 5}) == first
    elsewhere = write(result | {"hardware": "Another CPU @ 2 GHz, 4 cores"})
    assert elsewhere.name == "made-up-another-cpu-2-ghz-4-cores.json"
    assert sorted(results.iterdir()) == sorted([first, elsewhere])


# The epochs of `peer`


class Scripted(peer.Ours):
    """Reaches, with `epochs` and `seed`, the accuracy that a table says, and remembers what was asked for."""

    def __init__(self, table: dict[int, list[list[float]]]) -> None:
        super().__init__(Pool([], nothing), DIGITS, [], Path(), Kept())
        self.table, self.asked = table, list[tuple[int, int]]()

    def timed(self, epochs: int, seed: int) -> peer.Timed:
        self.asked.append((epochs, seed))
        return peer.Timed(1.0, self.table[epochs][seed])


def fewest(table: dict[int, list[float]], *theirs: float) -> tuple[int, bool, list[tuple[int, int]]]:
    """Return the epochs that are chosen against `theirs`, one for a seed, and what was run for that."""
    ours = Scripted({epochs: [[value] for value in values] for epochs, values in table.items()})
    size = peer.Size(epochs=tuple(table))
    chosen, reached = peer._fewest(ours, [peer.Timed(1.0, [value]) for value in theirs], size)
    return chosen, reached, ours.asked


def test_the_fewest_epochs_that_reach_the_mean_over_the_seeds_are_chosen() -> None:
    table = {2: [0.89, 0.89], 3: [0.89, 0.91], 4: [0.99, 0.99]}
    assert fewest(table, 0.9, 0.9) == (3, True, [(2, 0), (2, 1), (3, 0), (3, 1)])


def test_three_tenths_of_a_point_below_is_reached_and_more_is_not() -> None:
    assert fewest({2: [0.8975], 3: [0.99]}, 0.9)[:2] == (2, True)
    assert fewest({2: [0.8965], 3: [0.99]}, 0.9)[:2] == (3, True)


def test_what_is_hopeless_with_the_first_seeds_is_not_run_with_the_others() -> None:
    table = {2: [0.5, 0.9, 0.9], 3: [0.9, 0.85, 0.9], 4: [0.9, 0.9, 0.9]}
    assert fewest(table, 0.9, 0.9, 0.9) == (4, True, [(2, 0), (3, 0), (3, 1), (4, 0), (4, 1), (4, 2)])


def test_where_nothing_reaches_it_the_last_counts_and_it_is_said() -> None:
    assert fewest({2: [0.1], 25: [0.2]}, 0.9)[:2] == (25, False)


def test_where_a_share_of_the_networks_must_reach_their_own_the_mean_alone_is_not_enough() -> None:
    theirs = [peer.Timed(1.0, [0.5, 0.9, 0.9, 0.9])]
    lifted = {2: [[0.95, 0.8, 0.8, 0.9]], 3: [[0.5, 0.8, 0.9, 0.89]], 4: [[0.6, 0.8, 0.95, 0.91]]}
    chosen = [
        peer._fewest(Scripted(lifted), theirs, peer.Size(epochs=(2, 3, 4), share=share)) for share in (0.0, 0.75)
    ]
    assert chosen == [(2, True), (4, True)]


# The table of real runs


def test_the_table_of_real_runs_tells_pruned_from_failed_and_bands_of_the_depths_drawn() -> None:
    spec = importlib.util.spec_from_file_location("real_run", ROOT / "docs" / "real_run.py")
    assert spec is not None
    assert spec.loader is not None
    real_run = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(real_run)
    runs = [SimpleNamespace(config={"num_min_depth": low, "num_max_depth": high}) for low, high in ((5, 12), (4, 9))]
    bands = real_run.bands_of(runs)
    assert [real_run.name_of(band) for band in bands] == ["4..6", "7..9", "10..12"]
    whole = SimpleNamespace(config={"num_min_depth": 20, "num_max_depth": 70})
    assert [real_run.name_of(band) for band in real_run.bands_of([whole])] == ["20..36", "37..53", "54..70"]
    rows = [
        ("ok", 4, 0.5),
        ("ok", 6, 0.7),
        ("ok", 12, 0.9),
        ("pruned", 5, 0.99),
        ("pruned", 7, 0.1),
        ("oom", 8, None),
    ]
    models = pd.DataFrame(rows, columns=["status", "depth", "val_accuracy"]).assign(function_set="vgg", seconds=2.0)
    models = models.assign(stage="search")
    models.loc[len(models)] = {"status": "ok", "depth": 5, "val_accuracy": 0.99, "stage": "confirm"}
    assert real_run.summary(models, bands).split(" | ") == [
        "vgg", "6", "2", "1", "2 ± 0", "0.600 (n = 2)", "-", "0.900 (n = 1)", "0.9000 (depth 12)", "-"
    ]  # fmt: skip
