"""Which model is the best, and whose weights stay. No torch."""

from pathlib import Path

from evaluate.files import BEST, LAST, draft_of


class Retention:
    """Keeps the link `best` of a run current, and with `keep` = `best` the weights of that model alone."""

    def __init__(self, folder: Path, keep: str) -> None:
        """`folder` is the run's; `keep` is `all` or `best`."""
        self._folder, self._keep = folder, keep
        self._best: str | None = None  # id of the model that the link points to
        self._superseded: list[str] = []  # ids whose weights may go

    def told(self, identity: str) -> None:
        """Note that a model was told to the strategy: unless it is the best then, its weights may go."""
        self._superseded.append(identity)

    def point_to(self, identity: str) -> None:
        """Let `best` point to a model; drop the weights of others where they are not to stay."""
        if identity != self._best:
            draft = draft_of(self._folder / "best")
            draft.unlink(missing_ok=True)
            draft.symlink_to(Path("models") / identity)
            draft.replace(self._folder / "best")
            self._superseded += [self._best] if self._best else []
            self._best = identity
        if self._keep == "best":
            for name in (BEST, LAST):
                for other in set(self._superseded) - {identity}:
                    (self._folder / "models" / other / name).unlink(missing_ok=True)
        self._superseded.clear()
