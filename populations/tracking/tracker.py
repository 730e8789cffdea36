"""What a tool is told of a run, and what every tool is told of a network. No torch."""

from typing import Any, Protocol

from populations.setup.config import Config
from populations.tracking.follow import Network

_ELSEWHERE = ("data_dir", "download")  # where images are says nothing of a training
_NO_SCORES = ("scratch_share", "predicted")
_NO_SETTINGS = ("id", "run", "epochs")  # a flag says how many epochs were asked for


class Tracker(Protocol):
    """Takes in what each look at a run found."""

    def network(self, network: Network) -> None:
        """Take in a network; again when there is more of its curve, or its result."""

    def generation(self, statistics: dict[str, Any]) -> None:
        """Take in a finished generation."""

    def close(self) -> None:
        """Write what is not written yet."""


def settings(config: Config, network: Network) -> dict[str, bool | int | float | str]:
    """Return the hyper-parameters of a network: how it was trained, and what it is."""
    flags = {name: value for name, value in vars(config.evaluation).items() if name not in _ELSEWHERE}
    left_out = {*_NO_SETTINGS, *scores(network)}
    own = {name: value for name, value in network.row.items() if name not in left_out}
    return {name: _plain(value) for name, value in (flags | own).items() if value is not None}


def scores(network: Network) -> dict[str, float]:
    """Return the metrics of a network that has ended, those of the run's own objectives too."""
    found = {name: value for name, value in network.row.items() if isinstance(value, float)}
    return {name: float(value) for name, value in found.items() if name not in _NO_SCORES}


def _plain(value: Any) -> bool | int | float | str:
    value = value.item() if hasattr(value, "item") else value
    return value if isinstance(value, bool | int | float) else str(value)
