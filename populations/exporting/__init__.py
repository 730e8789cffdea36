"""Networks carried away: written in a format that others read, loaded again from it, and compared.

carried     a trained network with how its images are prepared
formats     the formats by name                    <- a new format goes here
standalone  the source of a network with all that it needs to name an image
export      a network in a format, compared before it is put in its place
created     `create_model`, as timm has it
predicting  what a network says of image files
"""
