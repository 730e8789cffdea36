"""Where jobs run. No torch, but in the executors.

pool        slots, deadlines, lost jobs
slot        what a pool asks of a slot
retries     jobs that are tried once more, alone
usage       where the slots' time goes
executors/  where workers are: local, serial, dask  <- a new executor goes here
hosting     what runs in a Dask worker
process     a worker process, as its owner sees it
forkserver  the process that workers are forked from
"""
