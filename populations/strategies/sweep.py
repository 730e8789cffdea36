"""A fixed list: everything on it is trained or measured, nothing is bred."""

from collections.abc import Sequence

from cgp.model import Model
from evaluate.job import SEARCH
from populations.record import Candidate, Generation, Record
from populations.strategies.breeding import Settings, Strategy, best_distinct


class Sweep(Strategy):
    """Asks for the candidates that it is given, all at once.

    Those of a search's own stage, hand-made networks say, are its one generation; others leave the run's best,
    population and generations as they are.
    """

    def __init__(self, settings: Settings, candidates: Sequence[Candidate]) -> None:
        """Begin with nothing asked. Raises ValueError for a job that is there twice."""
        super().__init__(settings)
        if len({candidate.key for candidate in candidates}) < len(candidates):
            raise ValueError(f"a job is asked for twice: {sorted(candidate.key for candidate in candidates)}")
        self.candidates = tuple(candidates)
        self._asked = False
        self._waited_for = {candidate.key for candidate in candidates}
        self._told: list[Record] = []

    @property
    def total(self) -> int:
        """How many candidates there are."""
        return len(self.candidates)

    @property
    def unraced(self) -> int:
        """All of them."""
        return self.total

    @property
    def can_go_on(self) -> bool:
        """No: its list is all there is."""
        return False

    def sample(self, count: int) -> list[Model]:
        """Return its own networks."""
        return [candidate.model for candidate in self.candidates]

    @property
    def done(self) -> bool:
        """Whether all are told."""
        return not self._waited_for

    def ask(self, n: int) -> list[Candidate]:
        """Return all candidates, once."""
        if self._asked:
            return []
        self._asked = True
        return list(self.candidates)

    def tell(self, record: Record) -> list[Generation]:
        """Take in a result; return the generation that it completes.

        Raises ValueError for a record that was not asked for.
        """
        candidate = record.candidate
        if candidate.key not in self._waited_for:
            raise ValueError(f"told of job {candidate.number} of stage {candidate.stage}, which is not waited for")
        self._waited_for.remove(candidate.key)
        self._told.append(record)
        if candidate.stage != SEARCH or candidate.again:
            return []
        self.hall_of_fame.update(self.scored([record]))
        if not self.done:
            return []
        records = sorted(self._told, key=lambda record: record.candidate.number)
        self.individuals = best_distinct(self.scored(records), self.total)
        return [self.log(candidate.generation, records)]
