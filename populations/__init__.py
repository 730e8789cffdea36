"""Who lives, who breeds, and how it is remembered.

strategies/  ask(n) -> candidates, tell(record)      <- a new strategy goes here
record       Candidate, Record, Generation
store        the run folder: open, close, snapshot, resume
journal      run.sqlite
frame        run -> pandas: `load(RUN)`
config       flags, TOML file -> Config
forecast     what a search will cost
screen       what a search shows while it runs
replay       score or train a recorded model again
__main__     python -m populations list|show|best|lineage|replay
"""

from populations.frame import Run, load

__all__ = ["Run", "load"]
