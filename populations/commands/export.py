"""The command `export`: carry a network away, in a format that needs nothing of ours."""

import argparse

from populations.exporting.carried import carried
from populations.exporting.export import export, usable
from populations.reading.frame import load


def export_model(arguments: argparse.Namespace) -> int:
    """Write a model in a format, say by how much it differs when it is loaded again, and return 0."""
    out = arguments.out
    format = usable(arguments.format, out, arguments.force)
    run = load(arguments.run)
    found = carried(run, run.model(arguments.model))
    graph = found.graph
    print(f"model {found.id}: depth {graph.depth}, {graph.conv_layers} convolutions, {graph.params:,} parameters")
    largest = export(found, format, out)
    print(f"{out}: loaded again, its logits differ by at most {largest:.2g} (8 random images, batches of 1 to 4)")
    return 0
