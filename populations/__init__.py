"""Who lives, who breeds, and how it is remembered.

record       Candidate, Record, Generation
__main__     python -m populations list|show|best|lineage|replay|confirm|measure

strategies/  ask(n) -> candidates, tell(record)      <- a new strategy goes here
setup/       flags become a strategy, images, workers and an open run
search/      the loop: ask, train, tell; which job runs next, and who hears of it
run_folder/  what a run leaves on the disk: its journal, its folder, its lock
reading/     a run as pandas tables, `load(RUN)`, and its models again
report/      runs as a page
plotting/    a run in figures for papers
figures/     what pages and papers draw, as pandas tables
commands/    what is asked of a run afterwards
terminal/    what a search shows, and what its user types
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from populations.reading.frame import Run, load

__all__ = ["Run", "load"]


def __getattr__(name: str) -> Any:
    """Import pandas for those who read a run; others do not wait for it."""
    if name in __all__:
        return getattr(import_module("populations.reading.frame"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
