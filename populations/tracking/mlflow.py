"""Runs of an MLflow tracking server: one for the search, with one inside it for each network.

A network that was carried over whole is left alone when the command is given again; what an earlier call left
unfinished, or what was tried again since, is removed and written anew.
"""

import math
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cgp.errors import BadInput
from populations.setup.config import Config
from populations.tracking.follow import Network
from populations.tracking.tracker import scores, settings

# Before MLflow is imported: it tells nobody but the server, whose absence it says at once, and of that alone.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, Run
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

_RUN, _MODEL, _PLACE, _STATUS = "cgp.run", "cgp.model", "cgp.place", "cgp.status"  # tags
_LONGEST = 500  # characters of a parameter
_PAGE = 1_000  # runs of one answer


class MLflow:
    """Writes a search into an experiment."""

    def __init__(self, uri: str, experiment: str, folder: str, config: Config) -> None:
        """Begin, or go on with, the run in `folder` as one of `experiment`, which is made where it is missing.

        Raises BadInput where the server at `uri` does not answer, or cannot store runs.
        """
        self._config = config
        try:
            self._client = MlflowClient(tracking_uri=uri)
            found = self._client.get_experiment_by_name(experiment)
            self._experiment = found.experiment_id if found else self._client.create_experiment(experiment)
            self._search = self._begun(folder)
            networks = self._runs(MLFLOW_PARENT_RUN_ID, self._search)
            self._known = {run.data.tags[_MODEL]: run for run in networks}
            history = self._client.get_metric_history(self._search, "population/networks")
            self._generations = {point.step for point in history}
        except Exception as error:  # of whichever store or server: MLflow's own, SQLAlchemy's, of the net
            raise BadInput(f"--uri {uri}: {_line(error)}; expected a server, or sqlite:///FILE.db") from error
        self._open: dict[str, tuple[str, int]] = {}  # of networks that train: run, and epochs written

    def _begun(self, folder: str) -> str:
        for run in self._runs(_RUN, folder):
            return str(run.info.run_id)
        name = Path(folder).name
        run = self._client.create_run(self._experiment, tags={_RUN: folder}, run_name=name)
        self._write(run.info.run_id, {}, 0, self._config.values)
        return str(run.info.run_id)

    def _runs(self, tag: str, value: str) -> Iterator[Run]:
        token = None
        while True:
            quoted = value.replace("'", "\\'")
            wanted = f"tags.`{tag}` = '{quoted}'"
            page = self._client.search_runs([self._experiment], wanted, max_results=_PAGE, page_token=token)
            yield from page
            token = page.token
            if not token:
                return

    def network(self, network: Network) -> None:
        """Write what is new of the curve, and in the end hyper-parameters and scores."""
        identity = network.row["id"]
        if network.place is not None and self._is_whole(identity, network.place):
            return
        run, written = self._open.pop(identity, ("", 0))
        if not run or written > len(network.curve):  # its training started over
            run, written = self._anew(identity, run), 0
        for row in network.curve[written:]:
            self._write(run, {name: value for name, value in row.items() if name != "epoch"}, int(row["epoch"]))
        if network.place is None:
            self._open[identity] = run, len(network.curve)
            return
        found = {f"score/{name}": value for name, value in scores(network).items()}
        self._write(run, found, 0, settings(self._config, network))
        status = str(network.row["status"])
        self._client.set_tag(run, _STATUS, status)
        self._client.set_tag(run, _PLACE, str(network.place))
        self._client.set_terminated(run, "FINISHED" if status in ("ok", "pruned") else "FAILED")
        self._known[identity] = self._client.get_run(run)

    def _is_whole(self, identity: str, place: int) -> bool:
        known = self._known.get(identity)
        return known is not None and known.data.tags.get(_PLACE) == str(place) and known.info.status != "RUNNING"

    def _anew(self, identity: str, begun: str) -> str:
        known = self._known.pop(identity, None)
        for old in {begun, str(known.info.run_id) if known else ""} - {""}:
            self._client.delete_run(old)
        tags = {MLFLOW_PARENT_RUN_ID: self._search, _MODEL: identity}
        return str(self._client.create_run(self._experiment, tags=tags, run_name=identity).info.run_id)

    def generation(self, statistics: dict[str, Any]) -> None:
        """Write the statistics of a generation, unless an earlier call has."""
        if statistics["generation"] in self._generations:
            return
        values = {f"population/{name}": value for name, value in statistics.items() if name != "generation"}
        self._write(self._search, values, int(statistics["generation"]))

    def close(self) -> None:
        """End the run of the search; one of a network that still trains stays open."""
        self._client.set_terminated(self._search)

    def _write(
        self, run: str, values: Mapping[str, float], step: int, params: Mapping[str, Any] | None = None
    ) -> None:
        """Write metrics of a step, without what is no finite number, and parameters, which may not change later."""
        now = int(1e3 * time.time())
        finite = {_name(name): float(value) for name, value in values.items() if math.isfinite(value)}
        metrics = [Metric(name, value, now, step) for name, value in finite.items()]
        known = [Param(_name(name), str(value)[:_LONGEST]) for name, value in (params or {}).items()]
        self._client.log_batch(run, metrics, known)


def _name(name: str) -> str:
    """Return a name that MLflow takes: letters, digits, and _ - . space : /."""
    return "".join(letter if letter.isalnum() or letter in "_-. :/" else "_" for letter in name)


@contextmanager
def said_in_one_line(uri: str) -> Iterator[None]:
    """Raise BadInput where the server at `uri` fails in what is done meanwhile."""
    try:
        yield
    except MlflowException as error:
        raise BadInput(f"--uri {uri}: {_line(error)}; the same command goes on") from error


def _line(error: Exception) -> str:
    """Return what MLflow, or what it is built on, says of an error."""
    said = error.message if isinstance(error, MlflowException) else str(error)
    return " ".join(f"{type(error).__name__}: {said}".split())[:300]
