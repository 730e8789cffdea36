"""Flags, files of flags, and the notes in a run folder that say what was asked and with what it ran."""

import json
import string
import subprocess
import sys
from collections.abc import Collection
from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as settings_of_hypothesis
from hypothesis import strategies as st

from cgp.blocks import FUNCTION_SETS
from cgp.errors import BadInput
from cgp.families import FAMILIES
from evaluate.data.datasets import dataset_names
from evaluate.job import INITIALISATIONS, OPTIMIZERS, PRECISIONS, RECIPES, SCHEDULES, Recipe
from evaluate.metrics import OBJECTIVES
from harness import ROOT
from populations.run_folder.folder import create_run, next_run, note_session
from populations.setup.checks import OF_SEARCHES, RANGES
from populations.setup.config import Config, parse
from populations.setup.executors import EXECUTORS
from populations.setup.flags import FLAGS, EvaluationFlags, SpaceFlags
from populations.strategies import STRATEGIES

ASKED = ["--num-max-depth", "30", "--epochs", "9", "--lr", "0.5", "--workers", "2", "--data-dir", "images"]


def recorded(folder: Path, *arguments: str) -> Path:
    """Record `arguments` as the configuration of a run."""
    config = parse(arguments)
    create_run(folder, config.resolved(config.recipe()) | {"data_fingerprint": "f" * 64}).release()
    return folder


def refused(*arguments: str) -> str:
    with pytest.raises(BadInput) as caught:
        parse(arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# Flags


def test_a_flag_that_is_not_given_has_its_default_or_the_recipes() -> None:
    config = parse(["--recipe", "retrain"])
    assert config.space == SpaceFlags()
    assert vars(config.space) == {flag.name: flag.default for flag in FLAGS.values() if flag.group == "space"}
    assert config.recipe() == RECIPES["retrain"]


@settings_of_hypothesis(max_examples=30, deadline=None)
@given(
    epochs=st.integers(1, 99),
    lr=st.floats(1e-6, 1e3),
    name=st.text(string.ascii_letters + "_-./=", min_size=1),
    augment=st.booleans(),
)
def test_flags_and_files_mean_the_same(
    tmp_path_factory: pytest.TempPathFactory, epochs: int, lr: float, name: str, augment: bool
) -> None:
    flags = [f"--epochs={epochs}", f"--lr={lr!r}", f"--run={name}", "--augment" if augment else "--no-augment"]
    path = tmp_path_factory.getbasetemp() / "flags.toml"
    path.write_text(
        f"epochs = {epochs}\nlr = {lr:.17e}\n[run]\nrun = {json.dumps(name)}\n"
        f"[evaluation]\naugment = {str(augment).lower()}\n"
    )
    assert parse(flags).values == parse(["--config", str(path)]).values
    assert parse(flags).recipe().lr == lr


def test_two_dashes_are_a_value_like_any_other() -> None:
    assert parse(["--run=--"]).run.run == "--"
    assert refused("--epochs=--") == "--epochs: '--'; expected a whole number; see --help"


def test_a_file_may_give_a_whole_number_for_a_rate_but_no_number_for_a_switch(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text("lr = 1")
    assert parse(["--config", str(path)]).evaluation.lr == 1
    for text, expected in (("racing = 1", "bool"), ("epochs = true", "int"), ("epochs = 2.0", "int")):
        path.write_text(text)
        assert refused("--config", str(path)) == f"--config {path}: {text}; expected {expected}".replace(
            "true", "True"
        )


def test_data_are_found_from_any_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/her")
    assert parse(["--data-dir", "images", "--dataset", "folder:photos"]).data().name == f"folder:{tmp_path}/photos"
    assert parse([]).data().data_dir == f"{tmp_path}/data"
    assert parse(["--dataset", "folder:~/photos"]).data().name == "folder:/home/her/photos"
    assert parse(["--data-dir", "~/images"]).data().data_dir == "/home/her/images"


def test_the_validation_images_are_asked_for_in_the_training_images_share() -> None:
    asked = {
        (): (None, None),
        ("--train-size", "200"): (200, "auto"),
        ("--train-size", "200", "--val-size", "all"): (200, None),
        ("--train-size", "200", "--val-size", "50"): (200, 50),
        ("--val-size", "50"): (None, 50),
    }
    for arguments, sizes in asked.items():
        data = parse(arguments).data()
        assert (data.train_size, data.val_size) == sizes


def test_a_file_may_give_a_number_or_a_word_for_a_size(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    for text, meant in (("val-size = 50", 50), ('val-size = "all"\nworkers-per-device = 2', None)):
        path.write_text("train-size = 200\n" + text)
        assert parse(["--config", str(path)]).data().val_size == meant


def test_one_file_serves_strategies_and_datasets_that_heed_less_of_it(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text("offspring = 8\ndownload = true")
    assert parse(["--config", str(tmp_path / "c.toml"), "--strategy", "random"]).evolution.offspring == 8


# Where flags are declared

_NEW_FLAG = """
import json, sys, types
from pathlib import Path
name = "populations.setup.flags"
path = Path("populations/setup/flags.py")
first = "    strategy: str = "
line = '    mixup: float = flag(0.1, "share of images that are mixed", before=0.0)\\n'
before, found, after = path.read_text().partition(first)
module = sys.modules[name] = types.ModuleType(name)
exec(before + line + found + after, module.__dict__)

from docs.reference import page
from populations.setup.config import Config, from_flags, parse
file = Path(sys.argv[1])
file.write_text("[evolution]\\nmixup = 0.3")
line = parse(["--mixup", "0.3"])
assert line.evolution.mixup == 0.3
assert line == from_flags({"mixup": 0.3})
assert line.values == parse(["--config", str(file)]).values
recorded = line.resolved(line.recipe())
assert (recorded["mixup"], parse([]).values["mixup"]) == (0.3, 0.1)
assert Config.of(recorded, file).evolution.mixup == 0.3
del recorded["mixup"]
assert Config.of(recorded, file).evolution.mixup == 0.0
print(*(line for line in page().splitlines() if "mixup" in line), sep="\\n")
"""


def test_a_flag_is_one_line(tmp_path: Path) -> None:
    """With a line more in flags.py a flag can be given in every way, is recorded, and stands in the reference."""
    command = [sys.executable, "-c", _NEW_FLAG, str(tmp_path / "c.toml")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("| `--mixup FLOAT` | 0.1 | share of images that are mixed |\n", "")


def test_every_field_of_a_recipe_is_a_flag_of_its_type() -> None:
    own = {field.name: field.type for field in fields(Recipe) if field.name != "name"}
    assert {name: FLAGS[name].type for name in own} == own
    assert own.keys() <= {field.name for field in fields(EvaluationFlags)}


def test_what_is_said_of_flags_is_said_of_flags_that_there_are() -> None:
    idle = {name for executor in EXECUTORS.values() for name in executor.idle}
    assert {*RANGES, *OF_SEARCHES, *idle} <= FLAGS.keys()


@pytest.mark.parametrize(
    ("flag", "known"),
    [
        *(("function_set", FUNCTION_SETS), ("strategy", STRATEGIES), ("family", FAMILIES)),
        *(("objectives", OBJECTIVES), ("dataset", dataset_names()), ("recipe", RECIPES), ("optimizer", OPTIMIZERS)),
        *(("schedule", SCHEDULES), ("init", INITIALISATIONS), ("precision", PRECISIONS)),
    ],
)
def test_a_flag_names_all_that_it_may_be(flag: str, known: Collection[str]) -> None:
    assert ", ".join(known) in FLAGS[flag].help


def test_the_executor_says_where_each_trains() -> None:
    assert all(f"{name} ({executor.where})" in FLAGS["executor"].help for name, executor in EXECUTORS.items())


# Resuming


def test_a_resumed_run_has_the_flags_that_it_began_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run = recorded(tmp_path / "r", *ASKED)
    before = parse(ASKED)
    assert json.loads((run / "config.json").read_text())["batch_size"] == RECIPES["fast"].batch_size
    monkeypatch.chdir("/")
    again = parse(["--resume", str(run)])
    assert again.values == before.values | before.resolved(before.recipe()) | {"run": str(run)}
    assert again.recipe() == before.recipe()
    assert again.data() == before.data()


def test_a_resume_may_repeat_the_runs_flags_and_change_those_of_no_search(tmp_path: Path) -> None:
    run = recorded(tmp_path / "r", "--epochs", "9")
    again = parse(["--resume", str(run), "--epochs", "9", "--generations", "7", "--timeout", "5", "--keep", "best"])
    assert (again.evaluation.epochs, again.evolution.generations) == (9, 7)
    assert (again.resources.timeout, again.run.keep) == (5.0, "best")


def test_a_resume_under_another_name_is_refused(tmp_path: Path) -> None:
    run = recorded(tmp_path / "r")
    assert (
        refused("--resume", str(run), "--run", "s") == f"--resume {run}: --run s names another folder; leave it out"
    )


def test_a_run_from_before_a_validation_size_has_all_validation_images(tmp_path: Path) -> None:
    run = recorded(tmp_path / "r", "--train-size", "200")
    config = json.loads((run / "config.json").read_text())
    assert config.pop("val_size") == "auto"
    assert Config.of(config, run).data().val_size is None  # as a replay asks
    (run / "config.json").write_text(json.dumps(config))
    again = parse(["--resume", str(run)])
    assert (again.evaluation.val_size, again.data().val_size) == ("all", None)
    assert parse(["--resume", str(run), "--val-size", "all"]).data() == again.data()
    assert "--val-size auto differs from the run's all" in refused("--resume", str(run), "--val-size", "auto")


def test_what_a_run_was_recorded_with_is_not_judged_again(tmp_path: Path) -> None:
    run = recorded(tmp_path / "r", "--strategy", "random")
    config = json.loads((run / "config.json").read_text())
    doubled = {"objectives": "val_accuracy,val_accuracy", "levels_back": 20_000, "download": True, "offspring": 3}
    (run / "config.json").write_text(json.dumps(config | doubled))
    again = parse(["--resume", str(run)])
    assert {name: again.values[name] for name in doubled} == doubled


# The run folder


def test_an_empty_folder_will_do_and_a_file_will_not(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    create_run(tmp_path / "empty", {"epochs": 3}).release()
    assert json.loads((tmp_path / "empty" / "config.json").read_text()) == {"epochs": 3}
    (tmp_path / "file").write_text("mine")
    with pytest.raises(BadInput, match="exists already"):
        create_run(tmp_path / "file", {})
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize(
    ("dataset", "name"), [("folder:/data/my photos/", "my-photos"), ("folder:/", "folder"), ("folder:é(1)", "é-1-")]
)
def test_a_run_is_named_after_its_images(tmp_path: Path, dataset: str, name: str) -> None:
    assert next_run(tmp_path, dataset) == tmp_path / f"{name}-1"


def test_every_session_is_noted_with_what_it_ran_on(tmp_path: Path) -> None:
    worker = {"device": "cpu", "threads": 1, "precision": "bf16", "pid": 4711}
    note_session(tmp_path, 7, [worker], {"fp32": 2.0, "bf16": 1.0})
    note_session(tmp_path, 7, [worker, worker], {})
    first, second = json.loads((tmp_path / "environment.json").read_text())["sessions"]
    assert first["workers"] == [{"device": "cpu", "threads": 1, "precision": "bf16"}]
    assert len(second["workers"]) == 2
    assert (first["seed"], first["precision_milliseconds"], second["precision_milliseconds"]) == (
        *(7, {"fp32": 2.0, "bf16": 1.0}, {}),
    )
    assert {"torch", "numpy", "deap"} <= first["packages"].keys()
    assert first["started"].endswith("+00:00")
