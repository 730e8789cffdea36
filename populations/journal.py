"""The journal of a run: `run.sqlite`, with one writer. No torch."""

import json
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cgp.errors import BadInput
from evaluate.job import Result
from populations.record import Candidate, Generation

FORMAT = 1  # of the run folder; raised when an older program could not read a newer folder

_SCHEMA = """
create table jobs (
    number integer primary key, id text not null unique, generation integer not null,
    parent integer, graph_id text not null, genome text not null, graph text not null,
    depth integer not null, conv_layers integer not null, params integer not null,
    flops integer not null, receptive_field integer not null, seed integer not null,
    opened text not null);
create table results (
    number integer not null references jobs, attempt integer not null,
    told integer not null,      -- whether this is the attempt that the strategy heard of
    same_as integer,            -- the job whose result this is a copy of
    status text not null, val_accuracy real, val_loss real, epochs integer, seconds real,
    peak_memory_mb real, detail text not null, closed text not null,
    primary key (number, attempt));
create table generations (
    generation integer primary key, members text not null, statistics text not null);
create table test_scores (
    number integer primary key references jobs, accuracy real not null, loss real not null);
"""


class Journal:
    """Rows in, rows out; every call that writes is one durable transaction."""

    def __init__(self, path: Path, writable: bool = False) -> None:
        """Open the journal at `path`, made where it is missing and `writable`.

        Raises BadInput for a missing file, one that is no journal, or one of another format.
        """
        if not writable and not path.exists():
            raise BadInput(f"{path.parent}: not a run folder, it has no {path.name}; expected a folder of evolve.py")
        try:
            mode = "rwc" if writable else "ro"
            self._db = sqlite3.connect(f"{path.absolute().as_uri()}?mode={mode}", uri=True, isolation_level=None)
            self._db.row_factory = sqlite3.Row
            found = self._db.execute("pragma user_version").fetchone()[0]
        except sqlite3.DatabaseError as error:
            raise BadInput(f"{path}: not a readable journal ({error}); expected a run of evolve.py") from error
        if writable:
            self._db.execute("pragma journal_mode=wal")
            self._db.execute("pragma synchronous=full")
        if found == 0 and writable:
            self._db.executescript(f"begin; {_SCHEMA} pragma user_version={FORMAT}; commit;")
        elif found != FORMAT:
            raise BadInput(f"{path.parent}: run folder of format {found}; this program reads format {FORMAT}")

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def add_job(self, candidate: Candidate, identity: str, seed: int, genome: dict[str, Any]) -> None:
        """Write an opened job."""
        graph = candidate.graph
        row = (
            candidate.number,
            identity,
            candidate.generation,
            candidate.parent,
            graph.id,
            json.dumps(genome),
            json.dumps(graph.to_json()),
            graph.depth,
            graph.conv_layers,
            graph.params,
            graph.flops,
            graph.receptive_field,
            seed,
            _now(),
        )
        self._db.execute(f"insert into jobs values ({','.join('?' * len(row))})", row)

    def job(self, number: int) -> sqlite3.Row | None:
        """Return the row of a job, if it was ever opened."""
        row: sqlite3.Row | None = self._db.execute("select * from jobs where number=?", (number,)).fetchone()
        return row

    def add_result(self, number: int, result: Result, same_as: int | None, told: bool) -> None:
        """Write a result as the job's next attempt; `told` takes the place of the attempt told before."""
        metrics = result.metrics
        row = (
            number,
            number,
            told,
            same_as,
            result.status,
            metrics.get("val_accuracy"),
            metrics.get("val_loss"),
            len(result.curve) or None,
            result.seconds if same_as is None else 0.0,
            result.peak_memory_mb,
            json.dumps(result.to_json()),
            _now(),
        )
        self._db.execute("begin")
        if told:
            self._db.execute("update results set told=0 where number=?", (number,))
        self._db.execute(
            f"insert into results values (?,(select count(*) from results where number=?){',?' * (len(row) - 2)})",
            row,
        )
        self._db.execute("commit")

    def told_result(self, number: int) -> Result | None:
        """Return the result that the strategy heard of, if there is one."""
        row = self._db.execute("select detail from results where number=? and told=1", (number,)).fetchone()
        return None if row is None else Result.from_json(json.loads(row["detail"]))

    def latest_result(self, number: int) -> Result | None:
        """Return the result of the last attempt."""
        query = "select detail from results where number=? order by attempt desc limit 1"
        row = self._db.execute(query, (number,)).fetchone()
        return None if row is None else Result.from_json(json.loads(row["detail"]))

    def told_count(self) -> int:
        """Return how many jobs the strategy has heard the result of."""
        return int(self._db.execute("select count(*) from results where told=1").fetchone()[0])

    def failed_jobs(self) -> list[sqlite3.Row]:
        """Return the jobs whose last attempt is not ok, with `same_as` where it copies another's result."""
        query = """select jobs.*, same_as from jobs join results using (number)
            where attempt=(select max(attempt) from results r where r.number=jobs.number)
            and status != 'ok' order by number"""
        return self._db.execute(query).fetchall()

    def untell(self, number: int) -> None:
        """Make the strategy's word of a job open again, so that another attempt can be told."""
        self._db.execute("update results set told=0 where number=?", (number,))

    def last_generation(self) -> int:
        """Return the last generation of which a job was opened; -1 before the first."""
        value = self._db.execute("select max(generation) from jobs").fetchone()[0]
        return -1 if value is None else int(value)

    def add_generation(self, generation: Generation) -> None:
        """Write a finished generation; writing it again changes nothing."""
        row = (generation.number, json.dumps(generation.members), json.dumps(generation.statistics))
        self._db.execute("insert or replace into generations values (?,?,?)", row)

    def add_test_score(self, number: int, accuracy: float, loss: float) -> None:
        """Write the test score of a model, which its user asked for."""
        self._db.execute("insert or replace into test_scores values (?,?,?)", (number, accuracy, loss))

    def first_numbers(self) -> Iterator[tuple[str, int]]:
        """Yield for each graph its id and the first job that has it."""
        yield from self._db.execute("select graph_id, min(number) from jobs group by graph_id")

    def select(self, query: str, *values: Any) -> list[sqlite3.Row]:
        """Return the rows of a query that reads."""
        return self._db.execute(query, values).fetchall()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
