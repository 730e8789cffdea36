"""What a network is worth.

job         Job, its task, Recipe, DataSpec, Result: plain values that cross processes
datasets    the datasets by name                    <- a new dataset goes here
data        the shared cache of images; train, validation and test indices
files       names of files; atomic writing
augment     batches on the device
numerics    precision and memory format
initialise  weight initialisation by name
inherit     weights taken over from a parent
step        one training step, eager or as a CUDA graph
train       network, images, recipe, seed -> learning curve
checkpoint  weights that describe themselves, written atomically
footprint   memory that an evaluation will take; peak, that it took; room, that is free
heap        freed memory, kept and given back
place       what a process computes on
measures    what can be measured of a network       <- a new measure goes here
control_groups  what memory containers, SLURM, systemd leave a process
probe       short measurements of a device
placement   how many workers go on each device
forecast    what an evaluation will cost
profile     where the time of an epoch goes
fitness     objectives by name                      <- a new objective goes here
worker      `evaluate(job)` -> Result
slot        what a pool asks of a slot              <- a new executor goes into executors/
pool        slots, deadlines, lost jobs
retries     jobs that are tried once more, alone
usage       where the slots' time goes
executors   where jobs run: local, serial, dask
hosting     what runs in a Dask worker
process     a worker process, as its owner sees it
forkserver  the process that workers are forked from
"""
