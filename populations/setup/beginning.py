"""The network of weights that are trained on, for the images that it is trained on now."""

import dataclasses
from pathlib import Path

from cgp.errors import BadInput
from cgp.graph import Graph
from cgp.model import model_from_json
from evaluate.data.preparation import Preparation
from evaluate.data.splits import Data
from evaluate.training.checkpoint import read_tensors
from populations.setup.config import Config


def network_of(weights: Path, config: Config, data: Data) -> Graph:
    """Return the graph of the network in the file `weights`, for images and classes of `data`.

    Raises BadInput, naming what does not fit: no weights of a graph, images of other channels, images that are too
    small, or with `--keep-head` other classes.
    """
    _, description = read_tensors(weights)
    about = description.get("job", description)  # a checkpoint's, or what export wrote
    if "graph" not in about:
        raise BadInput(f"--weights {weights}: do not say of which network; expected those of a model, or of export")
    graph = model_from_json(about["graph"])
    if not isinstance(graph, Graph):
        raise BadInput(f"--weights {weights}: of a {type(graph).__name__}; expected those of a graph")
    if config.start() and graph.image.channels != data.shape.channels:
        raise BadInput(
            f"--dataset {config.evaluation.dataset}: its images have {data.shape.channels} channels; the weights "
            f"were trained on {graph.image.channels}; expected as many, or --mode from-scratch"
        )
    if config.beginning.keep_head:
        _refuse_other_classes(description, graph, config, data)
    fitted = dataclasses.replace(graph, image=data.shape, classes=len(data.classes))
    try:
        fitted.flows  # noqa: B018 - walks the graph
    except BadInput as error:
        side = f"{data.shape.height} x {data.shape.width}"
        raise BadInput(f"--dataset {config.evaluation.dataset}: images of {side} do not fit: {error}") from error
    if config.beginning.keep_head and fitted.features != graph.features:
        raise BadInput(
            f"--keep-head: the head reads the {graph.features:,} numbers of the last map (flatten), which are "
            f"{fitted.features:,} for these images; expected images of {graph.image.height} x {graph.image.width}"
        )
    return fitted


def _refuse_other_classes(description: dict[str, object], graph: Graph, config: Config, data: Data) -> None:
    images = description.get("images")
    before = Preparation.from_json(images).classes if isinstance(images, dict) else None  # old weights do not say
    if graph.classes != len(data.classes) or (before is not None and list(before) != data.classes):
        named = f"{graph.classes}" if before is None else f"{graph.classes} ({_some(before)})"
        raise BadInput(
            f"--keep-head: the head tells apart {named} classes, {config.evaluation.dataset} has {len(data.classes)} "
            f"({_some(data.classes)}); expected the same; leave it out to begin with a new head"
        )


def _some(names: "tuple[str, ...] | list[str]") -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
