"""What the commands `tensorboard` and `mlflow` share: a run is followed, and a tool told of it."""

import argparse
from collections.abc import Callable
from contextlib import closing

from cgp.errors import BadInput
from populations.reading.frame import load
from populations.setup.config import Config
from populations.tracking.follow import followed
from populations.tracking.tracker import Tracker


def track(arguments: argparse.Namespace, begin: Callable[[Config], Tracker]) -> None:
    """Tell the tracker that `begin` returns of the run, and with --follow of what comes; say how much it was told.

    Raises BadInput for a run without models.
    """
    run = load(arguments.run)
    if run.models.empty and run.state != "running":
        raise BadInput(f"{arguments.run}: has no models; expected a run that has begun to train")
    networks, generations = set[str](), 0
    with closing(begin(Config.of(run.config, run.folder))) as tracker:
        for news in followed(arguments.run, arguments.follow):
            for network in news.networks:
                tracker.network(network)
                networks.add(network.row["id"])
            for statistics in news.generations:
                tracker.generation(statistics)
            generations += len(news.generations)
    print(f"{arguments.run}: {len(networks)} networks, {generations} generations")
