"""The journal of a run: `run.sqlite`, with one writer. No torch."""

import json
import math
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cgp.errors import BadInput
from evaluate.job import FINAL, SEARCH, Key, Measure, Result
from populations.record import Candidate, Generation, History
from populations.run_folder.connection import connect, copied, finish
from populations.run_folder.schema import FORMAT, OLDEST, create, migrate

LAST_ATTEMPT = "select job, max(attempt) as attempt from results group by job"  # of each job
_JOB = "(select job from jobs where stage=? and number=?)"


class Journal:
    """Rows in, rows out; every call that writes is one transaction, which the end of the process cannot undo.

    It is on the disk when the call returns, but for jobs and usage: those get there with the next
    result. A power cut may take the last jobs, never a result, nor a job that has one.
    """

    def __init__(self, path: Path, writable: bool = False, begun: bool = False) -> None:
        """Open the journal at `path`; where it is missing and `writable`, make it, unless the run has `begun`.

        Raises BadInput for a missing or empty file, one that is no journal, or one of another format.
        """
        self._path, self._writable = path, writable
        if not writable and not path.exists():
            raise BadInput(f"{path.parent}: not a run folder, it has no {path.name}; expected a folder of evolve.py")
        lost = f"{path}: missing or empty, though the run has models; restore it from a copy, or begin another run"
        if begun and not (path.exists() and path.stat().st_size):
            raise BadInput(lost)
        try:
            self._db = connect(path, writable)
            found = self._db.execute("pragma user_version").fetchone()[0]
        except sqlite3.DatabaseError as error:
            raise BadInput(f"{path}: not a readable journal ({error}); expected a run of evolve.py") from error
        if found == 0 and (begun or not writable):
            raise BadInput(lost if begun else f"{path}: empty; expected the journal of a run of evolve.py")
        if found > FORMAT or found in range(1, OLDEST):
            self._db.close()
            raise BadInput(
                f"{path.parent}: run folder of format {found}; this program reads formats {OLDEST} to {FORMAT}: "
                "use the version that wrote it, see environment.json"
            )
        with self._whole():
            self._prepare(found)

    def _prepare(self, found: int) -> None:
        """Bring a journal of format `found` to today's: itself where it may be written, else a copy of it."""
        if self._writable:
            self._db.execute("pragma journal_mode=wal")
            self._db.execute("pragma synchronous=full")
            if found == 0:
                create(self._db)
        elif found < FORMAT:
            self._db = copied(self._db)
        if 0 < found < FORMAT:
            migrate(self._db, found)
        self._db.row_factory = sqlite3.Row

    @contextmanager
    def _whole(self) -> Iterator[None]:
        """Name the file in the error that a damaged page leads to, whichever statement meets it."""
        try:
            yield
        except (sqlite3.DatabaseError, json.JSONDecodeError) as error:
            damaged = isinstance(error, json.JSONDecodeError) or any(
                word in str(error) for word in ("malformed", "not a database")
            )
            if not damaged:
                raise
            raise BadInput(
                f"{self._path}: damaged ({error}); restore it from a copy (weights and curves are in models/)"
            ) from error

    def close(self) -> None:
        """Close the file; one that was written to reads from read-only media from now on."""
        finish(self._db) if self._writable else self._db.close()

    def add_job(self, candidate: Candidate, identity: str, seed: int, genome: dict[str, Any] | None) -> None:
        """Write an opened job; see the class for when it is on the disk."""
        model = candidate.model
        parent = self._job(candidate.parent) if candidate.parent else None
        measure = candidate.task if isinstance(candidate.task, Measure) else None
        row = (
            candidate.stage,
            candidate.number,
            identity,
            candidate.generation,
            parent,
            measure.measure if measure else None,
            candidate.heard,
            model.id,
            model.depth,
            model.conv_layers,
            model.params,
            model.flops,
            model.receptive_field,
            seed,
            _now(),
        )
        texts = [None if genome is None else json.dumps(genome), json.dumps(model.to_json())]
        texts.append(candidate.task.options_json if candidate.task else None)
        with self._unsynced():
            self._write("begin")
            job = self._write(f"insert into jobs values (null,{','.join('?' * len(row))})", *row).lastrowid
            self._write("insert into tasks values (?,?,?,?)", job, *texts)
            if candidate.reason:
                self._write("insert into proposals values (?,?,?)", job, candidate.reason, candidate.predicted)
            self._write("commit")

    def _job(self, key: Key) -> int | None:
        rows = self.tuples("select job from jobs where stage=? and number=?", *key)
        return int(rows[0][0]) if rows else None

    def identity(self, key: Key) -> str | None:
        """Return the id of a job, if it was ever opened."""
        rows = self.select("select id from jobs where stage=? and number=?", *key)
        return str(rows[0]["id"]) if rows else None

    def options(self, key: Key) -> str | None:
        """Return the options of a job's task, as JSON; None for a training as its run trains."""
        rows = self.tuples(f"select options from tasks where job={_JOB}", *key)
        return rows[0][0] if rows else None

    def next_number(self, stage: str) -> int:
        """Return the first number of `stage` that no job has."""
        return int(self.tuples("select coalesce(max(number), -1) + 1 from jobs where stage=?", stage)[0][0])

    def first_with(self, graph_id: str) -> int | None:
        """Return the lowest number of a job of the search with this graph, if there is one."""
        query = "select min(number) from jobs where graph_id=? and stage=?"
        ((first,),) = self.tuples(query, graph_id, SEARCH)
        return None if first is None else int(first)

    def add_result(self, key: Key, result: Result, same_as: Key | None, told: bool) -> None:
        """Write a result as the job's next attempt; `told` takes the place of the attempt told before."""
        self._write("begin")
        if told:
            self.untell(key)
        job, original = self._job(key), self._job(same_as) if same_as else None
        ((attempt,),) = self.tuples("select count(*) from results where job=?", job)
        row = (
            job,
            attempt,
            told,
            original,
            result.status,
            len(result.curve) or None,
            result.seconds if same_as is None else 0.0,
            result.peak_memory_mb,
            result.scratch_share,
            _now(),
        )
        self._write(f"insert into results values ({','.join('?' * len(row))})", *row)
        for name, value in result.scores.items():
            if not math.isnan(value):  # what is no number is missing
                self._write("insert into metrics values (?,?,?,?)", job, attempt, name, value)
        self._write("insert into details values (?,?,?)", job, attempt, json.dumps(result.to_json()))
        self._write("commit")

    def told_result(self, key: Key) -> tuple[Result, bool] | None:
        """Return the result that the strategy heard of, and whether it is a copy; None if there is none."""
        query = f"select detail, same_as from results join details using (job, attempt) where job={_JOB} and told=1"
        rows = self.select(query, *key)
        return (self._result(rows[0]), rows[0]["same_as"] is not None) if rows else None

    def _result(self, row: sqlite3.Row) -> Result:
        return Result.from_json(self.parsed(row["detail"]))

    def original(self, key: Key) -> str:
        """Return the id of the job whose training gave job `key` its result: mostly its own."""
        query = f"""select id from jobs where job = coalesce(
            (select same_as from results where job={_JOB} order by attempt desc limit 1), {_JOB})"""
        return str(self.select(query, *key, *key)[0]["id"])

    def history(self) -> History:
        """Return the order in which the strategy has heard of the search's results."""
        told = self.tuples(
            "select number from results join details using (job, attempt) join jobs using (job) "
            "where told=1 and stage=? order by details.rowid",
            SEARCH,
        )
        heard = self.tuples("select number, heard from jobs where heard is not null")
        return History(tuple(number for (number,) in told), dict(heard))

    def latest_result(self, key: Key) -> Result | None:
        """Return the result of the last attempt."""
        query = f"select detail from details where job={_JOB} order by attempt desc limit 1"
        rows = self.select(query, *key)
        return self._result(rows[0]) if rows else None

    def told_count(self) -> int:
        """Return how many jobs of the search, final ranking apart, the strategy has heard the result of."""
        # The few of other stages, found by an index, are taken off: to look up the stage of each would take long.
        others = "select count(*) from jobs join results using (job) where told=1 and (stage < ? or stage > ?)"
        query = f"select (select count(*) from results where told=1) - ({others})"
        return int(self.tuples(query, SEARCH, SEARCH)[0][0])

    def failed_jobs(self) -> list[sqlite3.Row]:
        """Return the search's jobs whose last attempt is neither ok nor pruned.

        With each come its genome, stage and number of its parent, and `same_as` of a copy.
        """
        query = f"""select jobs.*, genome, same_as, p.stage as parent_stage, p.number as parent_number
            from ({LAST_ATTEMPT}) join results using (job, attempt)
            join jobs using (job) join tasks using (job) left join jobs p on p.job = jobs.parent
            where status not in ('ok', 'pruned') and jobs.stage in (?, ?)
            order by jobs.stage = ?, jobs.number"""
        return self.select(query, SEARCH, FINAL, FINAL)

    def failed_copies(self, key: Key) -> list[Key]:
        """Return the jobs whose last attempt is a copy of the result of job `key`, and not ok."""
        query = f"""select stage, number from results one join jobs using (job)
            where same_as={_JOB} and status != 'ok'
            and not exists (select 1 from results where job=one.job and attempt > one.attempt) order by number"""
        return [Key(*row) for row in self.tuples(query, *key)]

    def untell(self, key: Key) -> None:
        """Make the strategy's word of a job open again, so that another attempt can be told."""
        self._write(f"update results set told=0 where job={_JOB} and told=1", *key)

    def last_generation(self) -> int:
        """Return the latest generation of which a job was opened; -1 before the first."""
        ((value,),) = self.tuples("select max(generation) from jobs where stage in (?, ?)", SEARCH, FINAL)
        return -1 if value is None else int(value)

    def add_generation(self, generation: Generation) -> None:
        """Write a finished generation."""
        self._write("insert or replace into generations values (?,?,?,?)", *_generation_row(generation))

    def has_generation(self, generation: Generation) -> bool:
        """Return whether this very generation is written already."""
        known = self.tuples("select * from generations where generation=?", generation.number)
        return known == [_generation_row(generation)]

    def add_session(self, slots: float, startup: float) -> int:
        """Write that a driver has begun, whose workers took `startup` seconds; return the session's number."""
        row = (_now(), slots, startup, startup, "{}")
        return int(self._write("insert into sessions values (null,?,?,?,?,?)", *row).lastrowid or 0)

    def note_usage(self, session: int, slots: float, wall: float, busy: dict[str, float]) -> None:
        """Write the slots and seconds of a session so far; see the class for when they are on the disk."""
        row = (slots, wall, json.dumps(busy), session)
        with self._unsynced():
            self._write("update sessions set slots=?, wall=?, busy=? where session=?", *row)

    @contextmanager
    def _unsynced(self) -> Iterator[None]:
        """Leave what is written here to the write-ahead log, whose order the next synced write keeps."""
        self._write("pragma synchronous=normal")
        yield
        self._write("pragma synchronous=full")

    def add_metrics(self, key: Key, metrics: dict[str, float]) -> None:
        """Write metrics that the user asked for later, of the job's last attempt."""
        attempt = f"select max(attempt) from results where job={_JOB}"
        query = f"insert or replace into metrics values ({_JOB}, ({attempt}), ?, ?)"
        for name, value in metrics.items():
            self._write(query, *key, *key, name, value)

    def _write(self, statement: str, *values: Any) -> sqlite3.Cursor:
        with self._whole():
            return self._db.execute(statement, values)

    def select(self, query: str, *values: Any) -> list[sqlite3.Row]:
        """Return the rows of a query that reads. Raises BadInput where the file is damaged."""
        with self._whole():
            return self._db.execute(query, values).fetchall()

    def tuples(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """Return the rows of a query as tuples: many rows, quickly. Raises BadInput where the file is damaged."""
        with self._whole():
            cursor = self._db.cursor()
            cursor.row_factory = None
            return cursor.execute(query, values).fetchall()

    def parsed(self, text: str) -> Any:
        """Return what a JSON text of the journal says. Raises BadInput where the file is damaged."""
        with self._whole():
            return json.loads(text)


def _generation_row(generation: Generation) -> tuple[int, str, str, str]:
    return generation.number, generation.stage, json.dumps(generation.members), json.dumps(generation.statistics)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
