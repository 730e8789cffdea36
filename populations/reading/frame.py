"""A run as pandas tables. No torch.

Accuracies are fractions, ids are unique prefixes of hashes, what is missing is empty (never 0).
"""

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from cgp.errors import BadInput
from cgp.model import Model, model_from_json
from evaluate.data.synthetic import SYNTHETIC
from evaluate.job import FINAL, POLISH, SEARCH, Goal, Key, Result
from evaluate.metrics import METRICS, goals_of, known_objectives, measured_by, objectives
from populations.front import Front
from populations.reading.columns import COLUMNS, SHARED
from populations.reading.studied import study
from populations.run_folder.folder import read_json
from populations.run_folder.journal import LAST_ATTEMPT, Journal
from populations.run_folder.lock import is_held
from populations.setup.recorded import IMPORTED_FROM, networks_of, require

_TEST = "test_accuracy"
_MEASURED = {metric.name for metric in METRICS.values() if metric.by}  # a column where the objectives ask for it
MODEL_COLUMNS = tuple(name for name in COLUMNS if name != _TEST and name not in _MEASURED)
_COLUMNS = [name for name in COLUMNS if name not in SHARED and name not in _MEASURED]
_SCORES = [metric.name for metric in METRICS.values() if metric.source == "score" and not metric.by]


def _metric(name: str) -> str:
    quoted = name.replace("'", "''")  # a file of the user's may be called so
    return f"(select value from metrics where job = r.job and attempt = r.attempt and name = '{quoted}')"


_ELSEWHERE = {  # columns that are not called the same in the tables of jobs (j) and results (r)
    "job": "j.number",
    "parent": "p.id",
    "status": "coalesce(r.status, 'open')",
    "same_as": "o.id",
    **{name: f"r.{name}" for name in ("epochs", "seconds", "peak_memory_mb", "scratch_share")},
    **{name: _metric(name) for name in _SCORES},
    **{name: f"(select {name} from proposals where job = j.job)" for name in ("reason", "predicted")},
    # A copy is tested where its original is, which may have been tried again since.
    _TEST: f"""(select value from metrics where job = coalesce(r.same_as, j.job) and name = '{_TEST}'
        order by attempt desc limit 1)""",
}
_FROM = """
from jobs j
left join jobs p on p.job = j.parent
left join results r on r.job = j.job
left join results later on later.job = r.job and later.attempt = r.attempt + 1
left join jobs o on o.job = r.same_as
where later.job is null and j.measure is null"""  # so r is the last attempt


class Columns:
    """The columns of a run's models table: those of every run, and behind them what its goals measured."""

    def __init__(self, folder: Path, function_set: str, dataset: str | None, goals: Iterable[Goal]) -> None:
        """Of the run in `folder`; the values are the same for all its models."""
        self.shared = {"function_set": function_set, "run": folder.absolute().name, "dataset": dataset}
        self.measured = measured_by(goals)
        found = [_ELSEWHERE.get(name, f"j.{name}") for name in _COLUMNS] + [_metric(name) for name in self.measured]
        self.query = f"select {', '.join(found)} {_FROM}"

    def table(self, rows: list[tuple[Any, ...]]) -> pd.DataFrame:
        """Return `rows` of the query as a table in its types."""
        table = pd.DataFrame(rows, columns=[*_COLUMNS, *self.measured])
        table = table.astype(_TYPES | dict.fromkeys(self.measured, "float64"))
        for name in (column for column in MODEL_COLUMNS if column in self.shared):
            table.insert(MODEL_COLUMNS.index(name), name, self.shared[name])
        return table if table[_TEST].notna().any() else table.drop(columns=_TEST)


_IN_ORDER = " order by j.stage <> 'search', j.stage <> 'final', j.stage, j.number"


@dataclass(frozen=True)
class RecordedModel:
    """One model of a run, with what is needed to build and judge it again."""

    id: str
    key: Key
    seed: int
    model: Model
    result: Result | None
    folder: Path
    options: dict[str, Any] | None = None  #: in what its training differs from those of its run; None: in nothing

    @property
    def scored(self) -> Result:
        """Its result. Raises BadInput where that has no score, and so no weights."""
        if self.result is None or self.result.status not in ("ok", "pruned"):
            status = "open" if self.result is None else self.result.status
            found = f"model {self.id}: its status is {status}"
            raise BadInput(f"{found}; expected ok, so that there is a score to compare")
        return self.result


class Run:
    """A run folder, opened to be read; it may be searching still."""

    def __init__(self, folder: Path) -> None:
        """Open `folder`. Raises BadInput where it is no run, or of another format."""
        self.folder = folder
        if not folder.is_dir():
            raise BadInput(f"{folder}: no such run folder; see: python -m populations list")
        self._journal = Journal(folder / "run.sqlite")
        self.config: dict[str, Any] = read_json(folder / "config.json")
        require(self.config, ("function_set",), folder)
        goals = goals_of(known_objectives(self.config.get("objectives", "")))
        self._columns = Columns(folder, networks_of(self.config), self.config.get("dataset"), goals)

    @cached_property
    def models(self) -> pd.DataFrame:
        """One row per job: see `populations.reading.columns`; `test_accuracy` where a test was asked for."""
        return self._columns.table(self._journal.tuples(self._columns.query + _IN_ORDER))

    @property
    def regression(self) -> bool:
        """Whether its networks tell values: they have losses and no accuracies."""
        return str(self.config.get("dataset")).partition(":")[0] in SYNTHETIC

    @property
    def score(self) -> str:
        """What its networks are scored by: `val_accuracy`, or of a regression `val_loss`, where less is better."""
        return "val_loss" if self.regression else "val_accuracy"

    def population(self, generation: int) -> pd.DataFrame:
        """Return the population after `generation`, best first. Raises BadInput if there is none."""
        return population(self._journal, generation, self._columns)

    @cached_property
    def front(self) -> pd.DataFrame:
        """The rows of `models` that none other beats in all objectives of the run, best by the first one first.

        Of the final ranking where there is one, else of the search; each graph once. Raises BadInput where an
        objective is unknown to this program.
        """
        goals = objectives(self.config["objectives"])
        models = self.models[(self.models["status"] == "ok") & self.models["same_as"].isna()]
        final = models[models["stage"] == FINAL]
        models = final if len(final) else models[models["stage"] == SEARCH]
        found, graphs = Front[Any](goals), self._graphs
        values = models[[goal.name for goal in goals]].itertuples(index=False, name=None)
        for index, identity, number, row in zip(models.index, models["id"], models["job"], values, strict=True):
            found.add(index, graphs[identity], row, number)
        return models.loc[found.members].reset_index(drop=True)

    @property
    def _graphs(self) -> dict[str, str]:
        """The id of the graph of each model."""
        return dict(self._journal.tuples("select id, graph_id from jobs"))

    @cached_property
    def generations(self) -> pd.DataFrame:
        """One row per finished generation: networks, best, median, min_depth, max_depth, failed."""
        rows = self._journal.select("select * from generations order by generation")
        return pd.DataFrame([self._journal.parsed(row["statistics"]) for row in rows])

    @cached_property
    def curves(self) -> pd.DataFrame:
        """One row per model and epoch: id, epoch, lr, train_loss, train_accuracy, val_accuracy, val_loss, seconds."""
        return self._curves("same_as is null")

    def curves_of(self, identities: Collection[str]) -> pd.DataFrame:
        """Return the rows of `curves` of these models; a copy has those of the result that it took over."""
        return self._curves(f"id in ({_marks(identities)})", *identities)

    def _curves(self, condition: str, *values: str) -> pd.DataFrame:
        rows = self._journal.select(
            f"select id, detail from ({LAST_ATTEMPT}) join results using (job, attempt) "
            f"join details using (job, attempt) join jobs j using (job) where {condition}{_IN_ORDER}",
            *values,
        )
        return pd.DataFrame(
            [{"id": row["id"]} | point for row in rows for point in self._journal.parsed(row["detail"])["curve"]]
        )

    def named(self, names: Sequence[str]) -> pd.DataFrame:
        """Return the rows of `models` of these ids, as they are now."""
        wanted = f"{self._columns.query} and j.id in (select value from json_each(?)){_IN_ORDER}"
        return self._columns.table(self._journal.tuples(wanted, json.dumps(list(names))))

    def results(self, after: int = 0) -> list[tuple[int, str, Result]]:
        """Return the results of models that were written `after` a place: place, id and result, in that order."""
        rows = self._journal.tuples(
            "select d.rowid, j.id, d.detail from details d join jobs j using (job) "
            "where d.rowid > ? and j.measure is null order by d.rowid",
            after,
        )
        return [(place, identity, Result.from_json(self._journal.parsed(text))) for place, identity, text in rows]

    def open_models(self) -> list[str]:
        """Return the ids of the models without a result."""
        query = "select id from jobs j where measure is null and not exists (select 1 from results where job = j.job)"
        return [identity for (identity,) in self._journal.tuples(query)]

    def graphs(self, identities: Collection[str]) -> dict[str, dict[str, Any]]:
        """Return, by id, the models with these ids as JSON, see `cgp.model.model_from_json`."""
        query = f"select id, graph from jobs join tasks using (job) where id in ({_marks(identities)})"
        return {name: self._journal.parsed(text) for name, text in self._journal.tuples(query, *identities)}

    def errors(self, identities: Collection[str]) -> dict[str, str]:
        """Return, by id, what the last attempts of these models have raised; empty where nothing was."""
        rows = self._journal.tuples(
            f"select id, detail from ({LAST_ATTEMPT}) join details using (job, attempt) join jobs using (job) "
            f"where id in ({_marks(identities)})",
            *identities,
        )
        return {identity: self._journal.parsed(detail).get("error") or "" for identity, detail in rows}

    @cached_property
    def arrivals(self) -> list[str]:
        """The ids of the models that have a result, in the order in which the results came."""
        last = "select job, max(rowid) as place from details group by job"
        rows = self._journal.tuples(
            f"select id from ({last}) join jobs using (job) where measure is null order by place"
        )
        return [identity for (identity,) in rows]

    @cached_property
    def sessions(self) -> pd.DataFrame:
        """One row per session of a driver, up to its last word: started, slots, startup, wall, busy.

        Times are in seconds; `busy` is of all slots together, by the status that their jobs ended in.
        """
        columns = ["started", "slots", "startup", "wall", "busy"]
        rows = self._journal.tuples(f"select {', '.join(columns)} from sessions order by session")
        table = pd.DataFrame(rows, columns=columns)
        return table.assign(busy=table["busy"].map(self._journal.parsed))

    @cached_property
    def measures(self) -> pd.DataFrame:
        """One row per number that was measured: model (id), stage, measure, options, metric, value."""
        columns = ["model", "stage", "measure", "options", "metric", "value"]
        rows = self._journal.tuples(
            "select p.id, j.stage, j.measure, t.options, m.name, m.value from jobs j join jobs p on p.job = j.parent "
            f"join tasks t on t.job = j.job join ({LAST_ATTEMPT}) r on r.job = j.job "
            "join metrics m on m.job = j.job and m.attempt = r.attempt where j.measure is not null "
            "order by j.stage, j.number, m.name"
        )
        return pd.DataFrame(rows, columns=columns)

    def asked(self, stage: str) -> dict[tuple[str, str], int]:
        """Return the number of each job of `stage`, by the id of the model that it is about and its options as JSON.

        One that failed is left out, and is tried again.
        """
        query = f"""select p.id, t.options, j.number from jobs j join jobs p on p.job = j.parent
            join tasks t on t.job = j.job left join ({LAST_ATTEMPT}) a on a.job = j.job
            left join results r on r.job = j.job and r.attempt = a.attempt
            where j.stage = ? and coalesce(r.status, 'ok') = 'ok'"""
        return {(identity, options): number for identity, options, number in self._journal.tuples(query, stage)}

    def next_number(self, stage: str) -> int:
        """Return the first number of `stage` that no job has."""
        return self._journal.next_number(stage)

    @cached_property
    def polished(self) -> pd.DataFrame:
        """One row per model and recipe of `replay --recipe`: id, recipe, epochs, test_accuracy, test_loss, polished.

        `polished` is the id of the model that was trained so; empty where an older program trained it, which kept the
        weights in a folder of the model `id`.
        """
        rows = list[tuple[Any, ...]]()
        for path in sorted(self.folder.glob("models/*/polish-*/polish.json")):
            about = read_json(path)
            chosen, test = about["job"]["recipe"], about["test"]
            row = (about["job"]["id"], chosen["name"], chosen["epochs"], test["accuracy"], test["loss"], None)
            rows.append(row)
        query = f"""select p.id, json_extract(t.options, '$.recipe.name'), json_extract(t.options, '$.recipe.epochs'),
            {_metric(_TEST)}, {_metric("test_loss")}, j.id from jobs j join jobs p on p.job = j.parent
            join tasks t on t.job = j.job join ({LAST_ATTEMPT}) using (job) join results r using (job, attempt)
            where j.stage = ? and r.status = 'ok' order by j.number"""
        rows += self._journal.tuples(query, POLISH)
        return pd.DataFrame(rows, columns=["id", "recipe", "epochs", "test_accuracy", "test_loss", "polished"])

    def study(self, name: str) -> dict[str, pd.DataFrame]:
        """Return the tables of the study `name`, by their names. Raises BadInput where it was not asked here."""
        return study(self.folder, name)

    @property
    def written(self) -> tuple[int, ...]:
        """How many jobs, results and metrics were written so far, as these are now: equal, nothing has been added."""
        query = """select (select coalesce(max(job), 0) from jobs), (select coalesce(max(rowid), 0) from details),
            (select count(*) from metrics)"""
        return self._journal.tuples(query)[0]

    @property
    def state(self) -> str:
        """`running` while a process searches here, `finished` when all that was asked for is done, else `stopped`.

        Of networks of another program nothing was asked: `imported`.
        """
        if is_held(self.folder):
            return "running"
        if IMPORTED_FROM in self.config:
            return "imported"
        afterwards = bool(self.config.get("inherit")) + bool(self.config.get("confirm"))
        wanted = self.config.get("generations", 0) + afterwards
        done = len(self._journal.tuples("select generation from generations"))
        return "finished" if done >= wanted else "stopped"

    @cached_property
    def lineage(self) -> pd.DataFrame:
        """One row per model: id, parent (empty for a draw), job, generation, status, depth, val_accuracy."""
        return self.models[["id", "parent", "job", "generation", "status", "depth", "val_accuracy"]]

    def ancestors(self, identity: str) -> pd.DataFrame:
        """Return the lineage of one model, from the first ancestor to the model itself."""
        by_id = self.lineage.set_index("id", drop=False)
        line = list[Any]()
        now: Any = identity
        while isinstance(now, str):
            line.append(by_id.loc[now])
            now = by_id.loc[now, "parent"]
        return pd.DataFrame(line[::-1])

    def identity(self, name: str) -> str:
        """Return the id of the model `best`, or of the one whose id begins with `name`.

        Raises BadInput where none or several do.
        """
        if not name:
            raise BadInput("model '': names none; expected `best` or the beginning of an id")
        if name == "best":
            link = self.folder / "best"
            if not link.is_symlink():
                raise BadInput(f"{self.folder}: no best model yet; expected at least one finished network")
            name = link.readlink().name
        # A measurement has an id, but is no model; g is behind every hexadecimal digit.
        query = "select id from jobs where id between ? and ? || 'g' and measure is null order by id limit 4"
        rows = self._journal.select(query, name, name)
        if len(rows) != 1:
            found = ", ".join([*(row["id"] for row in rows[:3]), *(["more"] if len(rows) > 3 else [])]) or "none"
            raise BadInput(
                f"model {name!r} of {self.folder}: found {found}; expected `best` or the beginning of one "
                "id (see: python -m populations show RUN)"
            )
        return str(rows[0]["id"])

    def model(self, name: str) -> RecordedModel:
        """Return the model that `name` means, see `identity`.

        A model that took over another's result stands for that other one.
        """
        query = """select * from jobs join tasks using (job) where job = (
            select coalesce(max(same_as), jobs.job) from jobs left join results using (job)
            where id = ?)"""
        row = self._journal.select(query, self.identity(name))[0]
        model = model_from_json(self._journal.parsed(row["graph"]))
        key = Key(row["stage"], row["number"])
        folder = self.folder / "models" / row["id"]
        options = self._journal.parsed(row["options"]) if row["options"] else None
        return RecordedModel(row["id"], key, row["seed"], model, self._journal.latest_result(key), folder, options)

    def genome(self, identity: str) -> dict[str, Any] | None:
        """Return the genome of the model with this id, as JSON; None where it was made by hand.

        One that was trained again has that of the model that it repeats; a copy has silent nodes of its own.
        """
        query = """select coalesce(t.genome, repeated.genome) from jobs j join tasks t using (job)
            left join jobs p on p.job = j.parent and p.graph_id = j.graph_id
            left join tasks repeated on repeated.job = p.job where j.id = ?"""
        ((genome,),) = self._journal.tuples(query, identity)
        return None if genome is None else dict(self._journal.parsed(genome))


def load(folder: str | Path) -> Run:
    """Open a run folder for reading.

    `.models .front .generations .curves .lineage .polished .measures .sessions` are DataFrames.
    """
    return Run(Path(folder))


def population(journal: Journal, generation: int, columns: Columns) -> pd.DataFrame:
    """Return the population after `generation`, best first.

    Raises BadInput if there is none.
    """
    done = journal.select("select count(*) as n from generations")[0]["n"]
    if not 0 <= generation < done:
        raise BadInput(f"--generation: {generation}; this run has {done} finished generations, counted from 0")
    [closed] = journal.select("select stage, members from generations where generation=?", generation)
    members = journal.parsed(closed["members"])
    marks = _marks(members)
    place = {number: n for n, number in enumerate(members)}
    found = journal.tuples(f"{columns.query} and j.stage = ? and j.number in ({marks})", closed["stage"], *members)
    return columns.table(sorted(found, key=lambda row: place[row[_JOB]]))


def _marks(values: Collection[Any]) -> str:
    """Return a question mark for each value, as SQL takes them."""
    return ",".join("?" * len(values))


_JOB = _COLUMNS.index("job")
_TYPES = {
    **dict.fromkeys(("job", "generation", "depth", "conv_layers", "params", "flops"), "int64"),
    **dict.fromkeys(("receptive_field", "seed"), "int64"),
    **dict.fromkeys((*_SCORES, "seconds", "peak_memory_mb", "scratch_share", "predicted"), "float64"),
    **dict.fromkeys(("parent", "same_as", "reason"), "string"),
    "epochs": "Int64",
}
