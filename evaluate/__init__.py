"""What a network is worth.

job        Job, its task, Recipe, DataSpec, Result: plain values that cross processes
metrics    metrics and objectives by name          <- a new one goes here
foreign    functions of the user's that judge networks
files      names of files; atomic writing
worker     `evaluate(job)` -> Result

data/      datasets, the shared cache and its splits, batches on the device
training/  a network, images, a recipe and a seed become a learning curve and weights
measures/  what can be measured of a network       <- a new measure goes here
devices/   what a process computes on, in which precision; how many workers go on each device
memory/    what a training will take, what it took, what is free
pool/      slots, deadlines, lost jobs; executors  <- a new executor goes into pool/executors/
"""
