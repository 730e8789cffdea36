"""The command `mlflow`: a run in an MLflow tracking server."""

import argparse

from populations.commands.tracked import track
from populations.tracking.mlflow import MLflow, said_in_one_line


def log_runs(arguments: argparse.Namespace) -> int:
    """Log the run, and what comes while it is searching with --follow; say where."""
    folder = arguments.run.absolute()
    experiment = arguments.experiment or folder.name
    with said_in_one_line(arguments.uri):
        track(arguments, lambda config: MLflow(arguments.uri, experiment, str(folder), config))
    print(f"experiment {experiment} at {arguments.uri}")
    return 0
