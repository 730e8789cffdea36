"""Images: which, how they are split, and how they lie on a device.

datasets     the datasets by name                     <- a new dataset goes here
splits       the shared cache of images; train, validation and test indices
images       batches on the device, shifted and mirrored there
preprocessing  what is made of pixels: by channels, by images, whitened
preparation  how images are prepared, in every checkpoint
"""
