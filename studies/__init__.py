"""Questions to a population, each one command: `python -m studies NAME RUN`. Their measures are in `evaluate`.

__main__    the command line
asking      which models are asked about, and how: through the pool and the journal of their run
landing     tables and pictures, into the folder of the run
relating    figures with their n and spread: means, rank correlations
decay       powers of the epoch, fitted to what falls
surfaces    the loss on a plane, drawn

activations  what the activations of each layer are like while networks are trained
corruptions  what noise, blur, weather and compression do
depth       whether depth is what matters, by kind of network and size of the data
features    which layers of VGG want the features
forgetting  what is left of some classes when others are learned
landscape   the loss on a plane around the weights of a network
limit       whether weights have a limit as a path in depth, and how fast gradients fall
lr_range    at which learning rates the loss falls
spectra     how many directions each convolution uses     <- a new study goes here
"""
