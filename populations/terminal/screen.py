"""What a search shows while it runs: plain lines, and below them on a terminal how far it is."""

import shutil
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from evaluate.job import Job
from populations.record import Generation, Record
from populations.search.observers import Observer
from populations.search.outlook import Standing
from populations.search.racing import last_epoch
from populations.strategies import Confirmation, Strategy
from populations.terminal.programs import populations_command, report_is_installed, search_command
from populations.terminal.spoken import duration, size

_SLOTS = 8  # slots that have a line of their own
_SAY_S = 60.0  # from one word to the next on how far a search is, where there is no terminal
_HEAD_EVERY = 20  # generations
_HEAD = "gen  best so far    ok  pruned  failed  median of ok  survivors' depth      time"


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.4f}" if abs(value) < 1000 else f"{value:.4g}"


def _first_score(record: Record | None) -> tuple[str, float | None]:
    """Return name and value of what is told of a network first: its accuracy, or the loss of a regression."""
    metrics = record.result.metrics if record else {}
    name = "val_loss" if metrics and "val_accuracy" not in metrics else "val_accuracy"
    return name, metrics.get(name)


class Screen(Observer):
    """Prints lines and a bar; use it as a context manager, which takes the bar away in the end."""

    def __init__(self, total: int = 0, quiet: bool = False, aside: bool = False) -> None:
        """Begin to show a search of `total` networks, where that is known already; a `quiet` screen shows nothing.

        One that is `aside` shows on standard error, and leaves standard output to a table.
        """
        self.console = Console(highlight=False, soft_wrap=True, emoji=False, quiet=quiet, stderr=aside)
        self.total = total
        self._done = self._failed = self._rows = 0
        self._started = self._began = self._said = time.monotonic()
        self._live = Live(console=self.console, auto_refresh=False, transient=True)

    def doing(self, text: str) -> None:
        """Say what is being done before the search begins."""
        self.line(text)

    def images(self, name: str, train: int, validation: int) -> None:
        """Show how many images of the dataset `name` networks are trained and validated on."""
        self.line(f"{name}: train {train:,} images, validation {validation:,}")

    def slots(self, slots: list[tuple[str, dict[str, Any]]]) -> None:
        """Show where jobs will run: a line for each (name of slot, what its worker said)."""
        self.line(f"{'slot':8} {'device':6} {'precision':9} {'threads':7} {'process':>8}  {'computes with'}")
        for name, found in slots:
            what = f"{found['device_name']} {found['instruction_set'] or ''}".strip()
            self.line(
                f"{name:8} {found['device']:6} {found['precision']:9} {found['threads']:<7} {found['pid']:>8}  {what}"
            )

    def folder(self, run: Path, wanted: int, forecast: str | None = None) -> None:
        """Show where the run is kept, how long it will take, and the bytes that it will want beside those free."""
        told = f"{forecast}, " if forecast else ""
        disk = f"{size(wanted)} on disk ({size(shutil.disk_usage(run).free)} free)"
        self.line(f"{run}: {self.total} network{'s' * (self.total != 1)}, {told}{disk}")

    def begin(self, total: int, bar: bool = True) -> None:
        """Let the search of `total` networks begin, in this session, and the bar where one is wanted."""
        self.total, self._began = total, time.monotonic()
        if bar and self.console.is_terminal and not self.console.quiet:
            self._live.start()

    def line(self, text: str, style: str | None = None) -> None:
        """Show one line, above the bar where there is one."""
        self.console.print(text, markup=False, style=style)

    def told(self, record: Record) -> None:
        """Count a finished network, and show why where it did not end ok."""
        self._done += 1
        if record.result.status not in ("ok", "pruned"):
            self._failed += 1
            log = f" (log: {record.result.log})" if record.result.log else ""
            self.line(f"  {record.id} {record.result.status}: {record.result.error}{log}", "red")

    def generation(self, generation: Generation) -> None:
        """Show a finished generation as a row of a table, whose head comes again now and then.

        `ok`, `pruned` and `failed` count its networks, the median is of those that ended ok, the best is of all so
        far, and the depth is of the population that survives.
        """
        if self._rows % _HEAD_EVERY == 0:
            self.line(_HEAD)
        self._rows += 1
        s = generation.statistics
        depths = "-" if s["min_depth"] is None else f"{s['min_depth']}..{s['max_depth']}"
        ok = s["networks"] - s["pruned"] - s["failed"]
        self.line(
            f"{generation.number:3}  {_number(s['best_so_far']):>11}  {ok:4}  {s['pruned']:6}  {s['failed']:6}  "
            f"{_number(s['median']):>12}  {depths:>16}  {duration(time.monotonic() - self._started):>8}"
        )

    def stopping(self) -> None:
        """Say that the search was asked to stop and what it does about that."""
        self.line("stopping after this epoch; again to stop now", "yellow")

    def update(self, standing: Standing) -> None:
        """Show how far the search is, how long it still takes, and what each slot trains."""
        now = time.monotonic()
        if self._live.is_started:
            self._live.update(Group(*self._bar(standing, now)), refresh=True)
        elif not self.console.is_terminal and now > self._said + _SAY_S:
            self._said = now
            for line in self._told_so_far(standing, now):
                self.line(line)

    def _told_so_far(self, standing: Standing, now: float) -> list[str]:
        """Return lines that say where there is no terminal, in a log say, how far the search is."""
        left = "" if standing.seconds_left is None else f", about {duration(standing.seconds_left)} left"
        said = f"{duration(now - self._started)}: {self._done} of {self.total}{left}"
        return [said, *(f"  {_training(name, job).plain}" for name, job, _ in standing.running[:_SLOTS])]

    def _bar(self, standing: Standing, now: float) -> list[RenderableType]:
        left = standing.seconds_left
        times = f"{timedelta(seconds=int(now - self._started))} so far"
        times += "" if left is None else f", about {duration(left)} left"
        first = Table.grid(padding=(0, 1))
        first.add_row(
            ProgressBar(max(1, self.total), self._done, width=24), _line(f"{self._done}/{self.total} · {times}")
        )
        score, best = _first_score(standing.best)
        per_hour = standing.ended / max(1.0, now - self._began) * 3600
        second = _line(f"best {score} {_number(best)} · {per_hour:.0f} finished an hour · ")
        second.append(f"{self._failed} failed", "red" if self._failed else "").append(f" · busy {standing.busy:.0%}")
        running = standing.running
        more = [_line(f"... and {len(running) - _SLOTS} more")] if len(running) > _SLOTS else []
        return [first, second, *(_training(name, job) for name, job, _ in running[:_SLOTS]), *more]

    def end(self, run: Path, strategy: Strategy, finished: bool) -> None:
        """Show the best network and the next commands, or of a search that was stopped how it goes on."""
        self._live.stop()
        if not finished:
            self.line(f"stopped; go on with: {search_command()} --resume {run}")
            return
        if strategy.best is None:
            self.line(f"no network finished ok; see the logs: {populations_command()} show {run}")
            return
        best, model, look = strategy.best, strategy.best.candidate.model, populations_command()
        score, value = _first_score(best)
        self.line(
            f"\nbest: {run / 'best'} -> models/{best.id}\n"
            f"      {score} {_number(value)}, depth {model.depth}, "
            f"{model.conv_layers} convolutions, {model.params:,} parameters\n"
        )
        if isinstance(strategy, Confirmation):
            self._confirmed(strategy)
        several = len(strategy.front) > 1
        if several:
            goals = " and ".join(goal.name for goal in strategy.settings.objectives)
            self.line(f"front: {len(strategy.front)} networks that none beats in {goals}\n")
        self.line(f"next: {look} show {run}{' --front' * several}\n      {look} replay {run} best --test")
        if report_is_installed() and score == "val_accuracy":  # which a report's figures are of
            self.line(f"      {look} report {run} --out {run.name}.html")
        if strategy.can_go_on:
            self.line(f"      {search_command()} --resume {run} --generations {strategy.settings.generations * 2}")

    def _confirmed(self, strategy: Confirmation) -> None:
        """Show what came of each winner that was trained again, best first."""
        goal = strategy.settings.objectives[0]
        self.line(f"trained again for {strategy.trained.epochs} epochs on fresh seeds:")
        for record, mean, count in strategy.means:
            searched = goal.value(record.candidate.model, record.result)
            self.line(
                f"      {record.id}  mean {goal.name} {_number(goal.weight * mean)} of {count}, "
                f"in the search {_number(searched)}"
            )
        self.line("")

    def __enter__(self) -> "Screen":
        """Return the screen itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Take the bar away."""
        self._live.stop()


def _line(text: str) -> Text:
    """Return text that a narrow terminal cuts off."""
    return Text(text, no_wrap=True, overflow="ellipsis")


def _training(slot: str, job: Job) -> Text:
    """Return the line of a slot: the network that it trains, and the epoch under way."""
    try:
        rows = (Path(job.folder) / "curve.csv").read_bytes().count(b"\n")
    except OSError:  # its first epoch
        rows = 1  # the head
    epoch = min(max(1, rows), last_epoch(job))
    model = job.task.model
    return _line(
        f"{slot:8} {job.id} · depth {model.depth} · {model.flops / 1e6:,.1f} MFLOPs · epoch {epoch} of {job.epochs}"
    )
