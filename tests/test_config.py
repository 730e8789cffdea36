"""Flags, files of flags, and the notes in a run folder that say what was asked and with what it ran."""

import json
import string
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as settings_of_hypothesis
from hypothesis import strategies as st

from cgp.errors import BadInput
from evaluate.job import RECIPES
from populations.run_folder.folder import create_run, next_run, note_session
from populations.setup.config import FLAGS, Config, parse

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
    assert all(config.values[flag.name.replace("-", "_")] == flag.default for flag in FLAGS if flag.group == "space")
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


def test_a_file_may_give_a_whole_number_for_a_rate_but_no_number_for_a_switch(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text("lr = 1")
    assert parse(["--config", str(path)]).lr == 1
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
    assert parse(["--config", str(tmp_path / "c.toml"), "--strategy", "random"]).offspring == 8


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
    assert (again.epochs, again.generations, again.timeout, again.keep) == (9, 7, 5.0, "best")


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
    assert (again.val_size, again.data().val_size) == ("all", None)
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
