"""A run as pandas tables. No torch.

Accuracies are fractions, ids are unique prefixes of hashes, what is missing is empty (never 0).
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from cgp.errors import BadInput
from cgp.graph import Graph
from evaluate.job import Result
from populations.columns import COLUMNS
from populations.folder import read_json
from populations.journal import LAST_ATTEMPT, Journal
from populations.lock import is_held
from populations.recorded import require

MODEL_COLUMNS = tuple(name for name in COLUMNS if name != "test_accuracy")

_MODELS = """
select j.id, j.number as job, j.generation, p.id as parent, coalesce(r.status, 'open') as status,
    j.depth, j.conv_layers, j.params, j.flops, j.receptive_field, r.val_accuracy, r.val_loss,
    r.epochs, r.seconds, r.peak_memory_mb, j.seed, o.id as same_as, r.scratch_share,
    coalesce(s.accuracy, case when r.val_accuracy is not null then (  -- written before there were train_scores
        select json_extract(e.value, '$.train_accuracy') from details d, json_each(d.detail, '$.curve') e
        where d.number = r.number and d.attempt = r.attempt
        order by json_extract(e.value, '$.val_accuracy') desc, json_extract(e.value, '$.val_loss'), e.key limit 1
    ) end) as train_accuracy, t.accuracy as test_accuracy
from jobs j
left join jobs p on p.number = j.parent
left join results r on r.number = j.number
left join results later on later.number = r.number and later.attempt = r.attempt + 1
left join jobs o on o.number = r.same_as
left join train_scores s on s.number = r.number and s.attempt = r.attempt
left join test_scores t on t.number = coalesce(r.same_as, j.number)
where later.number is null"""  # so r is the last attempt


@dataclass(frozen=True)
class Model:
    """One model of a run, with what is needed to build and judge it again."""

    id: str
    number: int
    seed: int
    graph: Graph
    result: Result | None
    folder: Path


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
        self._shared = shared(folder, self.config["function_set"], self.config.get("dataset"))

    @cached_property
    def models(self) -> pd.DataFrame:
        """One row per job: see `populations.columns`; `test_accuracy` where a test was asked for."""
        return _typed(self._journal.tuples(_MODELS + " order by j.number"), self._shared)

    def population(self, generation: int) -> pd.DataFrame:
        """Return the population after `generation`, best first. Raises BadInput if there is none."""
        return population(self._journal, generation, self._shared)

    @cached_property
    def generations(self) -> pd.DataFrame:
        """One row per finished generation: networks, best, median, min_depth, max_depth, failed."""
        rows = self._journal.select("select * from generations order by generation")
        return pd.DataFrame([self._journal.parsed(row["statistics"]) for row in rows])

    @cached_property
    def curves(self) -> pd.DataFrame:
        """One row per model and epoch: id, epoch, lr, train_loss, train_accuracy, val_accuracy, val_loss, seconds."""
        rows = self._journal.select(
            f"select id, detail from ({LAST_ATTEMPT}) join results using (number, attempt) "
            "join details using (number, attempt) join jobs using (number) where same_as is null order by number"
        )
        return pd.DataFrame(
            [{"id": row["id"]} | point for row in rows for point in self._journal.parsed(row["detail"])["curve"]]
        )

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
    def polished(self) -> pd.DataFrame:
        """One row per model and recipe of `replay --recipe`: id, recipe, epochs, test_accuracy, test_loss."""
        rows = []
        for path in sorted(self.folder.glob("models/*/polish-*/polish.json")):
            about = read_json(path)
            chosen, test = about["job"]["recipe"], about["test"]
            row = (about["job"]["id"], chosen["name"], chosen["epochs"], test["accuracy"], test["loss"])
            rows.append(row)
        return pd.DataFrame(rows, columns=["id", "recipe", "epochs", "test_accuracy", "test_loss"])

    @property
    def state(self) -> str:
        """`running` while a process searches here, `finished` when all that was asked for is done, else `stopped`."""
        if is_held(self.folder):
            return "running"
        wanted = self.config.get("generations", 0) + bool(self.config.get("inherit"))  # with a final ranking
        done = len(self._journal.tuples("select generation from generations"))
        return "finished" if done >= wanted else "stopped"

    @cached_property
    def lineage(self) -> pd.DataFrame:
        """One row per model: id, parent (empty for a random draw), job, generation, status, depth, val_accuracy."""
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
        query = "select id from jobs where id between ? and ? || 'g' limit 4"  # g: behind every hexadecimal digit
        rows = self._journal.select(query, name, name)
        if len(rows) != 1:
            found = ", ".join(row["id"] for row in rows[:3]) or "none"
            raise BadInput(
                f"model {name!r} of {self.folder}: found {found}; expected `best` or the beginning of one "
                "id (see: python -m populations show RUN)"
            )
        return str(rows[0]["id"])

    def model(self, name: str) -> Model:
        """Return the model that `name` means, see `identity`.

        A model that took over another's result stands for that other one.
        """
        query = """select * from jobs join genomes using (number) where number = (
            select coalesce(max(same_as), jobs.number) from jobs left join results using (number)
            where id = ?)"""
        row = self._journal.select(query, self.identity(name))[0]
        graph = Graph.from_json(self._journal.parsed(row["graph"]))
        result = self._journal.latest_result(row["number"])
        folder = self.folder / "models" / row["id"]
        return Model(row["id"], row["number"], row["seed"], graph, result, folder)


def load(folder: str | Path) -> Run:
    """Open a run folder for reading: `.models .generations .curves .lineage .polished` are DataFrames."""
    return Run(Path(folder))


def shared(folder: Path, function_set: str, dataset: str | None) -> dict[str, str | None]:
    """Return the columns that are the same for every model of a run."""
    return {"function_set": function_set, "run": folder.absolute().name, "dataset": dataset}


def population(journal: Journal, generation: int, shared: dict[str, str | None]) -> pd.DataFrame:
    """Return the population after `generation`, best first, with `shared` columns.

    Raises BadInput if there is none.
    """
    rows = journal.select("select members from generations where generation=?", generation)
    if not rows:
        done = journal.select("select count(*) as n from generations")[0]["n"]
        raise BadInput(f"--generation: {generation}; this run has {done} finished generations, counted from 0")
    members = journal.parsed(rows[0]["members"])
    marks = ",".join("?" * len(members))
    place = {number: n for n, number in enumerate(members)}
    found = journal.tuples(f"{_MODELS} and j.number in ({marks})", *members)
    return _typed(sorted(found, key=lambda row: place[row[_JOB]]), shared)


def _typed(rows: list[tuple[Any, ...]], shared: dict[str, str | None]) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=_COLUMNS).astype(_TYPES)
    for name in (column for column in MODEL_COLUMNS if column in shared):
        table.insert(MODEL_COLUMNS.index(name), name, shared[name])
    return table if table["test_accuracy"].notna().any() else table.drop(columns="test_accuracy")


_COLUMNS = [name for name in MODEL_COLUMNS if name not in ("function_set", "run", "dataset")] + ["test_accuracy"]
_JOB = _COLUMNS.index("job")
_TYPES = {
    **dict.fromkeys(("job", "generation", "depth", "conv_layers", "params", "flops"), "int64"),
    **dict.fromkeys(("receptive_field", "seed"), "int64"),
    **dict.fromkeys(("val_accuracy", "val_loss", "seconds", "peak_memory_mb", "scratch_share"), "float64"),
    **dict.fromkeys(("train_accuracy", "test_accuracy"), "float64"),
    **dict.fromkeys(("parent", "same_as"), "string"),
    "epochs": "Int64",
}
