"""A run reads wherever it lies: on read-only media, without the files that SQLite keeps beside a journal."""

import shutil
import sqlite3
import sys
from pathlib import Path

import pytest

from harness import TINY, old_runs, on_read_only_media, program
from populations.run_folder.journal import Journal
from populations.run_folder.lock import Lock
from populations.run_folder.store import Store
from test_store import PLAN, begun, candidate, ok, opened

TABLES = """
import sys
from cgp.errors import BadInput
from populations import load
for name in sys.argv[1:]:
    try:
        models = load(name).models
        print(name, len(models), models['val_accuracy'].count(), 'test_accuracy' in models)
    except BadInput as error:
        print(name, error)
"""


def counts(journal: Journal) -> tuple[int, int]:
    """Return how many jobs and results a journal has."""
    ((jobs, results),) = journal.tuples("select (select count(*) from jobs), (select count(*) from results)")
    return jobs, results


def beside(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("run.sqlite-*"))


def test_a_finished_search_is_read_and_replayed_on_read_only_media(tmp_path: Path) -> None:
    done = program(*TINY, "--generations", "1", "--population", "1", "--workers", "1", "--run", "r", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert beside(tmp_path / "r") == []
    commands = '"$0" -m populations show r && "$0" -m populations replay r --test'
    again = on_read_only_media(tmp_path, "sh", "-c", commands, sys.executable)
    assert (again.returncode, again.stderr) == (0, "")
    assert "conv_layers" in again.stdout
    assert "identical to the bit" in again.stdout
    assert "not recorded: [Errno 30] Read-only file system" in again.stdout


def test_what_a_driver_left_unclosed_is_read_whole_on_read_only_media(tmp_path: Path) -> None:
    """With the log that SQLite keeps beside it, also where its index was not copied; it holds the test score."""
    folder = old_runs(tmp_path / "media")
    shutil.copytree(folder / "plain", folder / "copied", symlinks=True)
    (folder / "copied" / "run.sqlite-shm").unlink()
    shutil.copytree(folder / "copied", folder / "driven", symlinks=True)
    shutil.copytree(folder / "inherited", folder / "alone", symlinks=True)
    for name in beside(folder / "alone"):
        (folder / "alone" / name).unlink()
    lock = Lock(folder / "driven")
    names = ("plain", "copied", "inherited", "alone", "driven")
    done = on_read_only_media(folder, sys.executable, "-c", TABLES, *names)
    lock.release()
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "plain 6 6 True",
        "copied 6 6 True",
        "inherited 9 9 False",
        "alone 9 9 False",
        "driven driven: a search is writing here, and its journal cannot be read yet; wait for its end",
    ]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A run with one finished job, and one that is open."""
    made = begun(tmp_path / "r", PLAN)
    made.close(opened(made, candidate(0)), ok(0.5))
    opened(made, candidate(1))
    return made


def test_a_reader_keeps_a_search_from_nothing(store: Store) -> None:
    """It may hold the run open while a search ends, begins again, and ends again."""
    path = store.folder / "run.sqlite"
    early = Journal(path)
    assert counts(early) == (2, 1)
    store.end()
    late = Journal(path)
    early.close()
    late_again = [counts(late)]
    resumed = Store(store.folder, PLAN)
    resumed.close(opened(resumed, candidate(1)), ok(0.75))
    late_again.append(counts(late))
    resumed.end()
    late_again.append(counts(late))
    late.close()
    assert late_again == [(2, 1), (2, 2), (2, 2)]
    Store(store.folder, PLAN).end()
    assert beside(store.folder) == []


def test_a_transaction_that_was_cut_off_is_undone_for_readers(store: Store, tmp_path: Path) -> None:
    """As where the power went while a journal was being closed; a reader may not write to the folder itself."""
    store.end()
    other = tmp_path / "other"
    other.mkdir()
    database = sqlite3.connect(store.folder / "run.sqlite", isolation_level=None)
    database.execute("pragma cache_size=1")
    database.execute("begin")
    database.execute("update tasks set genome = hex(zeroblob(100000))")  # spills to the file
    for path in store.folder.glob("run.sqlite*"):
        shutil.copyfile(path, other / path.name)
    database.close()
    assert beside(other) == ["run.sqlite-journal"]
    before = {path.name: path.read_bytes() for path in other.iterdir()}
    journal = Journal(other / "run.sqlite")
    assert counts(journal) == (2, 1)
    assert all(len(row["genome"]) < 9_999 for row in journal.select("select genome from tasks"))
    journal.close()
    assert {path.name: path.read_bytes() for path in other.iterdir()} == before
