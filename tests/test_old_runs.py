"""Runs that earlier versions wrote: they open, resume and replay. See fixtures/README.md."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import populations.__main__ as cli
from cgp.errors import BadInput
from evaluate.job import RECIPES
from harness import facts, old_runs, populations, program
from populations import load
from populations.reading.ledger import ledger
from populations.run_folder.folder import read_json
from populations.setup.config import Config, parse
from populations.setup.flags import BEFORE, FLAGS
from populations.setup.recorded import meaning

FIRST = {
    "plain": ["0a08a6a054f1", "2052ba03b5f5", "1bc6c6e73985", "387d9018e395", "4b65737bd555", "faff6c34c13e"],
    "inherited": ["0a08a6a054f1", "2052ba03b5f5", "1bc6c6e73985", "9a4d4b843a7e", "6433f6c4e6b8", "5c882e0cd220"],
}


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A folder with the runs `plain` and `inherited` as the program of format 2 left them."""
    return old_runs(tmp_path / "old")


def rewrite(run: Path, config: dict[str, Any]) -> None:
    (run / "config.json").write_text(json.dumps(config))


# Reading


def test_tables_of_a_race(old: Path) -> None:
    run = load(old / "plain")
    assert list(run.models["id"]) == FIRST["plain"]
    assert list(run.models["status"]) == ["ok", "pruned", "pruned", "pruned", "ok", "pruned"]
    assert run.models["val_accuracy"][0] == 0.17270194986072424
    assert run.models["test_accuracy"].count() == 1
    assert run.models["train_accuracy"].count() == 6  # its journal has no column of them
    assert run.population(1)["id"][0] == "0a08a6a054f1"
    assert list(run.generations["generation"]) == [0, 1]
    assert run.curves.groupby("id").size().to_dict() == dict(zip(run.models["id"], run.models["epochs"], strict=True))
    assert list(run.polished["recipe"]) == ["retrain"]
    assert (run.state, len(run.sessions)) == ("finished", 1)
    parts = ledger(run).set_index("part")["slot_seconds"]
    assert parts["pruned"] > 0
    assert parts["saved by racing"] > 0


def test_tables_of_inherited_weights(old: Path) -> None:
    run = load(old / "inherited")
    assert list(run.models["id"])[:6] == FIRST["inherited"]
    assert (len(run.models), set(run.models["status"])) == (9, {"ok"})
    assert run.models["scratch_share"].between(0, 1).sum() >= 3
    assert list(run.generations["generation"]) == [0, 1, 2]  # the last is the final ranking
    assert run.identity("best") == "b0b7030df9ac"
    assert run.ancestors("b0b7030df9ac")["id"].iloc[0] == "1bc6c6e73985"


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("list {old}", "plain finished"),
        ("show {old}/plain", "faff6c34c13e"),
        ("show {old}/plain --ledger", "saved by racing"),
        ("show {old}/plain --generation 1", "0a08a6a054f1"),
        ("best {old}/plain", "res_8_3"),
        ("lineage {old}/inherited", "9a4d4b843a7e"),
        ("lineage {old}/inherited best", "1bc6c6e73985"),
    ],
)
def test_commands(line: str, shown: str, old: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(line.format(old=old).split()) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert shown in out


# Replaying and resuming


@pytest.mark.parametrize("how", ["rescored", "retrained"])
def test_a_replay_gives_the_recorded_number_or_names_what_differs(how: str, old: Path) -> None:
    done = populations("replay", "plain", *(["--retrain"] if how == "retrained" else []), cwd=old)
    assert "recorded  val_accuracy 0.17270194986072424  val_loss 2.3121603538066897\n" in done.stdout
    assert "Traceback" not in done.stderr
    if done.returncode:  # another CPU, another torch
        assert "NOT identical" in done.stdout
        assert any(f"  {name}: recorded " in done.stdout for name in ("instruction_set", "torch", "device_name"))
    else:
        assert "identical to the bit" in done.stdout
    assert done.returncode in (0, 1)


@pytest.mark.parametrize("name", ["plain", "inherited"])
def test_more_generations(name: str, old: Path) -> None:
    before = facts(load(old / name))
    done = program("--resume", name, "--generations", "3", "--workers", "1", cwd=old)
    assert done.returncode == 0, done.stderr
    after = load(old / name)
    assert list(after.models["id"])[: len(FIRST[name])] == FIRST[name]
    kept = facts(after)[after.models["id"].isin(before["id"])].reset_index(drop=True)
    pd.testing.assert_frame_equal(before, kept, check_exact=True)
    assert after.models["generation"].max() == (2 if name == "plain" else 3)
    assert after.state == "finished"
    config = json.loads((old / name / "config.json").read_text())
    assert (config["max_flops"], config["val_size"], config["offspring"]) == (0, "all", 3)


# What the flags meant


def test_flags_of_the_first_runs_mean_what_they_meant(old: Path) -> None:
    config = parse(["--resume", str(old / "plain")])
    assert (config.space.max_flops, config.evolution.sizes[1], config.evaluation.val_size) == (None, 3, "all")
    assert config.space_for(load(old / "plain").model("best").model.image, 10).max_flops is None
    assert config.data().val_size is None
    assert (config.recipe().epochs, config.recipe().cuda_graphs, config.recipe().precision) == (3, False, "fp32")


@pytest.mark.parametrize("name", sorted(BEFORE))
def test_a_flag_that_came_later_has_its_old_meaning_when_it_is_missing(name: str, old: Path) -> None:
    """Whatever the default of the flag is today."""
    config = read_json(old / "inherited" / "config.json")
    config.pop(name, None)
    rewrite(old / "inherited", config)
    assert Config.of(config, old / "inherited").values[name] == BEFORE[name]  # as a replay asks
    assert parse(["--resume", str(old / "inherited")]).values[name] == BEFORE[name]


def test_every_flag_was_there_from_the_first_or_says_what_came_before(old: Path) -> None:
    """A flag that is added, such as a new field of recipes, has to say what runs without it meant."""
    first = read_json(old / "plain" / "config.json")
    assert FLAGS.keys() - first.keys() <= BEFORE.keys()
    assert {field for field in vars(RECIPES["fast"]) if field != "name"} <= {*first, *BEFORE}


def test_a_field_of_tomorrow(old: Path) -> None:
    first = read_json(old / "plain" / "config.json")
    with pytest.raises(BadInput, match=r"plain/config.json: lacks mixup; restore it as evolve.py wrote it"):
        meaning(first, [*first, "mixup"], BEFORE, old / "plain")
    before = BEFORE | {"mixup": 0.0}
    assert meaning(first, [*first, "mixup"], before, old / "plain")["mixup"] == 0.0
    assert meaning(first | {"mixup": 0.3}, [*first, "mixup"], before, old / "plain")["mixup"] == 0.3


def test_a_flag_that_only_a_later_version_knows_is_not_dropped(old: Path) -> None:
    config = read_json(old / "plain" / "config.json") | {"mixup": 0.3}
    rewrite(old / "plain", config)
    said = r"plain/config.json: has mixup, which this program does not know; use the version that wrote it"
    with pytest.raises(BadInput, match=said):
        parse(["--resume", str(old / "plain")])
    assert read_json(old / "plain" / "config.json") == config
    assert len(load(old / "plain").models) == 6  # to look is harmless


@pytest.mark.parametrize(
    ("kept", "said"),
    [
        ((), "config.json: lacks num_min_depth, num_max_depth, function_set and "),
        (("function_set", "generations"), "config.json: lacks num_min_depth, num_max_depth, levels_back and "),
    ],
)
def test_a_config_without_what_every_run_has_is_one_line(
    kept: tuple[str, ...], said: str, old: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = read_json(old / "plain" / "config.json")
    rewrite(old / "plain", {name: config[name] for name in kept})
    with pytest.raises(BadInput, match=said):
        parse(["--resume", str(old / "plain"), "--generations", "3"])
    commands = ("replay",) if kept else ("show", "best", "replay")
    for arguments in [[name, str(old / "plain")] for name in commands] + [["show", str(old / "plain"), "--ledger"]]:
        assert cli.main(arguments) == 2
        err = capsys.readouterr().err
        assert err.count("\n") == 1
        assert "plain/config.json: lacks " in err
    if not kept:
        assert cli.main(["list", str(old)]) == 0  # the other run
        assert "plain/config.json: lacks function_set" in capsys.readouterr().err


# Format 3


@pytest.fixture
def third(tmp_path: Path) -> Path:
    """The run `asked` as the program of format 3 left it."""
    return old_runs(tmp_path / "third", 3) / "asked"


def test_what_was_asked_of_a_run_of_format_3_is_in_its_tables(third: Path) -> None:
    run = load(third)
    assert run.models["stage"].value_counts().to_dict() == {"search": 6, "confirm": 2, "polish": 1}
    assert set(run.models["status"]) == {"ok"}
    assert run.models["reason"].isna().all()
    assert run.models["test_accuracy"].count() == 2
    assert run.polished["polished"].notna().all()
    assert set(run.measures["measure"]) == {"clean"}
    assert run.state == "finished"


def test_a_run_of_format_3_goes_on_and_replays(third: Path) -> None:
    before = facts(load(third))
    done = program("--resume", "asked", "--generations", "3", "--workers", "1", cwd=third.parent)
    assert done.returncode == 0, done.stderr
    after = load(third)
    kept = facts(after)[after.models["id"].isin(before["id"])].reset_index(drop=True)
    pd.testing.assert_frame_equal(before, kept, check_exact=True)
    assert after.models["generation"].max() == 2
    polished = after.polished["polished"][0]
    done = populations("replay", "asked", polished, cwd=third.parent)
    assert "recorded  test_accuracy 0." in done.stdout
    assert done.returncode in (0, 1)
    again = populations("confirm", "asked", "--top", "1", "--seeds", "2", cwd=third.parent)
    assert again.returncode == 0, again.stderr
    assert len(load(third).models.query("stage == 'confirm'")) == 2
