"""What a search does when its images, its journal or its folder are no longer what they were. Real processes."""

import os
import shutil
import signal
import sqlite3
import subprocess
from pathlib import Path

from harness import TINY, make_images, program, start, wait_for, workers_of
from populations import load

IMAGES = (*TINY, "--dataset", "folder:images", "--train-size", "60", "--workers", "1")


def test_images_that_change_during_a_search_end_it_until_they_are_restored(tmp_path: Path) -> None:
    """A worker that is started anew, as after a crash, would read them."""
    make_images(tmp_path / "images")
    image = tmp_path / "images" / "dark" / "0.png"
    shutil.copy2(image, tmp_path / "kept.png")
    process = start(*IMAGES, "--epochs", "200", "--generations", "1", "--run", "r", cwd=tmp_path)
    wait_for(tmp_path / "r", "models/*/curve.csv", 1, process)
    image.unlink()
    os.kill(workers_of(process)[0], signal.SIGKILL)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 2, output
    assert "folder:" in output.splitlines()[-1]
    assert "the images have changed since the search began, their fingerprint is" in output.splitlines()[-1]
    assert output.endswith("restore them, then --resume r\n")
    assert set(load(tmp_path / "r").models["status"]) <= {"open", "ok"}
    shutil.copy2(tmp_path / "kept.png", image)
    done = program("--resume", "r", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert set(load(tmp_path / "r").models["status"]) == {"ok"}


def refused(done: "subprocess.CompletedProcess[str]") -> str:
    """Return the one line of a search that was not begun."""
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    return done.stderr


def test_a_run_whose_journal_is_damaged_or_lost_is_not_resumed(tmp_path: Path) -> None:
    done = program(*TINY, "--workers", "1", "--generations", "1", "--run", "r", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    run, path = tmp_path / "r", tmp_path / "r" / "run.sqlite"
    with sqlite3.connect(path) as database:
        (page,) = database.execute("select rootpage from sqlite_master where name = 'details'").fetchone()
        (size,) = database.execute("pragma page_size").fetchone()
    database.close()
    content = bytearray(path.read_bytes())
    content[(page - 1) * size : page * size] = bytes(size)
    path.write_bytes(content)
    assert "r/run.sqlite: damaged (" in refused(program("--resume", "r", cwd=tmp_path))

    path.unlink()
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file() and path.name != "lock"}
    said = refused(program("--resume", "r", "--generations", "2", cwd=tmp_path))
    assert "r/run.sqlite: missing or empty, though the run has models" in said
    assert before == {path: path.read_bytes() for path in run.rglob("*") if path.is_file() and path.name != "lock"}
