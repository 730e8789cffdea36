"""What a search shows while it runs: lines in a file or pipe, a bar above them on a terminal."""

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from pathlib import Path
from threading import Thread

import pytest

from cgp import Genome, Graph, Shape
from evaluate.job import Job, Result
from evaluate.metrics import objectives
from evaluate.pool.pool import Pool
from fakes import Silent
from harness import ROOT, TINY, start_cold, wait_for
from populations.record import Candidate, Generation, Record
from populations.search.cost import CostModel, Point
from populations.search.observers import Observers
from populations.search.outlook import Outlook
from populations.search.racing import Race
from populations.search.schedule import Schedule
from populations.strategies import strategy
from populations.strategies.breeding import Individual
from populations.terminal.programs import interpreter
from populations.terminal.screen import Screen
from test_strategies import settings

GRAPH = Graph.chain(["conv_32_3", "maxpool", "conv_64_3"], Shape(1, 8, 8), 10)
WHOLE = {
    "networks": 24, "best": 0.99, "best_so_far": 0.99164, "median": 0.97493, "min_depth": 21, "max_depth": 69,
    "pruned": 9, "failed": 0,
}  # fmt: skip
HEAD = "gen  best so far    ok  pruned  failed  median of ok  survivors' depth      time"


def record(result: Result) -> Record:
    return Record(Candidate(0, 0, None, Genome((0, 0, 3)), GRAPH), "a1b2c3", result)


def nothing(job: Job) -> Result:
    return Result("ok")


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


def rows(generations: list[Generation], capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Return the lines of finished generations without the time since the search began, at their end."""
    screen = Screen(24)
    for generation in generations:
        screen.generation(generation)
    lines = capsys.readouterr().out.splitlines()
    assert all(len(line) <= 80 for line in lines)
    return [line if line == HEAD else line[:-8].rstrip() for line in lines]


def test_a_generation_is_the_row_of_a_table_that_the_readme_shows(capsys: pytest.CaptureFixture[str]) -> None:
    head, row = rows([Generation(0, (), WHOLE)], capsys)
    readme = (ROOT / "README.md").read_text().splitlines()
    assert readme[readme.index(head) + 1][:-8].rstrip() == row


def test_a_row_tells_whose_figures_it_shows(capsys: pytest.CaptureFixture[str]) -> None:
    """Best of all so far; how the generation's networks ended, and the median of those that did ok; who survives."""
    row = Generation(12, (), WHOLE | {"networks": 9, "pruned": 4, "failed": 2})
    assert rows([row], capsys) == [HEAD, " 12       0.9916     3       4       2        0.9749            21..69"]


def test_what_a_generation_has_not_is_a_dash(capsys: pytest.CaptureFixture[str]) -> None:
    nothing = dict.fromkeys(("best", "best_so_far", "median", "min_depth", "max_depth"))
    found = rows([Generation(0, (), WHOLE | nothing | {"pruned": 0, "failed": 24})], capsys)
    assert found[1].split() == ["0", "-", "0", "0", "24", "-", "-"]


def test_the_head_of_the_table_comes_again_in_a_long_search(capsys: pytest.CaptureFixture[str]) -> None:
    found = rows([Generation(number, (), WHOLE) for number in range(45)], capsys)
    assert len(found) == 48
    assert [n for n, line in enumerate(found) if line == HEAD] == [0, 21, 42]


def test_the_folder_is_shown_with_the_time_and_room_that_the_search_takes(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Screen(24).folder(Path(), 473_000_000, "about 3 to 6 minutes")
    Screen(24).folder(Path(), 473_000_000)
    first, second = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"\.: 24 networks, about 3 to 6 minutes, 473 MB on disk \(\d+(\.\d)? [MG]B free\)", first)
    assert second == first.replace("about 3 to 6 minutes, ", "")


def test_how_many_images_are_trained_and_validated_on_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    Screen().images("digits", 1078, 359)
    assert capsys.readouterr().out == "digits: train 1,078 images, validation 359\n"


def test_slots_are_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    found = {"device": "cpu", "precision": "fp32", "threads": 1, "device_name": "x86_64"}
    cores = found | {"pid": 3316, "instruction_set": "AVX2"}
    Screen(8).slots([("slot 0", cores), ("slot 1", cores | {"pid": 9, "instruction_set": None})])
    head, first, second = capsys.readouterr().out.splitlines()
    assert head == "slot     device precision threads  process  computes with"
    assert first == "slot 0   cpu    fp32      1           3316  x86_64 AVX2"
    assert second == "slot 1   cpu    fp32      1              9  x86_64"


def test_the_end_names_the_best_network_and_what_to_do_next(capsys: pytest.CaptureFixture[str]) -> None:
    breeding = strategy("random", settings(generations=3))
    best = record(Result("ok", {"val_accuracy": 0.99721, "val_loss": 0.1}))
    breeding.hall_of_fame.update([Individual(best, objectives("val_accuracy"))])
    Screen(8).end(Path("runs/digits-1"), breeding, True)
    python = interpreter()
    assert capsys.readouterr().out == (
        "\nbest: runs/digits-1/best -> models/a1b2c3\n"
        f"      val_accuracy 0.9972, depth 3, 2 convolutions, {GRAPH.params:,} parameters\n\n"
        f"next: {python} -m populations show runs/digits-1\n"
        f"      {python} -m populations replay runs/digits-1 best --test\n"
        f"      {python} -m populations report runs/digits-1 --out digits-1.html\n"
        f"      {python} evolve.py --resume runs/digits-1 --generations 6\n"
    )


def test_without_its_extra_the_report_is_not_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "plotly", None)
    breeding = strategy("random", settings(generations=3))
    best = record(Result("ok", {"val_accuracy": 0.99721, "val_loss": 0.1}))
    breeding.hall_of_fame.update([Individual(best, objectives("val_accuracy"))])
    Screen(8).end(Path("runs/digits-1"), breeding, True)
    assert " report " not in capsys.readouterr().out


def test_a_search_that_was_stopped_says_how_it_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    Screen(8).end(Path("runs/r"), strategy("random", settings()), False)
    assert capsys.readouterr().out == f"stopped; go on with: {interpreter()} evolve.py --resume runs/r\n"


def test_a_quiet_screen_shows_nothing(make_job: Callable[..., Job]) -> None:
    shown = list[str]()
    with terminal(shown), Screen(8, quiet=True) as screen:
        screen.begin(24)
        screen.told(record(Result("timeout", error="not done after 5 s")))
        bar(screen, [make_job()])
        screen.end(Path("runs/r"), strategy("random", settings()), True)
    assert shown == []


def test_a_search_in_which_all_failed_ends_with_where_to_look(capsys: pytest.CaptureFixture[str]) -> None:
    Screen(8).end(Path("runs/r"), strategy("random", settings()), True)
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


def open_terminal() -> tuple[int, int]:
    """Return the ends of a terminal of 80 columns: its user's, and that of what runs on it."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    return ours, theirs


@contextmanager
def watched(ours: int) -> Iterator[bytearray]:
    """Gather what is written on a terminal meanwhile, until nobody has it open any more."""
    written = bytearray()

    def drain() -> None:
        with suppress(OSError):  # which ends what was written
            while piece := os.read(ours, 4096):
                written.extend(piece)

    reader = Thread(target=drain)
    reader.start()
    yield written
    reader.join()
    os.close(ours)


@contextmanager
def terminal(shown: list[str]) -> Iterator[None]:
    """Make standard output a terminal meanwhile; in the end `shown` has the lines that its user saw."""
    ours, theirs = open_terminal()
    with watched(ours) as written, os.fdopen(theirs, "w") as file, redirect_stdout(file):
        yield
    shown += lines_of(written)


def lines_of(written: bytes | bytearray) -> list[str]:
    """Return what stood in the lines of a terminal, in the order in which it was drawn, without colours."""
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", written.decode())
    return [line.rstrip() for line in re.split(r"[\r\n]+", text) if line.strip()]


def look(jobs: Sequence[Job] = (), schedule: Schedule | None = None, total: int = 24) -> Outlook:
    """Return the outlook of a search in which `jobs` run, each in a slot of its own."""
    searching = strategy("random", settings(population=total, generations=1))
    pool = Pool([Silent(f"slot {n}") for n in range(max(1, len(jobs)))], nothing)
    for job in jobs:
        pool.submit(job)
    best = record(Result("ok", {"val_accuracy": 0.75, "val_loss": 0.1}))
    searching.hall_of_fame.update([Individual(best, objectives("val_accuracy"))])
    return Outlook(Schedule() if schedule is None else schedule, pool, searching, 4)


def bar(screen: Screen, jobs: Sequence[Job] = (), schedule: Schedule | None = None, total: int = 24) -> None:
    """Show how far that search is."""
    screen.update(look(jobs, schedule, total).standing())


@pytest.fixture(autouse=True)
def xterm(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the terminal's own size and colours be used."""
    monkeypatch.setenv("TERM", "xterm")
    for name in ("COLUMNS", "LINES", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)


def test_a_terminal_shows_what_is_done_the_time_left_and_the_best_so_far() -> None:
    shown, schedule = list[str](), Schedule(cost=CostModel([Point(1e-9 * GRAPH.flops, 2.0, 60.0)]))
    with terminal(shown), Screen() as screen:
        screen.begin(24)
        for _ in range(2):
            screen.told(record(Result("ok", {"val_accuracy": 0.75})))
            schedule.hear(record(Result("ok", {"val_accuracy": 0.75})))
        bar(screen, schedule=schedule)
        screen.line("above the bar")
    assert re.search(r"━+ 2/24 · 0:00:0\d so far, about 88 min left$", shown[0])  # 22 trainings of four minutes
    assert re.match(r"best val_accuracy 0\.7500 · 0 finished an hour · 0 failed · busy 0%", shown[1])
    assert "above the bar" in shown


def test_each_slot_shows_what_it_trains_and_its_epoch(make_job: Callable[..., Job]) -> None:
    fresh, later = make_job("fresh", epochs=4), make_job("later", epochs=4)
    raced = Race((2,), 8).enter(make_job("raced", epochs=4))
    for job in (later, raced):
        (Path(job.folder) / "curve.csv").write_text("epoch,lr\n1,0.1\n2,0.1\n")
    shown = list[str]()
    with terminal(shown), Screen() as screen:
        screen.begin(24)
        bar(screen, [fresh, later, raced])
    assert list(dict.fromkeys(line for line in shown if line.startswith("slot"))) == [
        f"slot 0   fresh · depth {fresh.task.model.depth} · {fresh.task.model.flops / 1e6:.1f} MFLOPs · epoch 1 of 4",
        f"slot 1   later · depth {later.task.model.depth} · {later.task.model.flops / 1e6:.1f} MFLOPs · epoch 3 of 4",
        f"slot 2   raced · depth {raced.task.model.depth} · {raced.task.model.flops / 1e6:.1f} MFLOPs · epoch 2 of 4",
    ]


def test_many_slots_and_large_numbers_fit_eighty_columns(make_job: Callable[..., Job]) -> None:
    shown, jobs = list[str](), [make_job(f"{number:012d}", number) for number in range(12)]
    schedule = Schedule(cost=CostModel([Point(1.0, 40.0, 300.0)]))
    schedule.ended = 100_000
    with terminal(shown), Screen() as screen:
        screen.begin(120_000)
        bar(screen, jobs, schedule, total=120_000)
    assert any("/120000 · " in line for line in shown)
    assert "... and 4 more" in shown
    assert max(map(len, shown)) <= 80


def test_the_bar_looks_at_most_once_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    shown, now = list[str](), 100.0
    monkeypatch.setattr("populations.terminal.screen.time.monotonic", lambda: now)
    with terminal(shown), Screen() as screen:
        screen.begin(24)
        outlook, observers = look(), Observers([screen])
        for count in range(50):
            now = 100 + count / 10  # five seconds
            observers.update(outlook)
    moments = {line.partition(" so far")[0][-1] for line in shown if " so far" in line}
    assert moments == {"0", "1", "2", "3", "4"}
    assert sum(" so far" in line for line in shown) <= 2 * 5  # once, and once more where a line comes above


def test_failures_are_in_colour_on_a_terminal_alone(capsys: pytest.CaptureFixture[str]) -> None:
    broken = record(Result("oom", error="no room"))
    ours, theirs = open_terminal()
    with watched(ours) as written, os.fdopen(theirs, "w") as file, redirect_stdout(file):
        Screen(8).told(broken)
    assert written.startswith(b"\x1b[31m  a1b2c3 oom: no room")
    Screen(8).told(broken)
    assert capsys.readouterr().out == "  a1b2c3 oom: no room\n"


def test_a_pipe_shows_no_bar(capsys: pytest.CaptureFixture[str]) -> None:
    with Screen() as screen:
        screen.begin(24)
        screen.told(record(Result("ok", {"val_accuracy": 0.75})))
        bar(screen)
    assert capsys.readouterr() == ("", "")


# As its user sees it


def await_match(pattern: bytes, written: bytearray) -> None:
    deadline = time.monotonic() + 120
    while not re.search(pattern, written):
        assert time.monotonic() < deadline, written.decode()
        time.sleep(0.02)


def test_a_search_fits_a_terminal_of_eighty_columns_and_stops_when_asked(tmp_path: Path) -> None:
    ours, theirs = open_terminal()
    command = [sys.executable, str(ROOT / "evolve.py"), *TINY, "--epochs", "100000", "--workers", "2"]
    with watched(ours) as written:
        process = subprocess.Popen(
            command, cwd=tmp_path, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
        )
        os.close(theirs)
        try:
            await_match(rb"epoch ([2-9]|\d{2,}) of 100000", written)  # the bar looks at what its workers have done
            process.send_signal(signal.SIGINT)
            assert process.wait(120) == 130
        finally:
            process.kill()
            process.wait()
    lines = lines_of(written)
    assert lines[:2] == ["reading the images of digits", "digits: train 120 images, validation 100"]
    assert any(re.match(r"runs/digits-1: 9 networks, about .* on disk", line) for line in lines)
    assert "stopping after this epoch; again to stop now" in lines
    assert lines[-1].endswith("evolve.py --resume runs/digits-1")
    assert max(len(line) for line in lines if sys.executable not in line) <= 80  # a path may be long


def test_whoever_stops_at_once_is_told_the_folder(tmp_path: Path) -> None:
    slow = ("--no-racing", "--function-set", "conv_64_5", "--num-min-depth", "60", "--num-max-depth", "60")
    process = start_cold(*slow, "--run", "mine", "--workers", "1", cwd=tmp_path)
    wait_for(tmp_path / "mine", "models/*/genome.json", 1, process)
    assert process.stdout is not None
    process.send_signal(signal.SIGINT)
    said = ""
    while not said.startswith("stopping"):
        said = process.stdout.readline()
        assert said
    assert said == "stopping after this epoch; again to stop now\n"
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=60)[0]
    assert process.returncode == 130
    assert re.search(r"^stopped at once; go on with: .*evolve\.py --resume mine$", said, re.MULTILINE)
