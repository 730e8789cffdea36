"""Who lives, who breeds, and how it is remembered.

record       Candidate, Record, Generation
__main__     python -m populations COMMAND
front        what no other dominates, in several objectives

strategies/  ask(n) -> candidates, tell(record)      <- a new strategy goes here
setup/       flags become a strategy, images, workers and an open run
search/      the loop: ask, train, tell; which job runs next, and who hears of it
run_folder/  what a run leaves on the disk: its journal, its folder, its lock
reading/     a run as pandas tables, `load(RUN)`, and its models again
figures/     what pages and papers draw, as pandas tables
report/      runs as a page
plotting/    a run in figures for papers
tracking/    a run carried on into TensorBoard and MLflow
exporting/   networks carried away: `create_model(RUN, MODEL)`, and written in the formats of others
commands/    what is asked of a run afterwards
terminal/    what a search shows, and what its user types
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from populations.exporting.created import create_model
    from populations.reading.frame import Run, load

__all__ = ["Run", "create_model", "load"]

_WHERE = {"Run": "reading.frame", "load": "reading.frame", "create_model": "exporting.created"}


def __getattr__(name: str) -> Any:
    """Import pandas for those who read a run, and torch for those who want a network; others do not wait for it."""
    if name in _WHERE:
        return getattr(import_module(f"populations.{_WHERE[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
