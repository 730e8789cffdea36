"""What every last word on a search shares: when another strategy's search is done, more jobs about its winners."""

from abc import abstractmethod

from populations.record import Candidate, Generation, History, Record
from populations.strategies.breeding import Strategy


class Afterwards(Strategy):
    """Follows the whole search of another strategy; subclasses say which jobs come then, and who is best by them."""

    stage: str  #: of the jobs that come then

    def __init__(self, searching: Strategy) -> None:
        """Follow the whole search of `searching`."""
        super().__init__(searching.settings)
        self.searching = searching
        self.turned_away = searching.turned_away
        self._finalists: list[Candidate] | None = None  # None while the search goes on
        self._told: dict[int, Record] = {}

    @abstractmethod
    def finalists(self) -> list[Candidate]:
        """Return the jobs that come when the search is done, whose generation is `generation`."""

    @property
    @abstractmethod
    def expected(self) -> int:
        """How many finalists there will be: at most, as long as the search goes on."""

    @property
    def generation(self) -> int:
        """Number of the generation that the finalists are: behind the last one of the search."""
        return self.settings.generations + isinstance(self.searching, Afterwards)

    @property
    def total(self) -> int:
        """How many networks the search asks for, and its finalists."""
        finalists = self.expected if self._finalists is None else len(self._finalists)
        return self.searching.total + finalists

    @property
    def unraced(self) -> int:
        """The finalists, and those of the search."""
        return self.total - self.searching.total + self.searching.unraced

    @property
    def done(self) -> bool:
        """Whether every finalist is told."""
        return self._finalists is not None and len(self._told) == len(self._finalists)

    @property
    def best(self) -> Record | None:
        """The best finalist so far; before that, the best of the search."""
        return super().best or self.searching.best

    @property
    def heeds_arrival(self) -> bool:
        """As the search does."""
        return self.searching.heeds_arrival

    def recall(self, history: History) -> None:
        """Hand it on to the search; what comes then has no order."""
        self.searching.recall(history)

    def ask(self, n: int) -> list[Candidate]:
        """Return candidates of the search, and once it is done all finalists."""
        if not self.searching.done:
            return self.searching.ask(n)
        if self._finalists is not None:
            return []
        self._finalists = self.finalists()
        return self._finalists

    def tell(self, record: Record) -> list[Generation]:
        """Take in a result; return the generations that it completes.

        Raises ValueError for a record that was not asked for.
        """
        number = record.candidate.number
        if record.candidate.stage != self.stage:
            return self.searching.tell(record)
        if number in self._told or number not in {candidate.number for candidate in self._finalists or []}:
            raise ValueError(f"told of job {number} of stage {self.stage}, which is not waited for")
        self._told[number] = record
        self.rank(record)
        if not self.done:
            return []
        return [self.log(self.generation, [self._told[number] for number in sorted(self._told)])]

    @abstractmethod
    def rank(self, record: Record) -> None:
        """Take in the result of a finalist: `individuals` and `hall_of_fame` are of finalists from then on."""
