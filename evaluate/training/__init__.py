"""How a network is trained.

train       network, images, recipe, seed -> learning curve
trained     a task of training, carried out
initialise  weight initialisation by name
start       where weights begin
inherit     weights taken over from a parent
step        one training step, eager or as a CUDA graph
criterion   what a step makes small: cross-entropy, or a power of the error
sparing     how a step holds less memory
activations  what is recorded of each layer after each epoch
limit       what is recorded of a residual MLP, and the learning rate that follows from it
checkpoint  weights that describe themselves, written atomically
forecast    what a training will cost
profile     where the time of an epoch goes
"""
