"""Same graph, same result: which job trains, and who waits for it. No torch."""

from evaluate.job import SEARCH, Key
from populations.record import Candidate
from populations.run_folder.journal import Journal


class Deduplication:
    """Of the search's jobs with one graph the lowest number trains, however many workers there are."""

    def __init__(self, journal: Journal, enabled: bool) -> None:
        """Look jobs up in `journal`; where it is not `enabled`, every job trains."""
        self._journal, self._enabled = journal, enabled
        self._waiting: dict[Key, list[Candidate]] = {}

    def original(self, candidate: Candidate) -> Key | None:
        """Return the earlier job whose result `candidate` takes over; None where it is trained itself."""
        if not self._enabled or candidate.stage != SEARCH:
            return None
        first = self._journal.first_with(candidate.model.id)
        return Key(SEARCH, first) if first is not None and first < candidate.number else None

    def wait(self, original: Key, candidate: Candidate) -> None:
        """Let `candidate` wait for the result of `original`."""
        self._waiting.setdefault(original, []).append(candidate)

    def followers(self, original: Key) -> list[Candidate]:
        """Take out who waits for the result of `original`."""
        return self._waiting.pop(original, [])
