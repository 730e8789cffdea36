import errno
import json
import math
import os
import signal
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cgp import BadInput, Shape, Space, draw
from evaluate.files import BEST, LAST, epoch_file
from evaluate.job import SEARCH, DataSpec, Job, Key, Result, recipe
from evaluate.metrics import objectives
from evaluate.pool.pool import Pool
from fakes import AtOnce
from populations import load
from populations.reading.frame import MODEL_COLUMNS
from populations.record import Candidate, Generation, Record
from populations.run_folder.folder import create_next_run, create_run, next_run
from populations.run_folder.lock import Lock
from populations.run_folder.store import Plan, Store
from populations.search.loop import search
from populations.search.observers import Observers
from populations.search.schedule import Schedule
from populations.strategies import Settings, strategy
from test_job import raiser

SPACE = Space("vgg", 2, 5, Shape(1, 8, 8), 10)
PLAN = Plan(SPACE, recipe("fast"), DataSpec("digits"), 0, True, "all")


def candidate(number: int, like: int | None = None, generation: int = 0, parent: int | None = None) -> Candidate:
    """A candidate; `like` another number has that one's graph."""
    genome = draw(SPACE, np.random.default_rng(number if like is None else like))
    bred_from = None if parent is None else Key(SEARCH, parent)
    return Candidate(number, generation, bred_from, genome, genome.graph(SPACE))


def ok(accuracy: float = 0.5) -> Result:
    row = {"epoch": 1.0, "val_accuracy": accuracy, "val_loss": 1.0, "seconds": 2.0}
    return Result("ok", {"val_accuracy": accuracy, "val_loss": 1.0}, [row], 2.0, 100.0)


def begun(folder: Path, plan: Plan = PLAN) -> Store:
    """The store of a run that is made."""
    return Store(folder, plan, create_run(folder, {"function_set": "vgg", "dataset": "digits"}))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = begun(tmp_path / "r")
    yield made
    made.end()


def opened(store: Store, asked: Candidate) -> Job:
    job = store.open(asked)
    assert job is not None
    return job


def reopened(store: Store, plan: Plan = PLAN) -> Store:
    store.end()
    return Store(store.folder, plan)


def retry(store: Store, result: Result) -> None:
    """Try the one job that failed again."""
    (asked,) = store.failed()
    store.close(opened(store, asked), result)
    assert [record.result for record in store.news()] == [result]


def test_a_job_is_written_before_it_is_sent(store: Store) -> None:
    job = opened(store, candidate(0))
    assert (Path(job.folder) / "genome.json").exists()
    models = load(store.folder).models
    assert list(models["status"]) == ["open"]
    assert models["val_accuracy"].isna().all()


def test_a_result_is_heard_once_and_its_row_is_complete(store: Store) -> None:
    store.close(opened(store, candidate(0)), ok(0.75))
    assert [record.result for record in store.news()] == [ok(0.75)]
    assert list(store.news()) == []
    row = load(store.folder).models.iloc[0]
    assert tuple(row.index) == MODEL_COLUMNS
    assert (row["status"], row["val_accuracy"], row["epochs"], row["seconds"]) == ("ok", 0.75, 1, 2.0)


def test_no_result_is_written_before_its_weights_are_on_the_disk(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    again = opened(store, candidate(1))
    monkeypatch.setattr("os.fsync", raiser(OSError(errno.EIO, "Input/output error")))
    for asked in (candidate(0), replace(candidate(0), again=True)):
        job = opened(store, asked)
        (Path(job.folder) / BEST).touch()
        with pytest.raises(OSError, match="Input/output error"):
            store.close(job, ok())
        assert store.journal.latest_result(Key(SEARCH, 0)) is None
    store.close(again, Result("failed", error="broke in its first epoch"))  # there are no weights to wait for
    assert [record.result.status for record in store.news()] == ["failed"]


def test_a_free_slot_waits_neither_for_results_nor_for_the_rest_of_its_generation(tmp_path: Path) -> None:
    opened, busy = list[tuple[int, int]](), []

    class Watched(Store):
        def open(self, candidate: Candidate) -> Job | None:
            opened.append((pool.busy, candidate.model.flops))
            return super().open(candidate)

        def close(self, job: Job, result: Result) -> None:
            busy.append(pool.busy)
            super().close(job, result)

    folder = tmp_path / "r"
    pool, watched = (
        Pool([AtOnce()], lambda job: ok()),
        Watched(folder, replace(PLAN, cache=False), create_run(folder, {})),
    )
    breeding = strategy("random", Settings(SPACE, objectives("val_accuracy"), 0, 3, 3, 2, 0.1))
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    try:
        assert search(breeding, Schedule(), pool, watched, Observers())
    finally:
        signal.signal(signal.SIGINT, handlers[0])
        signal.signal(signal.SIGTERM, handlers[1])
        watched.end()
    assert busy == [1, 1, 0, 1, 1, 0]  # 0: a generation waits for its last result
    assert [working for working, _ in opened] == [0, 1, 1] * 2
    assert opened[0][1] > opened[1][1] > opened[2][1]  # the longest-expected is sent at once


def test_a_resumed_run_answers_from_its_journal(store: Store) -> None:
    store.close(opened(store, candidate(0)), ok())
    unfinished = opened(store, candidate(1))
    again = reopened(store)
    assert again.open(candidate(0)) is None
    assert [record.candidate.number for record in again.news()] == [0]
    assert again.open(candidate(1)) == unfinished
    again.end()


def test_an_equal_graph_takes_over_the_result(store: Store) -> None:
    first = opened(store, candidate(0))
    store.close(first, ok(0.6))
    assert store.open(candidate(1, like=0)) is None
    assert [record.result.metrics["val_accuracy"] for record in store.news()] == [0.6, 0.6]
    models = load(store.folder).models
    assert list(models["same_as"].fillna("")) == ["", first.id]
    assert list(models["seconds"]) == [2.0, 0.0]


def test_an_equal_graph_in_flight_is_waited_for(store: Store) -> None:
    first = opened(store, candidate(0))
    assert store.open(candidate(1, like=0)) is None
    assert list(store.news()) == []
    store.close(first, ok(0.6))
    assert [record.candidate.number for record in store.news()] == [0, 1]


def test_equal_graphs_are_trained_each_when_asked(tmp_path: Path) -> None:
    store = begun(tmp_path / "r", replace(PLAN, cache=False))
    first, second = opened(store, candidate(0)), opened(store, candidate(1, like=0))
    assert first.seed != second.seed
    store.end()


def test_another_search_is_not_mistaken_for_this_one(store: Store) -> None:
    opened(store, candidate(0))
    with pytest.raises(BadInput, match=r"job 0 of search is .* in the journal"):
        store.open(candidate(0, like=5))


def test_best_always_points_to_the_best(store: Store) -> None:
    for number, accuracy in enumerate((0.4, 0.6)):
        store.close(opened(store, candidate(number)), ok(accuracy))
        (record,) = store.news()
        store.set_best(record, record)
        assert (store.folder / "best").resolve().name == record.id


def test_keep_best_drops_the_weights_of_others_only(tmp_path: Path) -> None:
    store = begun(tmp_path / "r", replace(PLAN, keep="best"))
    records = []
    for number in range(3):
        job = opened(store, candidate(number))
        for name in (BEST, LAST, epoch_file(0)):
            (Path(job.folder) / name).touch()
        store.close(job, ok())
        records += list(store.news())
        store.set_best(records[min(number, 1)], records[number])
    kept = {path.parent.name for path in store.folder.glob("models/*/*.safetensors")}
    assert kept == {records[1].id}
    store.end()


def test_keep_pareto_keeps_the_weights_of_the_front_as_it_changes(tmp_path: Path) -> None:
    store, records = begun(tmp_path / "r", replace(PLAN, keep="pareto")), list[Record]()
    for number, like in ((0, 0), (1, 1), (2, 1), (3, 3)):  # the third is a copy of the second
        if job := store.open(candidate(number, like=like)):
            for name in (BEST, LAST):
                (Path(job.folder) / name).touch()
            store.close(job, ok())
        records += list(store.news())
    first, second, copy, last = records
    for best, told, front in ((first, first, [first]), (copy, second, [copy, first]), (copy, copy, [copy, first])):
        store.set_best(best, told, front)
    kept = {path.parent.name for path in store.folder.glob("models/*/*.safetensors")}
    assert kept == {first.id, second.id, last.id}
    store.set_best(last, last, [last, second])
    assert {path.parent.name for path in store.folder.glob("models/*/*.safetensors")} == {second.id, last.id}
    store.end()


def test_keep_best_drops_what_was_told_before_there_was_a_best_and_before_a_kill(tmp_path: Path) -> None:
    plan = replace(PLAN, keep="best")
    store, records = begun(tmp_path / "r", plan), list[Record]()

    def heard(number: int) -> None:
        if job := store.open(candidate(number)):
            for name in (BEST, LAST):
                (Path(job.folder) / name).touch()
            store.close(job, ok())
        records.extend(store.news())

    heard(0)
    store.set_best(None, records[-1])  # pruned, say
    heard(1)
    store = reopened(store, plan)  # killed between writing the result and telling it
    for number in (0, 1):
        heard(number)
        store.set_best(records[1], records[-1])
    heard(2)
    store.set_best(records[-1], records[-1])
    assert {path.parent.name for path in store.folder.glob("models/*/*.safetensors")} == {records[-1].id}
    store.end()


def test_while_a_resumed_run_is_retold_best_stays(store: Store) -> None:
    for number in range(2):
        store.close(opened(store, candidate(number)), ok())
    records = list(store.news())
    for record in records:
        store.set_best(record, record)
    again = reopened(store)
    for number in range(2):
        assert again.open(candidate(number)) is None
    first, second = again.news()
    again.set_best(first, first)
    assert (again.folder / "best").resolve().name == second.id
    again.set_best(first, second)
    assert (again.folder / "best").resolve().name == first.id
    again.end()


def test_best_points_to_the_weights_that_a_copy_stands_for(store: Store) -> None:
    first = opened(store, candidate(0))
    store.close(first, ok())
    assert store.open(candidate(1, like=0)) is None
    _, copy = store.news()
    store.set_best(copy, copy)
    assert (store.folder / "best").resolve() == Path(first.folder).resolve()


def test_retry_in_the_generation_under_way_is_told(store: Store) -> None:
    store.close(opened(store, candidate(0)), Result("timeout", error="slow"))
    again = reopened(store)
    assert again.failed() == []
    again.close(opened(again, candidate(0)), ok())
    assert [record.result.status for record in again.news()] == ["ok"]
    again.end()


def test_retry_of_an_earlier_generation_changes_the_table_not_the_history(store: Store) -> None:
    store.close(opened(store, candidate(0)), Result("timeout", error="slow"))
    opened(store, candidate(1, generation=1))
    again = reopened(store)
    retry(again, ok())
    assert again.open(candidate(0)) is None
    assert [record.result.status for record in again.news()] == ["timeout"]
    assert load(again.folder).models["status"][0] == "ok"
    again.end()


@pytest.mark.parametrize("generation", [0, 1])
def test_retry_reaches_the_jobs_that_copied_the_failure(store: Store, generation: int) -> None:
    store.close(opened(store, candidate(0)), Result("timeout", error="slow"))
    assert store.open(candidate(1, like=0, generation=generation)) is None
    opened(store, candidate(2, generation=1))
    again = reopened(store)
    retry(again, ok(0.7))
    assert again.open(candidate(0)) is None
    assert again.open(candidate(1, like=0, generation=generation)) is None
    models = load(again.folder).models
    assert list(models["status"]) == ["ok", "ok", "open"]
    assert list(models["val_accuracy"][:2]) == [0.7, 0.7]
    again.end()


def test_retry_of_the_generation_under_way_is_copied_when_it_comes(store: Store) -> None:
    store.close(opened(store, candidate(0)), Result("timeout", error="slow"))
    assert store.open(candidate(1, like=0)) is None
    again = reopened(store)
    assert again.failed() == []
    job = opened(again, candidate(0))
    assert again.open(candidate(1, like=0)) is None
    again.close(job, ok())
    assert [record.result.status for record in again.news()] == ["ok", "ok"]
    again.end()


def test_snapshot_is_the_population_best_first(store: Store) -> None:
    for number, accuracy in enumerate((0.4, 0.6)):
        store.close(opened(store, candidate(number)), ok(accuracy))
    store.snapshot(Generation(0, (1, 0), {"generation": 0, "best": 0.6}))
    run = load(store.folder)
    assert list(run.population(0)["val_accuracy"]) == [0.6, 0.4]
    assert (store.folder / "snapshots" / "gen_0000.csv").read_text() == run.population(0).to_csv(index=False)
    assert list(run.generations["best"]) == [0.6]


def test_a_snapshot_is_written_again_only_where_it_changed(store: Store) -> None:
    for number, accuracy in enumerate((0.4, 0.6)):
        store.close(opened(store, candidate(number)), ok(accuracy))
    path = store.folder / "snapshots" / "gen_0000.csv"
    store.snapshot(Generation(0, (1, 0), {"generation": 0, "best": 0.6}))
    path.write_text("left alone")
    store.snapshot(Generation(0, (1, 0), {"generation": 0, "best": 0.6}))
    assert path.read_text() == "left alone"
    store.snapshot(Generation(0, (1,), {"generation": 0, "best": 0.6}))
    assert list(pd.read_csv(path)["job"]) == [1]


def test_one_driver_at_a_time(store: Store) -> None:
    with pytest.raises(BadInput, match="another driver holds this run"):
        Store(store.folder, PLAN)


def test_reading_a_run_does_not_need_the_lock(store: Store) -> None:
    opened(store, candidate(0))
    assert len(load(store.folder).models) == 1


def test_runs_are_numbered(tmp_path: Path) -> None:
    assert next_run(tmp_path, "digits") == tmp_path / "digits-1"
    (tmp_path / "digits-1").mkdir()
    assert next_run(tmp_path, "digits") == tmp_path / "digits-2"
    assert next_run(tmp_path, "folder:/my/photos") == tmp_path / "photos-1"


# Who has a folder


def test_searches_that_begin_at_the_same_moment_have_a_folder_each(tmp_path: Path) -> None:
    ready, locks = threading.Barrier(8), list[Lock]()

    def begin(number: int) -> None:
        ready.wait()
        locks.append(create_next_run(tmp_path / "runs", "digits", {"seed": number}))

    threads = [threading.Thread(target=begin, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {lock.folder.name for lock in locks} == {f"digits-{n}" for n in range(1, 9)}
    assert sorted(json.loads((lock.folder / "config.json").read_text())["seed"] for lock in locks) == list(range(8))
    for lock in locks:
        with pytest.raises(BadInput, match="another driver holds this run"):
            Store(lock.folder, PLAN)
        lock.release()


def test_whoever_is_slower_takes_the_next_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = create_run(tmp_path / "digits-1", {"seed": 1})
    found = iter([tmp_path / "digits-1", tmp_path / "digits-2"])  # the first was free when it was looked for
    monkeypatch.setattr("populations.run_folder.folder.next_run", lambda parent, dataset: next(found))
    second = create_next_run(tmp_path, "digits", {"seed": 2})
    assert second.folder == tmp_path / "digits-2"
    assert json.loads((tmp_path / "digits-1" / "config.json").read_text()) == {"seed": 1}
    first.release()
    second.release()


def test_a_folder_that_another_search_has_just_claimed_is_not_written_to(tmp_path: Path) -> None:
    (tmp_path / "r").mkdir()
    other = Lock(tmp_path / "r")
    with pytest.raises(BadInput, match=f"another driver holds this run .process {os.getpid()} on"):
        create_run(tmp_path / "r", {})
    assert [path.name for path in (tmp_path / "r").iterdir()] == ["lock"]
    other.release()
    create_run(tmp_path / "r", {}).release()  # it died before it began
    with pytest.raises(BadInput, match="exists already"):
        create_run(tmp_path / "r", {})


@pytest.mark.parametrize(
    ("name", "said"), [("r" * 300, "cannot be written .File name too long."), (os.fsdecode(b"r\xff"), "no UTF-8")]
)
def test_a_name_that_no_folder_can_have_is_refused(tmp_path: Path, name: str, said: str) -> None:
    with pytest.raises(BadInput, match=said) as caught:
        create_run(tmp_path / name, {})
    str(caught.value).encode()
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [None, b""])
def test_a_run_that_has_lost_its_journal_is_not_begun_anew(store: Store, content: bytes | None) -> None:
    store.close(opened(store, candidate(0)), ok())
    store.end()
    journal = store.folder / "run.sqlite"
    journal.unlink()
    if content is not None:
        journal.write_bytes(content)
    before = sorted(store.folder.rglob("*"))
    with pytest.raises(BadInput, match=r"run.sqlite: missing or empty, though the run has models; restore it"):
        Store(store.folder, PLAN)
    assert sorted(store.folder.rglob("*")) == before
    assert content is None or journal.read_bytes() == content


def test_a_run_that_was_killed_before_its_first_job_goes_on(store: Store) -> None:
    store.end()
    for path in store.folder.glob("run.sqlite*"):
        path.unlink()
    again = Store(store.folder, PLAN)
    assert again.open(candidate(0))
    again.end()


@pytest.mark.parametrize("name", ["models", "snapshots"])
def test_a_file_in_a_folders_place_is_named(store: Store, name: str) -> None:
    store.end()
    (store.folder / name).rmdir()
    (store.folder / name).touch()
    with pytest.raises(BadInput, match=f"{name}: is a file"):
        Store(store.folder, PLAN)


def test_a_result_is_on_the_disk_when_it_is_written_and_jobs_keep_their_order(store: Store) -> None:
    """SQLite's levels: 2 syncs every transaction; 1 the log before it is taken over, which keeps the order."""

    def level() -> int:
        return int(store.journal.tuples("pragma synchronous")[0][0])

    assert level() == 2
    opened(store, candidate(0))
    assert level() == 2
    with store.journal._unsynced():
        assert level() == 1
    assert level() == 2


def test_a_metric_that_is_no_number_is_missing(store: Store) -> None:
    job = opened(store, candidate(0))
    measured = replace(ok(0.5), metrics={"val_accuracy": 0.5, "val_loss": math.nan})
    store.close(job, measured)
    assert store.journal.tuples("select name, value from metrics") == [("val_accuracy", 0.5)]


def test_what_a_killed_driver_was_writing_is_removed_when_the_run_is_opened(store: Store) -> None:
    drafts = [store.folder / "snapshots" / ".gen_0000.csv.draft-77", store.folder / ".config.json.draft-77"]
    for draft in drafts:
        draft.write_text("id,st")
    link = store.folder / ".best.draft-77"
    link.symlink_to("models/none")
    reopened(store).end()
    assert not any(path.exists() for path in drafts)
    assert not link.is_symlink()
