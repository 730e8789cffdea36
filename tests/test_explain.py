"""`populations explain`: a network node by node, beside its parent."""

import json
from pathlib import Path
from typing import Any

import pytest

import populations.__main__ as cli
from cgp.graph import Graph
from populations import load


def explained(capsys: pytest.CaptureFixture[str], run: Path, model: str) -> list[dict[str, Any]]:
    capsys.readouterr()
    assert cli.main(["explain", str(run), model, "--format", "json"]) == 0
    return list(json.loads(capsys.readouterr().out))


def test_the_nodes_add_up_to_the_model(searched: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = load(searched)
    for row in run.models.to_dict("records"):
        nodes = [node for node in explained(capsys, searched, row["id"]) if node["block"] != "-"]
        assert [node["node"] for node in nodes] == [*map(str, range(1, row["depth"] + 1)), "head"]
        for cost in ("params", "flops"):
            assert sum(node[cost] for node in nodes) == row[cost]
            assert sum(node[f"{cost}_share"] for node in nodes) == pytest.approx(1)
        assert nodes[-1]["field"] == row["receptive_field"]
        graph = run.model(row["id"]).model
        assert isinstance(graph, Graph)
        assert [node["gives"] for node in nodes[:-1]] == ["x".join(map(str, f.shape)) for f in graph.flows[1:]]


def test_beside_its_parent_a_child_shows_what_changed(searched: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = load(searched)
    children = run.models[run.models["parent"].notna()]
    assert len(children)
    for identity, parent in zip(children["id"], children["parent"], strict=True):
        rows = explained(capsys, searched, identity)
        before = {row["node"]: row for row in explained(capsys, searched, parent)}
        assert any(row["was"] for row in rows)  # a child is never the network that its parent is
        for row in rows:
            old = before.get(row["node"], {"block": None})
            if row["was"] == "":
                assert old["block"] == row["block"]
            elif row["was"] == "-":
                assert old["block"] is None
            else:
                assert row["was"] == f"{old['block']} reads {old['reads']}"
        assert {row["node"] for row in rows} >= before.keys()
        assert cli.main(["explain", str(searched), identity]) == 0
        out = capsys.readouterr().out
        assert f"{identity} from its parent {parent}: " in out
        assert "val_accuracy" in out


def test_a_draw_has_no_parent(searched: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = load(searched).models["id"].iloc[0]
    assert "was" not in explained(capsys, searched, first)[0]
    assert cli.main(["explain", str(searched), first]) == 0
    assert "has no parent: it was drawn at random" in capsys.readouterr().out


def test_an_unknown_model_is_one_line(searched: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["explain", str(searched), "zzz"]) == 2
    assert "model 'zzz' of " in capsys.readouterr().err
