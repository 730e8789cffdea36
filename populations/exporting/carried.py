"""A trained network of a run, with all that one has to know to use it elsewhere."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from cgp.errors import BadInput
from cgp.graph import Graph
from cgp.network import build
from evaluate.data.preparation import Preparation
from evaluate.data.preprocessing import prepared, read_whitening
from evaluate.data.splits import load
from evaluate.files import BEST, WHITENING
from evaluate.training.checkpoint import read_weights
from populations.reading.frame import RecordedModel, Run
from populations.setup.config import Config
from populations.terminal.programs import populations_command


@dataclass(frozen=True)
class Carried:
    """A trained network, what it is of, and how its images are prepared."""

    id: str  #: of the model
    graph: Graph
    network: nn.Module  #: in evaluation mode, on the CPU
    images: Preparation
    whitening: Tensor | None = None  #: of the images, see `evaluate.data.preprocessing.whitening_of`

    @property
    def about(self) -> dict[str, Any]:
        """What a file says of it, JSON-able: `model`, `graph` and `images`."""
        return {"model": self.id, "graph": self.graph.to_json(), "images": self.images.to_json()}

    def normalised(self, pixels: Tensor) -> Tensor:
        """Return images as the network reads them, from uint8 pixels (batch, channels, height, width)."""
        mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (self.images.mean, self.images.std))
        return prepared(pixels, mean, std, self.images.preprocess, self.whitening)


def carried(run: Run, model: RecordedModel) -> Carried:
    """Return the network of `model` with its best weights.

    Raises BadInput where it is no graph or has no weights, and where nothing says any more how its images were
    prepared, or what whitens them is gone.
    """
    graph = graph_of(model)
    path = model.folder / BEST
    if not path.exists():
        raise BadInput(f"model {model.id}: {_why_no_weights(run, model)}")
    network = build(graph)
    description = read_weights(path, network)
    images = _preparation(run, model, description)
    whitening = read_whitening(run.folder / WHITENING) if images.whitened else None
    return Carried(model.id, graph, network.eval(), images, whitening)


def graph_of(model: RecordedModel) -> Graph:
    """Return the graph of `model`. Raises BadInput where it is a model of another kind."""
    if not isinstance(model.model, Graph):
        kind = type(model.model).__name__
        raise BadInput(f"model {model.id}: is of type {kind}; expected a graph, which alone is carried away")
    return model.model


def _why_no_weights(run: Run, model: RecordedModel) -> str:
    status = model.result.status if model.result else "open"
    if status not in ("ok", "pruned"):
        return (
            f"has no weights, its status is {status}; expected a trained model (see: python -m populations show RUN)"
        )
    train = f"{populations_command()} replay {run.folder} {model.id} --recipe retrain"
    return f"its weights are gone (--keep best keeps those of the best alone); train it again: {train}"


def _preparation(run: Run, model: RecordedModel, description: dict[str, Any]) -> Preparation:
    """Return how the images of `model` were prepared: as its weights say, or where they do not, as the cache does."""
    if "images" in description:
        return Preparation.from_json(description["images"])
    spec = Config.of(run.config, run.folder).data()
    unsaid = f"model {model.id}: an older program trained it, whose weights do not say how images are prepared"
    try:
        data = load(spec)
    except BadInput as error:
        raise BadInput(f"{unsaid}; {error}") from error
    before = str(run.config.get("data_fingerprint"))
    if data.fingerprint != before:
        raise BadInput(
            f"{unsaid}; and the images of {spec.name} have changed since, their fingerprint is "
            f"{data.fingerprint[:12]} and was {before[:12]}; restore them"
        )
    return Preparation.of(data, spec)
