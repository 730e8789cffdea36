"""A search from Python: what the command does, with errors to catch and nothing on the screen."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest

import evolve
from cgp.errors import BadInput
from harness import ROOT, TINY, assert_same_run, facts, program
from populations import load
from populations.record import Generation, Record
from populations.search.observers import Observer
from populations.search.outlook import Standing
from populations.search.stop import Stopped
from populations.setup.config import from_flags, parse
from populations.strategies import Strategy

FLAGS: dict[str, Any] = {
    "function_set": "conv_8_3,conv_4_3,res_8_3,maxpool,sum", "num_min_depth": 1, "num_max_depth": 4,
    "train_size": 120, "epochs": 2, "population": 3, "generations": 3, "racing": False, "offspring": 3,
}  # fmt: skip


class Hearing(Observer):
    """Notes what it hears; asks the process to stop, once it has heard of a result, where that is wanted."""

    def __init__(self, interrupt: bool = False) -> None:
        self.heard: list[Any] = []
        self.interrupt = interrupt

    def told(self, record: Record) -> None:
        self.heard.append(record.id)
        if self.interrupt:
            self.interrupt = False
            os.kill(os.getpid(), signal.SIGINT)

    def generation(self, generation: Generation) -> None:
        self.heard.append(generation.number)

    def update(self, standing: Standing) -> None:
        assert standing.total == 9

    def stopping(self) -> None:
        self.heard.append("stopping")

    def end(self, run: Path, strategy: Strategy, finished: bool) -> None:
        self.heard.append((finished, load(run).state))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of the command line."""
    cwd = tmp_path_factory.mktemp("command")
    done = program(*TINY, "--run", "r", cwd=cwd)
    assert done.returncode == 0, done.stderr
    return cwd / "r"


def test_a_search_is_that_of_the_command_whatever_its_observers_do(
    whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Breaking(Observer):
        def told(self, record: Record) -> None:
            raise ValueError("no chart")

    class Holding(Observer):
        """Goes on only when the search has ended."""

        over = Event()

        def told(self, record: Record) -> None:
            self.over.wait(60)

    class Ending(Observer):
        def end(self, *_: Any) -> None:
            Holding.over.set()

    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    hearing = Hearing()
    run = evolve.run(run=tmp_path / "r", **FLAGS, observers=[Breaking(), hearing, Ending(), Holding()])
    assert_same_run(run.folder, whole)
    assert set(hearing.heard[:-1]) == {*run.models["id"], 0, 1, 2}
    assert hearing.heard[-1] == (True, "finished")
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", "observer Breaking is told no more: ValueError: no chart\n")
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == handlers


def test_ctrl_c_stops_a_search_which_the_same_program_goes_on_with(whole: Path, tmp_path: Path) -> None:
    hearing, before = Hearing(interrupt=True), signal.getsignal(signal.SIGINT)
    folder = tmp_path / "r"
    with pytest.raises(KeyboardInterrupt, match=re.escape(f"go on with resume='{folder}'")):
        evolve.run(run=str(folder), workers=1, **FLAGS, observers=[hearing])
    assert hearing.heard[-2:] == ["stopping", (False, "stopped")]
    assert signal.getsignal(signal.SIGINT) is before
    assert_same_run(evolve.run(resume=folder).folder, whole)


def test_a_search_in_a_thread_heeds_the_file_stop_and_leaves_signals_alone(whole: Path, tmp_path: Path) -> None:
    folder, before = tmp_path / "r", signal.getsignal(signal.SIGINT)
    caught, runs = list[Stopped](), list[Any]()

    class Asking(Observer):
        def told(self, record: Record) -> None:
            (folder / "stop").touch()

    def search() -> None:
        try:
            evolve.run(run=folder, workers=1, **FLAGS, observers=[Asking()])
        except Stopped as stopped:
            caught.append(stopped)
        runs.append(evolve.run(resume=folder))

    thread = Thread(target=search)
    thread.start()
    thread.join()
    assert [stopped.folder for stopped in caught] == [folder]
    assert facts(runs[0]).equals(facts(load(whole)))
    assert signal.getsignal(signal.SIGINT) is before


def test_a_screen_is_shown_where_it_is_wanted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    evolve.run(run=tmp_path / "r", screen=True, **(FLAGS | {"generations": 1, "epochs": 1}))
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["reading the images of digits", "digits: train 120 images, validation 100"]
    assert any(line.startswith(f"best: {tmp_path / 'r' / 'best'}") for line in lines)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({"num_mindepth": 3}, "evolve.run: no flag 'num_mindepth' (did you mean 'num_min_depth'?)"),
        ({"resum": "r"}, "evolve.run: no flag 'resum' (did you mean 'resume'?)"),
        ({"epochs": "3"}, "evolve.run: epochs = '3'; expected int"),
        ({"racing": 1}, "evolve.run: racing = 1; expected bool"),
        ({"retry_failed": "r"}, "evolve.run: retry_failed = 'r'; expected bool"),
        ({"dry_run": True}, "evolve.run: dry_run makes no run; leave it out, or give it on the command line"),
        ({"retry_failed": True}, "--retry-failed: goes with --resume RUN, which was not given"),
        ({"population": 0}, "--population: 0; expected 1..100000"),
        ({"observers": [print]}, "observers: <built-in function print> is no observer; expected an object of"),
        ({"config": "none.toml"}, "--config none.toml: cannot be read as TOML"),
    ],
    ids=str,
)
def test_what_cannot_be_used_is_one_line_and_writes_nothing(
    flags: dict[str, Any], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadInput) as caught:
        evolve.run(**flags)
    assert str(caught.value).startswith(said)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_flags_mean_what_they_mean_on_the_command_line(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text("epochs = 3\nseed = 4\n")
    asked = {"config": tmp_path / "c.toml", "lr": 1, "seed": 5, "max_params": None, "workers_per_device": 2}
    line = ["--config", str(tmp_path / "c.toml"), "--lr", "1", "--seed", "5", "--workers-per-device", "2"]
    assert from_flags(asked) == parse(line)


def test_the_example_is_a_plain_script(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "examples" / "search.py"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert (done.returncode, done.stderr) == (0, "")
    run = load(tmp_path / "runs" / "digits-1")
    told = [line.split()[0] for line in done.stdout.splitlines()[: len(run.models)]]
    assert sorted(told) == sorted(run.models["id"])
    assert done.stdout.splitlines()[-1] == f"best: runs/digits-1/models/{run.identity('best')}"
