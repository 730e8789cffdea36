"""What a search shows while it runs: lines in a file or pipe, a bar above them on a terminal."""

import os
import pty
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from pathlib import Path

import pytest

from cgp import Genome, Graph, Shape
from evaluate.fitness import objectives
from evaluate.job import Job, Result
from evaluate.pool import Pool
from harness import ROOT
from populations.commands import interpreter
from populations.record import Candidate, Generation, Record
from populations.screen import Screen
from populations.strategies import strategy
from populations.strategies.breeding import Individual
from test_strategies import settings

GRAPH = Graph.chain(["conv_32_3", "maxpool", "conv_64_3"], Shape(1, 8, 8), 10)
WHOLE = {"networks": 8, "best": 0.99164, "median": 0.9889, "min_depth": 31, "max_depth": 64, "pruned": 3, "failed": 0}


def record(result: Result) -> Record:
    return Record(Candidate(0, 0, None, Genome((0, 0, 3)), GRAPH), "a1b2c3", result)


def nothing(job: Job) -> Result:
    return Result("ok")


def of(text: str) -> str:
    """Return the line without the seconds since the search began, at its end."""
    return re.sub(r" +\d+ s\n$", "", text)


def test_a_network_that_ended_as_it_should_takes_no_line(capsys: pytest.CaptureFixture[str]) -> None:
    screen = Screen(8)
    screen.told(record(Result("ok", {"val_accuracy": 0.5})))
    screen.told(record(Result("pruned", {"val_accuracy": 0.5})))
    assert capsys.readouterr().out == ""


def test_a_network_that_broke_says_why_and_where_its_log_is(capsys: pytest.CaptureFixture[str]) -> None:
    screen = Screen(8)
    screen.told(record(Result("diverged", error="Diverged: epoch 1", log="runs/r/log.txt")))
    screen.told(record(Result("timeout", error="not done after 5 s")))
    assert capsys.readouterr().out == (
        "  a1b2c3 diverged: Diverged: epoch 1 (log: runs/r/log.txt)\n  a1b2c3 timeout: not done after 5 s\n"
    )


def test_text_is_shown_as_it_is_brackets_and_length_included(capsys: pytest.CaptureFixture[str]) -> None:
    text = "[red]shapes [1, 2] and [/3] runs/x:ok:1 " + "long " * 60 + "end"
    Screen(8).line(text)
    assert capsys.readouterr().out == text + "\n"


def test_a_generation_is_the_line_that_the_readme_shows(capsys: pytest.CaptureFixture[str]) -> None:
    Screen(24).generation(Generation(0, (), WHOLE))
    shown = of(capsys.readouterr().out)
    (line,) = [line for line in (ROOT / "README.md").read_text().splitlines() if line.startswith("generation 0")]
    assert shown == of(line + "\n")


def test_a_generation_without_pruned_networks_does_not_speak_of_them(capsys: pytest.CaptureFixture[str]) -> None:
    Screen(24).generation(Generation(12, (), WHOLE | {"pruned": 0, "failed": 2}))
    shown = of(capsys.readouterr().out)
    assert shown == "generation 12  networks 8    best 0.9916  median 0.9889  depth 31..64  failed 2"


def test_what_a_generation_has_not_is_a_dash(capsys: pytest.CaptureFixture[str]) -> None:
    nothing = dict.fromkeys(("best", "median", "min_depth", "max_depth"))
    Screen(24).generation(Generation(0, (), WHOLE | nothing | {"pruned": 0, "failed": 8}))
    assert of(capsys.readouterr().out) == "generation 0   networks 8    best -  median -  depth -  failed 8"


def test_slots_are_a_table_as_the_readme_shows(capsys: pytest.CaptureFixture[str]) -> None:
    found = {"device": "cpu", "precision": "bf16", "threads": 1, "device_name": "x86_64"}
    cores = found | {"pid": 21714, "instruction_set": "AVX512"}
    Screen(8).slots([("slot 0", cores), ("slot 1", cores | {"pid": 9, "instruction_set": None})])
    head, first, second = capsys.readouterr().out.splitlines()
    assert {head, first} <= set((ROOT / "README.md").read_text().splitlines())
    assert second == "slot 1   cpu    bf16      1              9  x86_64"


def test_the_end_names_the_best_network_and_what_to_do_next(capsys: pytest.CaptureFixture[str]) -> None:
    breeding = strategy("random", settings(generations=3))
    best = record(Result("ok", {"val_accuracy": 0.99721, "val_loss": 0.1}))
    breeding.hall_of_fame.update([Individual(best, objectives("val_accuracy"))])
    Screen(8).end(Path("runs/digits-1"), breeding)
    python = interpreter()
    assert capsys.readouterr().out == (
        "\nbest: runs/digits-1/best -> models/a1b2c3\n"
        f"      val_accuracy 0.9972, depth 3, 2 convolutions, {GRAPH.params:,} parameters\n\n"
        f"next: {python} -m populations show runs/digits-1\n"
        f"      {python} -m populations replay runs/digits-1 best --test\n"
        f"      {python} evolve.py --resume runs/digits-1 --generations 6\n"
    )


def test_a_search_in_which_all_failed_ends_with_where_to_look(capsys: pytest.CaptureFixture[str]) -> None:
    Screen(8).end(Path("runs/r"), strategy("random", settings()))
    expected = f"no network finished ok; see the logs: {interpreter()} -m populations show runs/r\n"
    assert capsys.readouterr().out == expected


@pytest.mark.parametrize(
    ("path", "shown"),
    [("CWD/.venv/bin/python", ".venv/bin/python"), ("CWD/bin/python", "python"), ("/opt/python", "/opt/python")],
)
def test_the_interpreter_is_named_as_its_user_types_it(
    path: str, shown: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_path = tmp_path / "bin" / "python"
    on_path.parent.mkdir()
    on_path.touch(mode=0o755)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / ("work" if shown == "python" else ""))
    monkeypatch.setenv("PATH", str(on_path.parent))
    monkeypatch.setattr(sys, "executable", path.replace("CWD", str(tmp_path)))
    assert interpreter() == shown


# On a terminal


@contextmanager
def terminal(shown: list[str]) -> Iterator[None]:
    """Make standard output a terminal meanwhile; in the end `shown` has what its user saw."""
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w") as file, redirect_stdout(file):
        yield
    with os.fdopen(ours, "rb", buffering=0) as screen, suppress(OSError):  # which ends what was written
        while piece := screen.read(4096):
            shown.append(piece.decode(errors="replace"))


def test_a_terminal_shows_a_bar_with_what_is_done_and_the_best_so_far(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    breeding, shown = strategy("random", settings()), list[str]()
    best = record(Result("ok", {"val_accuracy": 0.75, "val_loss": 0.1}))
    with terminal(shown), Screen(24) as screen:
        screen.told(best)
        screen.told(best)
        breeding.hall_of_fame.update([Individual(best, objectives("val_accuracy"))])
        screen.update(Pool([], nothing), breeding)
        screen.line("above the bar")
    assert re.search(r"2/24\S* 0 in flight · 0/h · busy 0% · best val_accuracy 0\.7500", "".join(shown))
    assert "above the bar" in "".join(shown)


def test_a_pipe_shows_no_bar(capsys: pytest.CaptureFixture[str]) -> None:
    with Screen(24) as screen:
        screen.told(record(Result("ok", {"val_accuracy": 0.75})))
        screen.update(Pool([], nothing), strategy("random", settings()))
    assert capsys.readouterr() == ("", "")
