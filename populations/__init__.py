"""Who lives, who breeds, and how it is remembered.

strategies/  ask(n) -> candidates, tell(record)      <- a new strategy goes here
record       Candidate, Record, Generation
racing       who goes on from a rung
schedule     which job runs next
start        what comes before a search: a line, the workers' server, slow imports
loop         ask, train, tell
asking       other work through the same loop: confirm, measuring
composition  Config -> strategy, images, the run opened
workplace    where the jobs of a search run
cost         what an epoch costs: forecast, then learned
outlook      how long a search still takes
stop         how its user, or a disk, stops a search
folder       config.json, environment.json of a run
lock         who drives a run
store        the run folder: open, close, snapshot, resume
deduplication  same graph, same result; retention, whose weights stay
journal      run.sqlite; connection, how it is opened and closed; schema, its tables and their formats
ledger       where the slots' time went
frame        run -> pandas: `load(RUN)`; columns, what its columns mean
config       flags, TOML file -> Config; recorded, what those of an older run meant
commands     what to type to search, and to look into runs
forecast     what a search will cost
observers    what hears of a search while it runs; screen, what it shows
spoken       durations and sizes as one says them
replay       score or train a recorded model again
replaying    the command `replay`; progress, how far its training is
__main__     python -m populations list|show|best|lineage|replay|confirm|measure
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from populations.frame import Run, load

__all__ = ["Run", "load"]


def __getattr__(name: str) -> Any:
    """Import pandas for those who read a run; others do not wait for it."""
    if name in __all__:
        return getattr(import_module("populations.frame"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
