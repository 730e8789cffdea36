"""`make gpu-check`, and what lets a long benchmark go on: what of them can be told without a GPU."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import pytest
import torch

from benchmarks import gpu_check, measure
from benchmarks.__main__ import main as benchmark_main
from benchmarks.gpu_check import Part, check, main, parts
from benchmarks.measure import Kept, in_turn
from benchmarks.peer import Ours, Timed

LONG_S = 60.0


@pytest.fixture(autouse=True)
def no_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let results be of a made-up machine."""
    for module in (gpu_check, measure):
        monkeypatch.setattr(module, "hardware", lambda: "a GPU")


def script(name: str, text: str, after: str = "") -> Part:
    """Return a part that is a few lines of Python."""
    return Part(name, lambda: ("-c", text), after)


def test_without_a_gpu_there_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert main([]) == 2
    found = capsys.readouterr()
    line = "gpu_check: error: no GPU: torch finds no CUDA device here; run this on a machine that has one\n"
    assert (found.out, found.err) == ("", line)


def test_parts_run_in_their_order_whatever_order_they_are_named_in(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ran = list[tuple[list[str], float]]()

    def noted(chosen: Sequence[Part], folder: Path, seconds: float) -> bool:
        ran.append(([part.name for part in chosen], seconds))
        return True

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(gpu_check, "check", noted)
    assert main([]) == main(["replay", "trainer", "--minutes", "2"]) == 0
    everything = ["tests", "trainer", "scaling", "peer", "search", "replay"]
    assert ran == [(everything, 540), (["trainer", "replay"], 120)]
    assert main(["trainer", "speed"]) == 2
    expected = f"gpu_check: error: PART: speed; expected some of {', '.join(everything)}\n"
    assert capsys.readouterr().err == expected


def test_a_part_that_is_done_is_not_run_again_and_one_that_failed_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It keeps no other from running, but those that come after it in their work."""
    good = script("good", f"open({str(tmp_path / 'ran')!r}, 'a').write('x'); print('well'); print('done')")
    bad = script("bad", "import sys; sys.exit('no images')")
    after = script("after", "", after="bad")
    folder = tmp_path / "found"
    assert not check([bad, after, good], folder, LONG_S)
    said = capsys.readouterr().out
    assert "  no images\nbad: failed with exit code 1; " in said
    assert "after: waits until bad is done\n" in said
    found = json.loads((folder / "good.json").read_text())
    assert (found["part"], found["output"], found["hardware"]) == ("good", ["well", "done"], "a GPU")
    mended = script("bad", "print('images')")
    assert check([mended, after, good], folder, LONG_S)
    assert (tmp_path / "ran").read_text() == "x"
    assert (folder / "bad.txt").read_text() == "no images\nimages\n"
    assert json.loads((folder / "bad.json").read_text())["output"] == ["images"]


def test_a_part_is_ended_in_time_and_goes_on_at_the_next_call(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Asked first, as a search lets its epochs end; then by force."""
    note = f"from pathlib import Path\nnotes = Path({str(tmp_path / 'notes')!r})\n"
    hang = "import signal, time\nsignal.signal(signal.SIGTERM, {})\nnotes.touch()\ntime.sleep(60)"
    polite = note + hang.format("lambda *_: (notes.write_text('half'), exit(130))")
    second = note + "print(notes.read_text())"
    part = Part("search", lambda: ("-c", second if (tmp_path / "notes").exists() else polite))
    assert not check([part], tmp_path, 3.0)
    assert "search: not done after " in capsys.readouterr().out
    assert not (tmp_path / "search.json").exists()
    assert check([part], tmp_path, LONG_S)
    assert json.loads((tmp_path / "search.json").read_text())["output"] == ["half"]
    stubborn = script("stubborn", note + hang.format("signal.SIG_IGN"))
    assert not check([stubborn], tmp_path, 1.0, grace=0.2)


def test_a_search_is_begun_once_and_then_resumed(tmp_path: Path) -> None:
    found = {part.name: part for part in parts(tmp_path, "photos", "digits")}
    first = list(found["search"].program())
    assert first[:3] == ["evolve.py", "--dataset", f"folder:{Path('photos').absolute()}"]
    run = first[first.index("--run") + 1]
    Path(run).mkdir()
    (Path(run) / "config.json").touch()
    assert found["search"].program() == ("evolve.py", "--resume", run)
    assert found["replay"].program() == ("-m", "populations", "replay", run, "best", "--test")
    assert found["peer"].program()[-2:] == ("--data-dir", str(Path("digits").absolute()))


# Benchmarks that go on


class Killed(Exception):
    """Stands for the end of a process."""


def counter(counts: list[float], last: int) -> Callable[[], float]:
    """Return an arm that counts its calls and is killed at the one after `last`."""

    def arm() -> float:
        if len(counts) == last:
            raise Killed
        counts.append(len(counts))
        return counts[-1]

    return arm


def test_a_killed_benchmark_goes_on_at_the_turn_it_was_killed_in(tmp_path: Path) -> None:
    path, calls, others = tmp_path / "far" / "kept.json", list[float](), list[float]()
    with pytest.raises(Killed):
        in_turn({"a": counter(calls, 5), "b": counter(others, 3)}, 4, kept=Kept(path))
    assert (calls, others) == ([0, 1, 2, 3], [0, 1, 2])  # a turn to warm up, two whole ones, half a one
    del calls[:], others[:]
    found = in_turn({"a": counter(calls, 9), "b": counter(others, 9)}, 4, kept=Kept(path))
    assert found == {"a": [1, 2, 1, 2], "b": [1, 2, 1, 2]}
    assert in_turn({"a": counter(calls, 0), "b": counter(others, 0)}, 4, kept=Kept(path)) == found


def test_what_was_kept_on_another_machine_does_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Kept(tmp_path / "kept.json").found("speed", lambda: 1) == 1
    assert Kept(tmp_path / "kept.json").found("speed", lambda: 2) == 1
    monkeypatch.setattr(measure, "hardware", lambda: "another GPU")
    assert Kept(tmp_path / "kept.json").found("speed", lambda: 3) == 3


def test_peer_keeps_its_passes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran = list[tuple[int, int]]()

    def run(ours: Ours, trained: Any, seed: int) -> Timed:
        ran.append((trained.epochs, seed))
        return Timed(1.5, [0.25, 0.5])

    monkeypatch.setattr(Ours, "_run", run)
    nothing = cast(Any, None)
    for _ in range(2):
        ours = Ours(nothing, nothing, [], tmp_path, Kept(tmp_path / "kept.json"))
        assert [ours.timed(2, seed) for seed in (0, 1, 0)] == [Timed(1.5, [0.25, 0.5])] * 3
    assert ran == [(2, 0), (2, 1)]


def test_a_benchmark_that_cannot_go_on_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["benchmarks", "sampling", "--keep", str(tmp_path)])
    assert benchmark_main() == 2
    assert capsys.readouterr().err == (
        "benchmarks: error: --keep: sampling cannot go on where it was killed; expected one of peer, peer_shallow, "
        "scaling, trainer, or no --keep\n"
    )
