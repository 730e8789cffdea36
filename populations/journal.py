"""The journal of a run: `run.sqlite`, with one writer. No torch."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cgp.errors import BadInput
from evaluate.job import Result
from populations.connection import connect, finish
from populations.record import FINAL, Candidate, Generation, History

FORMAT = 2  # of the run folder; raised when an older program could not read a newer folder

# What tables show is apart from the long texts, so that a look over a whole run reads few pages.
_SCHEMA = """
create table jobs (
    number integer primary key, id text not null unique, generation integer not null,
    parent integer,
    heard integer,              -- how many results the strategy had been told when it bred this
    graph_id text not null, depth integer not null, conv_layers integer not null,
    params integer not null, flops integer not null, receptive_field integer not null,
    seed integer not null, opened text not null);
create index jobs_by_graph on jobs (graph_id);
create table genomes (
    number integer primary key references jobs, genome text not null, graph text not null);
create table results (
    number integer not null references jobs, attempt integer not null,
    told integer not null,      -- whether this is the attempt that the strategy heard of
    same_as integer,            -- the job whose result this is a copy of
    status text not null, val_accuracy real, val_loss real, epochs integer, seconds real,
    peak_memory_mb real, scratch_share real, closed text not null,
    primary key (number, attempt)) without rowid;
create unique index results_told on results (number) where told=1;
create index results_copied on results (same_as) where same_as is not null;
create table details (
    number integer not null references jobs, attempt integer not null, detail text not null,
    unique (number, attempt));
create table generations (
    generation integer primary key, members text not null, statistics text not null);
create table test_scores (
    number integer primary key references jobs, accuracy real not null, loss real not null);
create table sessions (         -- of a driver, up to its last word; seconds
    session integer primary key, started text not null, slots integer not null,
    startup real not null, wall real not null,
    busy text not null);        -- of all slots together, by the status that a job ended in
"""

# Added within format 2: programs that do not know it still read a run that has it, and go on with it.
_TRAIN_SCORES = """table if not exists train_scores (
    number integer not null, attempt integer not null, accuracy real not null,
    primary key (number, attempt)) without rowid"""

LAST_ATTEMPT = "select number, max(attempt) as attempt from results group by number"  # of each job


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
            self._db.row_factory = sqlite3.Row
            found = self._db.execute("pragma user_version").fetchone()[0]
        except sqlite3.DatabaseError as error:
            raise BadInput(f"{path}: not a readable journal ({error}); expected a run of evolve.py") from error
        if found == 0 and (begun or not writable):
            raise BadInput(lost if begun else f"{path}: empty; expected the journal of a run of evolve.py")
        if found not in (0, FORMAT):
            raise BadInput(f"{path.parent}: run folder of format {found}; this program reads format {FORMAT}")
        with self._whole():
            self._prepare(writable, new=found == 0)

    def _prepare(self, writable: bool, new: bool) -> None:
        if not writable:
            if not self.select("select 1 from sqlite_master where name = 'train_scores'"):
                self._db.execute("pragma temp_store=memory")
                self._db.execute(f"create temp {_TRAIN_SCORES}")
            return
        self._db.execute("pragma journal_mode=wal")
        self._db.execute("pragma synchronous=full")
        if new:
            self._db.executescript(f"begin; {_SCHEMA} pragma user_version={FORMAT}; commit;")
        self._db.execute(f"create {_TRAIN_SCORES}")

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

    def add_job(self, candidate: Candidate, identity: str, seed: int, genome: dict[str, Any]) -> None:
        """Write an opened job; see the class for when it is on the disk."""
        graph = candidate.graph
        row = (
            candidate.number,
            identity,
            candidate.generation,
            candidate.parent,
            candidate.heard,
            graph.id,
            graph.depth,
            graph.conv_layers,
            graph.params,
            graph.flops,
            graph.receptive_field,
            seed,
            _now(),
        )
        texts = (candidate.number, json.dumps(genome), json.dumps(graph.to_json()))
        with self._unsynced():
            self._write("begin")
            self._write(f"insert into jobs values ({','.join('?' * len(row))})", *row)
            self._write("insert into genomes values (?,?,?)", *texts)
            self._write("commit")

    def identity(self, number: int) -> str | None:
        """Return the id of a job, if it was ever opened."""
        rows = self.select("select id from jobs where number=?", number)
        return str(rows[0]["id"]) if rows else None

    def first_with(self, graph_id: str) -> int | None:
        """Return the lowest number of a job with this graph, if there is one."""
        ((first,),) = self.tuples("select min(number) from jobs where graph_id=?", graph_id)
        return None if first is None else int(first)

    def add_result(self, number: int, result: Result, same_as: int | None, told: bool) -> None:
        """Write a result as the job's next attempt; `told` takes the place of the attempt told before."""
        metrics = result.metrics
        self._write("begin")
        if told:
            self.untell(number)
        ((attempt,),) = self.tuples("select count(*) from results where number=?", number)
        row = (
            number,
            attempt,
            told,
            same_as,
            result.status,
            metrics.get("val_accuracy"),
            metrics.get("val_loss"),
            len(result.curve) or None,
            result.seconds if same_as is None else 0.0,
            result.peak_memory_mb,
            result.scratch_share,
            _now(),
        )
        self._write(f"insert into results values ({','.join('?' * len(row))})", *row)
        if (accuracy := result.train_accuracy) is not None:
            self._write("insert into train_scores values (?,?,?)", number, attempt, accuracy)
        self._write("insert into details values (?,?,?)", number, attempt, json.dumps(result.to_json()))
        self._write("commit")

    def told_result(self, number: int) -> tuple[Result, bool] | None:
        """Return the result that the strategy heard of, and whether it is a copy; None if there is none."""
        query = "select detail, same_as from results join details using (number, attempt) where number=? and told=1"
        rows = self.select(query, number)
        return (self._result(rows[0]), rows[0]["same_as"] is not None) if rows else None

    def _result(self, row: sqlite3.Row) -> Result:
        return Result.from_json(self.parsed(row["detail"]))

    def original(self, number: int) -> str:
        """Return the id of the job whose training gave job `number` its result: mostly its own."""
        query = """select id from jobs where number = coalesce(
            (select same_as from results where number=? order by attempt desc limit 1), ?)"""
        return str(self.select(query, number, number)[0]["id"])

    def history(self) -> History:
        """Return the order in which the strategy has heard of results."""
        told = self.tuples(
            "select number from results join details using (number, attempt) where told=1 order by details.rowid"
        )
        heard = self.tuples("select number, heard from jobs where heard is not null")
        return History(tuple(number for (number,) in told), dict(heard))

    def latest_result(self, number: int) -> Result | None:
        """Return the result of the last attempt."""
        query = "select detail from details where number=? order by attempt desc limit 1"
        rows = self.select(query, number)
        return self._result(rows[0]) if rows else None

    def told_count(self) -> int:
        """Return how many jobs of the search, final ranking apart, the strategy has heard the result of."""
        query = "select count(*) from results where told=1 and number < ?"
        return int(self.tuples(query, FINAL)[0][0])

    def failed_jobs(self) -> list[sqlite3.Row]:
        """Return the jobs whose last attempt is neither ok nor pruned, with genome and, of a copy, `same_as`."""
        query = f"""select jobs.*, genome, same_as from ({LAST_ATTEMPT}) join results using (number, attempt)
            join jobs using (number) join genomes using (number)
            where status not in ('ok', 'pruned') order by number"""
        return self.select(query)

    def failed_copies(self, number: int) -> list[int]:
        """Return the jobs whose last attempt is a copy of the result of job `number`, and not ok."""
        query = """select number from results one where same_as=? and status != 'ok'
            and not exists (select 1 from results where number=one.number and attempt > one.attempt)"""
        return [int(row["number"]) for row in self.select(query, number)]

    def untell(self, number: int) -> None:
        """Make the strategy's word of a job open again, so that another attempt can be told."""
        self._write("update results set told=0 where number=? and told=1", number)

    def last_generation(self) -> int:
        """Return the latest generation of which a job was opened; -1 before the first."""
        ((value,),) = self.tuples("select max(generation) from jobs")
        return -1 if value is None else int(value)

    def add_generation(self, generation: Generation) -> None:
        """Write a finished generation."""
        self._write("insert or replace into generations values (?,?,?)", *_generation_row(generation))

    def has_generation(self, generation: Generation) -> bool:
        """Return whether this very generation is written already."""
        known = self.tuples("select * from generations where generation=?", generation.number)
        return known == [_generation_row(generation)]

    def add_session(self, slots: int, startup: float) -> int:
        """Write that a driver has begun, whose workers took `startup` seconds; return the session's number."""
        row = (_now(), slots, startup, startup, "{}")
        return int(self._write("insert into sessions values (null,?,?,?,?,?)", *row).lastrowid or 0)

    def note_usage(self, session: int, wall: float, busy: dict[str, float]) -> None:
        """Write the seconds of a session so far; see the class for when they are on the disk."""
        row = (wall, json.dumps(busy), session)
        with self._unsynced():
            self._write("update sessions set wall=?, busy=? where session=?", *row)

    @contextmanager
    def _unsynced(self) -> Iterator[None]:
        """Leave what is written here to the write-ahead log, whose order the next synced write keeps."""
        self._write("pragma synchronous=normal")
        yield
        self._write("pragma synchronous=full")

    def add_test_score(self, number: int, accuracy: float, loss: float) -> None:
        """Write the test score of a model, which its user asked for."""
        self._write("insert or replace into test_scores values (?,?,?)", number, accuracy, loss)

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


def _generation_row(generation: Generation) -> tuple[int, str, str]:
    return generation.number, json.dumps(generation.members), json.dumps(generation.statistics)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
