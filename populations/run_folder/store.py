"""The run folder, its whole layout in one place. No torch.

runs/NAME/
config.json               every flag, as resolved
environment.json          versions, devices, git revision
run.sqlite                the journal: jobs, results, generations, sessions; only the driver writes
snapshots/gen_0007.csv    a generation's population, derived from the journal
models/ID/                one per job: genome.json, weights, curve.csv, log.txt
best -> models/ID         always current
start.safetensors         what a network began with that was trained before
whitening.npy             what whitens the images, where --preprocess asks for it
lock, stop                who drives the run; present while it is asked to stop
"""

import contextlib
import dataclasses
import hashlib
import io
import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cgp.errors import BadInput
from cgp.genome import Genome
from cgp.space import Space
from evaluate.files import BEST, START, WHITENING, discard_drafts, sync, write_atomically
from evaluate.job import (
    FINAL,
    SEARCH,
    DataSpec,
    Fresh,
    Goal,
    Inherit,
    Job,
    Key,
    Recipe,
    Result,
    Start,
    Train,
    Weights,
)
from evaluate.pool.usage import Usage
from populations.reading import frame
from populations.record import Candidate, Generation, Record
from populations.run_folder.deduplication import Deduplication
from populations.run_folder.journal import Journal
from populations.run_folder.lock import Lock
from populations.run_folder.retention import Retention


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is the same for every job of a run."""

    space: Space
    recipe: Recipe
    data: DataSpec
    seed: int
    cache: bool  #: whether a graph that was judged before takes over that result
    keep: str  #: whose weights stay: `all`, `best` or `pareto`
    inherit: bool = False  #: whether a child takes over weights of its parent
    fingerprint: str | None = None  #: of the images, which every job's worker compares
    networks: str | None = None  #: what they are, where they are not of the space
    start: Weights | None = None  #: what they begin with, its file in the run folder
    goals: tuple[Goal, ...] = ()  #: what measures each network once it is trained
    keep_epochs: int = 0  #: each training keeps the weights of every so many epochs; 0: of none


class Store:
    """Writes a job before it is sent and its result before anyone hears of it."""

    def __init__(self, folder: Path, plan: Plan, lock: Lock | None = None) -> None:
        """Open or create what `folder` lacks; `lock` is that of a caller who holds it already.

        Raises BadInput when another driver is on it, its journal is lost, or a file is where a folder belongs.
        """
        self.folder, self.plan = folder, plan
        self.lock = lock or Lock(folder)
        try:
            self.journal = self._open_journal()
        except BaseException:
            self.lock.release()
            raise
        self.stop_file.unlink(missing_ok=True)
        self._news: list[Record] = []
        self._open: dict[Key, tuple[Candidate, str]] = {}  # candidate and id
        self._same = Deduplication(self.journal, plan.cache)
        self._retention = Retention(folder, plan.keep)
        self._recalled: set[Key] = set()  # jobs whose results the journal knew, until the strategy has heard them
        self._unheard = self.journal.told_count()
        self._session: tuple[int, Usage] | None = None  # number in the journal, and what was written last

    def _open_journal(self) -> Journal:
        inner = [self.folder / name for name in ("models", "snapshots")]
        for path in inner:
            if path.exists() and not path.is_dir():
                raise BadInput(f"{path}: is a file, where the run keeps a folder; move it away")
        begun = inner[0].is_dir() and any(inner[0].iterdir())
        journal = Journal(self.folder / "run.sqlite", writable=True, begun=begun)
        for path in inner:
            path.mkdir(exist_ok=True)
        for path in (self.folder, *inner):  # of a driver that was killed
            discard_drafts(path)
        return journal

    @property
    def stop_file(self) -> Path:
        """Its presence asks the workers to stop after their epoch."""
        return self.folder / "stop"

    def open(self, candidate: Candidate) -> Job | None:
        """Write the job of `candidate` and return it; None where no training is needed.

        That is so when the journal knows its result already, or when an earlier job has the same
        graph: then it takes over that job's result, at once or when it comes. Earlier means the
        job number, so that it does not matter how many workers there are.
        """
        key, graph_id = candidate.key, candidate.model.id
        identity = _identity(self.plan.seed, key, graph_id)
        known = self.journal.identity(key)
        if known is None:
            self._enter(candidate, identity)
        elif known != identity:
            raise BadInput(
                f"{self.folder}: job {key.number} of {key.stage} is {known} in the journal but {identity} in this "
                "search; the program or its libraries changed since: resume with the versions in environment.json"
            )
        elif candidate.task and self.journal.options(key) != candidate.task.options_json:
            raise BadInput(
                f"{self.folder}: job {key.number} of {key.stage} was given to another command meanwhile; repeat yours"
            )
        self._open[key] = (candidate, identity)
        if candidate.again:
            return self._job(candidate, identity)
        if known_result := self.journal.told_result(key):
            self._recalled.add(key)
            self._hear(key, *known_result)
            return None
        original = self._same.original(candidate)
        if original is None:
            return self._job(candidate, identity)
        if self.journal.told_result(original) and (result := self.journal.latest_result(original)):
            self._copy(candidate, original, result)
        else:
            self._same.wait(original, candidate)
        return None

    def enter(self, candidates: Iterable[Candidate]) -> None:
        """Write jobs that are to be opened later, unless they are there already: what was asked for is not lost."""
        for candidate in candidates:
            if self.journal.identity(candidate.key) is None:
                self._enter(candidate, _identity(self.plan.seed, candidate.key, candidate.model.id))

    def _enter(self, candidate: Candidate, identity: str) -> None:
        genome = candidate.genome.to_json(self.plan.space) if candidate.genome else None
        self.journal.add_job(candidate, identity, _seed(self.plan.seed, candidate.key), genome)

    def _job(self, candidate: Candidate, identity: str) -> Job:
        folder = self.model_folder(identity)
        folder.mkdir(exist_ok=True)
        genome = candidate.genome.to_json(self.plan.space) if candidate.genome else {}
        genome_file = json.dumps(genome | {"graph": candidate.model.to_json()}).encode()
        write_atomically(folder / "genome.json", genome_file, durable=False)  # the journal has it too
        plan = self.plan
        return Job(
            candidate.number,
            identity,
            candidate.task
            or Train(candidate.model, plan.recipe, plan.data, self._start(candidate), goals=plan.goals),
            _seed(self.plan.seed, candidate.key),
            str(folder.absolute()),
            str(self.stop_file.absolute()),
            fingerprint=self.plan.fingerprint,
            stage=candidate.stage,
            keep_epochs=plan.keep_epochs,
        )

    def _start(self, candidate: Candidate) -> Start:
        if self.plan.start:
            return self.plan.start.within(self.folder)
        if not self.plan.inherit or candidate.stage != SEARCH or candidate.parent is None:
            return Fresh()
        return Inherit(str(self.model_folder(self.journal.original(candidate.parent)).absolute()))

    def keep_start(self, weights: Path) -> None:
        """Copy `weights`, what the run's networks begin with, into its folder, unless they are there already."""
        if not (self.folder / START).exists():
            write_atomically(self.folder / START, weights.read_bytes())

    def keep_whitening(self, whitening: NDArray[np.float32]) -> None:
        """Write what whitens the images into the run's folder, unless it is there."""
        if not (self.folder / WHITENING).exists():
            content = io.BytesIO()
            np.save(content, whitening)
            write_atomically(self.folder / WHITENING, content.getvalue())

    def model_folder(self, identity: str) -> Path:
        """Return the folder of a model."""
        return self.folder / "models" / identity

    def close(self, job: Job, result: Result) -> None:
        """Write the result of `job`, and of the jobs that take it over."""
        again = self._open[job.key][0].again
        copies = self.journal.failed_copies(job.key) if again else []
        self._write(job, result, told=not again)
        for key in copies:
            self.journal.add_result(key, result, job.key, told=False)
        self._hear(job.key, result, copied=False)
        for follower in self._same.followers(job.key):
            self._copy(follower, job.key, result)

    def _write(self, job: Job, result: Result, told: bool) -> None:
        """Write a result once the disk holds the weights that it speaks of."""
        # A training that broke in its first epoch has none; a folder in their place is no weights.
        with contextlib.suppress(FileNotFoundError, IsADirectoryError):
            sync(Path(job.folder) / BEST)
        self.journal.add_result(job.key, result, None, told)

    def _copy(self, candidate: Candidate, first: Key, result: Result) -> None:
        self.journal.add_result(candidate.key, result, first, told=True)
        self._hear(candidate.key, result, copied=True)

    def _hear(self, key: Key, result: Result, copied: bool) -> None:
        candidate, identity = self._open.pop(key)
        self._news.append(Record(candidate, identity, result, copied))

    @property
    def has_news(self) -> bool:
        """Whether records are closed that the strategy has not been told of."""
        return bool(self._news)

    def news(self) -> Iterator[Record]:
        """Yield the records closed since asked last, for the strategy to be told."""
        while self._news:
            yield self._news.pop(0)

    def failed(self) -> list[Candidate]:
        """Return the jobs that did not end ok, to be tried again from their last epoch.

        In the generation under way the new result is told to the strategy, and they are none of these. An earlier
        generation, or a job that others were bred after without a barrier, is history: its new result replaces the
        old one in the tables, not in the search that followed from it.
        """
        candidates, under_way = list[Candidate](), self.journal.last_generation()
        for row in self.journal.failed_jobs():
            if row["generation"] == under_way and row["heard"] is None:
                self.journal.untell(Key(row["stage"], row["number"]))
            elif row["same_as"] is None:  # a copy follows the job that it copies
                candidates.append(_candidate(row, self.plan.space))
        self._unheard = self.journal.told_count()
        return candidates

    def note_usage(self, usage: Usage) -> None:
        """Write where this session's time went so far, when a job ended or a second has passed.

        The first call begins the session: its time until then was start-up.
        """
        if self._session is None:
            startup = 0.0 if usage.busy else usage.wall
            self._session = self.journal.add_session(usage.slots, startup), usage
            return
        number, last = self._session
        if usage.settled != last.settled or usage.wall > last.wall + 1:
            self.journal.note_usage(number, usage.slots, usage.wall, usage.busy)
            self._session = number, usage

    def snapshot(self, generation: Generation) -> None:
        """Write a finished generation to the journal and as a table, unless both are there already."""
        path = self.folder / "snapshots" / f"gen_{generation.number:04d}.csv"
        if self.journal.has_generation(generation) and path.exists():
            return
        path.unlink(missing_ok=True)
        self.journal.add_generation(generation)
        named = self.plan.networks or self.plan.space.function_set
        columns = frame.Columns(self.folder, named, self.plan.data.name, self.plan.goals)
        table = frame.population(self.journal, generation.number, columns)
        write_atomically(path, table.to_csv(index=False).encode())

    def set_best(self, best: Record | None, told: Record, front: Sequence[Record] = ()) -> None:
        """Point `best` to the best model so far, after `told` was told to the strategy; `front` is its front then.

        While a resumed search still goes through its journal, nothing changes.
        """
        key = told.candidate.key
        if key in self._recalled:
            self._recalled.remove(key)
            self._unheard -= key.stage == SEARCH
        self._retention.told(told.id)
        if self._unheard or best is None:
            return
        self._retention.point_to(self._weights_of(best), {self._weights_of(record) for record in front})

    def _weights_of(self, record: Record) -> str:
        """Return the id of the model whose weights are those of `record`: a copy has none of its own."""
        return self.journal.original(record.candidate.key) if record.copied else record.id

    def end(self) -> None:
        """Close the journal and give the lock back."""
        self.journal.close()
        self.lock.release()


def _candidate(row: sqlite3.Row, space: Space) -> Candidate:
    genome = Genome.from_json(json.loads(row["genome"]), space)
    parent = None if row["parent"] is None else Key(row["parent_stage"], row["parent_number"])
    where = row["number"], row["generation"], parent
    return Candidate(*where, genome, genome.graph(space), row["heard"], row["stage"], again=True)


def _stream(key: Key) -> tuple[int, ...]:
    """Return what, beside the run's seed, decides a job's random numbers; no two jobs of a run have the same.

    That of a final ranking is as it was when its jobs had no stage but numbers from 10^9 on.
    """
    if key.stage == SEARCH:
        return (key.number,)
    return (10**9 + key.number,) if key.stage == FINAL else (*key.stage.encode(), key.number)


def _seed(seed: int, key: Key) -> int:
    return int(np.random.SeedSequence([seed, *_stream(key)]).generate_state(1)[0])


def _identity(seed: int, key: Key, graph_id: str) -> str:
    name = ":".join(map(str, (seed, *_stream(key), graph_id)))
    return hashlib.sha256(name.encode()).hexdigest()[:12]
