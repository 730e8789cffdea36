"""Which model is the best, and whose weights stay. No torch."""

from collections.abc import Collection
from pathlib import Path

from evaluate.files import BEST, LAST, draft_of, kept_epochs

KEPT = ("all", "best", "pareto")  #: whose weights may stay: every model's, the best one's, those of the front


class Retention:
    """Keeps the link `best` of a run current, and the weights of the models that are to stay."""

    def __init__(self, folder: Path, keep: str) -> None:
        """`folder` is the run's; `keep` is one of `KEPT`."""
        self._folder, self._keep = folder, keep
        self._best: str | None = None  # id of the model that the link points to
        self._staying: set[str] = set()  # ids whose weights stay, unless it is those of all
        self._superseded: set[str] = set()  # ids whose weights may go

    def told(self, identity: str) -> None:
        """Note that a model was told to the strategy: unless it is to stay then, its weights may go."""
        self._superseded.add(identity)

    def point_to(self, identity: str, front: Collection[str] = ()) -> None:
        """Let `best` point to a model; drop the weights of others where they are not to stay.

        `front` are the ids of the models on the front, in which that one is.
        """
        if identity != self._best:
            draft = draft_of(self._folder / "best")
            draft.unlink(missing_ok=True)
            draft.symlink_to(Path("models") / identity)
            draft.replace(self._folder / "best")
            self._best = identity
        if self._keep != "all":
            staying = {identity, *front} if self._keep == "pareto" else {identity}
            for other in (self._superseded | self._staying) - staying:
                folder = self._folder / "models" / other
                for path in (folder / BEST, folder / LAST, *kept_epochs(folder).values()):
                    path.unlink(missing_ok=True)
            self._staying = staying
        self._superseded.clear()
