"""The command `predict`: what a model says of image files."""

import argparse

import pandas as pd

from cgp.errors import BadInput
from populations.exporting.carried import carried
from populations.exporting.predicting import found_images, probabilities
from populations.reading.frame import load
from populations.terminal.tables import print_table


def predict_images(arguments: argparse.Namespace) -> int:
    """Show the most probable classes of each image, a row each, and return 0."""
    if arguments.top < 1:
        raise BadInput(f"--top: {arguments.top}; expected at least 1")
    run = load(arguments.run)
    network = carried(run, run.model(arguments.model))
    files = found_images(arguments.images)
    chosen = probabilities(network, files).topk(min(arguments.top, network.graph.classes))
    rows = [
        {"image": str(path), "class": network.images.classes[number], "probability": probability}
        for path, values, numbers in zip(files, chosen.values.tolist(), chosen.indices.tolist(), strict=True)
        for probability, number in zip(values, numbers, strict=True)
    ]
    print_table(pd.DataFrame(rows), arguments.format)
    return 0
