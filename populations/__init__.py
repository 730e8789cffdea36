"""Who lives, who breeds, and how it is remembered.

strategies/  ask(n) -> candidates, tell(record)      <- a new strategy goes here
record       Candidate, Record, Generation
racing       who goes on from a rung
schedule     which job runs next
cost         what an epoch costs: forecast, then learned
outlook      how long a search still takes
session      a run opened, and how its user stops it
folder       config.json, environment.json of a run
store        the run folder: open, close, snapshot, resume
journal      run.sqlite
ledger       where the slots' time went
frame        run -> pandas: `load(RUN)`
config       flags, TOML file -> Config
forecast     what a search will cost
screen       what a search shows while it runs
spoken       durations and sizes as one says them
replay       score or train a recorded model again
__main__     python -m populations list|show|best|lineage|replay
"""

from populations.frame import Run, load

__all__ = ["Run", "load"]
