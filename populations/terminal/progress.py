"""How far a training is, on standard error: a bar on a terminal, elsewhere a line now and then. No torch."""

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from populations.terminal.spoken import duration

_LINES = 10  # where there is no terminal


class TrainingProgress:
    """Shows a training of `epochs`; call it with the curve after each one. A context manager, which ends the bar."""

    def __init__(self, epochs: int) -> None:
        """Begin at epoch 0."""
        self.epochs = epochs
        self._console = Console(stderr=True, highlight=False, soft_wrap=True)
        columns = (TextColumn("epoch"), BarColumn(24), MofNCompleteColumn(), TextColumn("{task.description}"))
        self._bar = Progress(*columns, console=self._console, disable=not self._console.is_terminal)
        self._task = self._bar.add_task("starting", total=epochs)

    def __call__(self, curve: list[dict[str, float]]) -> None:
        """Show the epoch that ends `curve`, its accuracies, or losses where there are none, and how long is left."""
        epoch, row = len(curve), curve[-1]
        left = (self.epochs - epoch) * sum(point["seconds"] for point in curve) / epoch
        score = "accuracy" if "train_accuracy" in row else "loss"
        shown = [f"{name} {row[name]:.4f}" for name in (f"train_{score}", f"val_{score}") if name in row]
        text = "  ".join([*shown, f"about {duration(left)} left" if left else "done"])
        if not self._bar.disable:
            self._bar.update(self._task, completed=epoch, description=text)
        elif epoch in (1, self.epochs) or epoch % max(1, self.epochs // _LINES) == 0:
            self._console.print(f"epoch {epoch} of {self.epochs}  {text}", markup=False)

    def __enter__(self) -> "TrainingProgress":
        """Start the bar."""
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End the bar."""
        self._bar.stop()
