"""Figures as tables: what a page and a paper draw of one run, and of several."""

import shutil
from pathlib import Path

import pandas as pd
import pytest

from cgp.errors import BadInput
from populations.figures import blocks, curves, lineage, progress, sizes, statuses, times
from populations.figures.changes import change
from populations.figures.chosen import Runs, best, named, spread
from populations.run_folder.folder import create_run
from populations.run_folder.journal import Journal


@pytest.fixture(scope="module")
def runs(searched: Path) -> Runs:
    """The finished search alone."""
    return named([searched])


def graph(*nodes: str) -> dict[str, object]:
    """A graph as JSON, of nodes written as `conv_8_3 0`."""
    return {"nodes": [[block, *map(int, inputs)] for block, *inputs in map(str.split, nodes)]}


def test_progress_tells_of_every_network_in_the_order_of_results(runs: Runs) -> None:
    (run,) = runs.values()
    table = progress.table(runs)
    ended = run.models.query("status == 'ok' and stage == 'search'")
    assert sorted(table["id"]) == sorted(ended["id"])
    assert table["networks"].is_monotonic_increasing
    assert table["slot_seconds"].iloc[-1] <= run.models["seconds"].sum() + 1e-6
    assert list(table["best"]) == list(table["val_accuracy"].cummax())
    assert table["median"].iloc[-1] == pytest.approx(table["val_accuracy"].median())


def test_a_front_has_what_no_smaller_network_reaches() -> None:
    size, accuracy = pd.Series([3, 1, 2, 2, 4, 4]), pd.Series([0.7, 0.5, 0.5, 0.6, 0.9, 0.9])
    assert list(sizes.front(size, accuracy)) == [True, True, False, True, True, False]


def test_sizes_mark_the_front_of_each_run_apart(searched: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(searched, other, symlinks=True)
    table = sizes.table(named([searched, other]))
    assert list(table["run"].unique()) == ["r", "other"]
    for size in sizes.SIZES:
        mine, theirs = (group.loc[group[f"front_{size}"], "id"].tolist() for _, group in table.groupby("run"))
        assert mine == theirs != []


def test_the_kinds_in_a_tenth_of_the_depth_add_up(runs: Runs) -> None:
    table = blocks.table(runs)
    assert list(table["group"].unique()) == ["winners", "rest"]
    assert table.groupby(["group", "tenth"])["share"].sum().to_numpy() == pytest.approx(1)
    assert set(table["kind"]) <= {"conv", "res", "maxpool", "sum"}


def test_lineage_leads_to_the_best_network(runs: Runs) -> None:
    (run,) = runs.values()
    table = lineage.table(runs)
    winner = best(run, 1).iloc[0]
    assert set(table.loc[table["line"], "id"]) == set(run.ancestors(winner["id"])["id"])
    children = table[table["parent"].notna()]
    assert (children["change"] != "").all()
    assert (table.loc[table["parent"].isna(), "change"] == "").all()


def test_lineage_of_many_networks_keeps_the_best_and_their_ancestors(
    runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lineage, "MOST", 3)
    monkeypatch.setattr(lineage, "BEST", 1)
    assert lineage.table(runs)["line"].all()


def test_a_change_is_told_in_words() -> None:
    parent = graph("conv_8_3 0", "maxpool 1", "sum 2 1", "res_8_3 3")
    assert change(parent, graph("conv_8_3 0", "maxpool 1", "sum 2 1", "conv_4_3 3")) == (
        "node 4: res_8_3 became conv_4_3"
    )
    assert change(parent, graph("conv_8_3 0", "maxpool 1", "sum 2 0", "res_8_3 3")) == "1 node rewired"
    longer = change(parent, graph("conv_8_3 0", "maxpool 1", "maxpool 2", "sum 3 2", "res_8_3 4"))
    assert longer == "node 2: maxpool put in"
    assert change(parent, parent) == "nothing that is active"
    assert change(parent, {"kind": "other"}) == ""


def test_curves_are_those_of_the_best_and_of_others(runs: Runs) -> None:
    (run,) = runs.values()
    table = curves.table(runs)
    whole = run.curves
    assert len(table) == len(whole)
    assert table.groupby("id")["val_accuracy"].max().to_dict() == whole.groupby("id")["val_accuracy"].max().to_dict()


def test_jobs_and_time_are_all_accounted_for(runs: Runs) -> None:
    (run,) = runs.values()
    assert statuses.table(runs)["jobs"].sum() == len(run.models)
    shares = times.table(runs).set_index("part")["percent"]
    assert shares["start-up":"waiting"].sum() == pytest.approx(100)


def test_runs_of_one_name_are_told_apart(searched: Path, tmp_path: Path) -> None:
    paths = [tmp_path / "a" / "r", tmp_path / "b" / "r"]
    for path in paths:
        shutil.copytree(searched, path, symlinks=True)
    assert list(named([*paths])) == ["a/r", "b/r"]


def test_what_cannot_be_looked_at_is_said(searched: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="given 2 times; expected each run once"):
        named([searched, searched / ".." / searched.name])
    create_run(tmp_path / "empty", {"function_set": "resnet"}).release()
    Journal(tmp_path / "empty" / "run.sqlite", writable=True).close()
    with pytest.raises(BadInput, match="empty: has no models yet"):
        named([tmp_path / "empty"])


def test_a_spread_keeps_both_ends() -> None:
    table = pd.DataFrame({"n": range(100)})
    assert list(spread(table, 4)["n"]) == [0, 33, 66, 99]
    assert spread(table, 100) is table
