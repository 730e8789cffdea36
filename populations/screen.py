"""What a search shows while it runs: a progress bar on a terminal, plain lines elsewhere."""

import shutil
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from evaluate.pool import Pool
from populations.commands import populations_command, search_command
from populations.record import Generation, Record
from populations.strategies import Strategy


def _number(value: float | None, digits: int = 4) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


class Screen:
    """Prints to standard output; use it as a context manager, which ends the progress bar."""

    def __init__(self, total: int | None = None) -> None:
        """Begin a search of `total` networks; where that is not known yet, `expect` says it."""
        self.console = Console(highlight=False, soft_wrap=True, emoji=False)
        self._done, self._total = 0, total
        self._started = time.monotonic()
        columns = (BarColumn(24), MofNCompleteColumn(), TextColumn("{task.description}"))
        self._bar = Progress(*columns, console=self.console, disable=not self.console.is_terminal)
        self._task = self._bar.add_task("starting", total=total)

    def expect(self, total: int) -> None:
        """Say that the search, which begins now, is of `total` networks."""
        self._total, self._started = total, time.monotonic()
        self._bar.update(self._task, total=total)

    def slots(self, slots: list[tuple[str, dict[str, Any]]]) -> None:
        """Show where jobs will run: a line for each (name of slot, what its worker said)."""
        self.line(f"{'slot':8} {'device':6} {'precision':9} {'threads':7} {'process':>8}  {'computes with'}")
        for name, found in slots:
            what = f"{found['device_name']} {found['instruction_set'] or ''}".strip()
            self.line(
                f"{name:8} {found['device']:6} {found['precision']:9} {found['threads']:<7} {found['pid']:>8}  {what}"
            )

    def folder(self, run: Path, wanted: int) -> None:
        """Show where the run is kept, and the bytes that its checkpoints will want beside those free."""
        free = shutil.disk_usage(run).free / 1e9
        self.line(f"{run}: {self._total} networks, about {wanted / 1e6:.0f} MB of checkpoints ({free:.0f} GB free)")

    def line(self, text: str) -> None:
        """Show one line, above the bar where there is one."""
        self.console.print(text, markup=False)

    def told(self, record: Record) -> None:
        """Count a finished network, and show why where it did not end ok."""
        self._done += 1
        if record.result.status not in ("ok", "pruned"):
            log = f" (log: {record.result.log})" if record.result.log else ""
            self.line(f"  {record.id} {record.result.status}: {record.result.error}{log}")

    def generation(self, generation: Generation) -> None:
        """Show a finished generation in a line."""
        s = generation.statistics
        pruned = f"pruned {s['pruned']:<4} " if s["pruned"] else ""
        depths = "-" if s["min_depth"] is None else f"{s['min_depth']}..{s['max_depth']}"
        self.line(
            f"generation {generation.number:<3} networks {s['networks']:<4} best {_number(s['best'])}  "
            f"median {_number(s['median'])}  depth {depths}  {pruned}failed {s['failed']}  "
            f"{time.monotonic() - self._started:.0f} s"
        )

    def update(self, pool: Pool, strategy: Strategy) -> None:
        """Show networks done, in flight and per hour, the slots' busy share, and the best so far."""
        if self._bar.disable:
            return
        per_hour = len(pool.numbers) / (time.monotonic() - self._started) * 3600
        best = strategy.best.result.metrics["val_accuracy"] if strategy.best else None
        text = (
            f"{pool.busy} in flight · {per_hour:.0f}/h · busy {pool.busy_share:.0%} · "
            f"best val_accuracy {_number(best)}"
        )
        self._bar.update(self._task, completed=self._done, description=text)

    def end(self, run: Path, strategy: Strategy) -> None:
        """Show the best network and the three next commands."""
        self._bar.stop()
        if strategy.best is None:
            self.line(f"no network finished ok; see the logs: {populations_command()} show {run}")
            return
        best, graph, look = strategy.best, strategy.best.candidate.graph, populations_command()
        self.line(
            f"\nbest: {run / 'best'} -> models/{best.id}\n"
            f"      val_accuracy {best.result.metrics['val_accuracy']:.4f}, depth {graph.depth}, "
            f"{graph.conv_layers} convolutions, {graph.params:,} parameters\n\n"
            f"next: {look} show {run}\n"
            f"      {look} replay {run} best --test\n"
            f"      {search_command()} --resume {run} --generations {strategy.settings.generations * 2}"
        )

    def __enter__(self) -> "Screen":
        """Start the bar."""
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End the bar."""
        self._bar.stop()
