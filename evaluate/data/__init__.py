"""Images: which, how they are split, and how they lie on a device.

datasets     the datasets by name                     <- a new dataset goes here
synthetic    regressions that are made: values of functions
splits       the shared cache of images; train, validation and test indices
images       batches on the device, shifted and mirrored there
preprocessing  pixels as a network reads them: normalised by channel or by image, whitened
preparation  how images are prepared, in every checkpoint
"""
