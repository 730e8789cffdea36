"""What a network is worth.

job         Job, Recipe, DataSpec, Result: plain values that cross processes
datasets    the datasets by name                    <- a new dataset goes here
data        the shared cache of images; train, validation and test indices
augment     batches on the device
numerics    precision and memory format
initialise  weight initialisation by name
train       network, images, recipe, seed -> learning curve
checkpoint  weights that describe themselves, written atomically
memory      peak memory of an evaluation
fitness     objectives by name                      <- a new objective goes here
worker      `evaluate(job)` -> Result
pool        slots, deadlines, lost jobs
executors   where jobs run
"""
