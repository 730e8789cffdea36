"""Event files for TensorBoard: a folder of them for each network, and one for the population."""

import math
from pathlib import Path
from typing import Any

from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams

from populations.setup.config import Config
from populations.tracking.follow import Network
from populations.tracking.tracker import scores, settings

POPULATION = "population"
_EVENTS = "events.out.tfevents.*"


class TensorBoard:
    """Writes OUT/ID for each network and OUT/population, each anew: what an earlier call wrote there is replaced."""

    def __init__(self, out: Path, config: Config) -> None:
        """Write below `out`. Raises OSError where that cannot be."""
        self._out, self._config = out, config
        out.mkdir(exist_ok=True)
        self._population = self._begun(POPULATION)
        self._open: dict[str, tuple[SummaryWriter, int]] = {}  # of networks that train: writer, and epochs written

    def _begun(self, name: str) -> SummaryWriter:
        for path in (self._out / name).glob(_EVENTS):
            path.unlink()
        return SummaryWriter(str(self._out / name))

    def network(self, network: Network) -> None:
        """Write what is new of the curve, and in the end hyper-parameters and scores."""
        identity = network.row["id"]
        writer, written = self._open.pop(identity, (None, 0))
        if writer is None or written > len(network.curve):  # its training started over
            writer, written = self._begun(identity), 0
        for row in network.curve[written:]:
            for name, value in row.items():
                if name != "epoch":
                    writer.add_scalar(f"curve/{name}", value, int(row["epoch"]))
        if network.place is None:
            writer.flush()
            self._open[identity] = writer, len(network.curve)
            return
        found = {f"score/{name}": value for name, value in scores(network).items() if math.isfinite(value)}
        assert writer.file_writer is not None  # which a writer has until it is closed
        for summary in hparams(settings(self._config, network), found):
            writer.file_writer.add_summary(summary)
        for name, value in found.items():
            writer.add_scalar(name, value, 0)
        writer.close()

    def generation(self, statistics: dict[str, Any]) -> None:
        """Write the statistics of a generation."""
        for name, value in statistics.items():
            if name != "generation":
                self._population.add_scalar(f"population/{name}", value, int(statistics["generation"]))
        self._population.flush()

    def close(self) -> None:
        """Close every file."""
        for writer in (self._population, *(writer for writer, _ in self._open.values())):
            writer.close()
