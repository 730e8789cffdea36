"""A network of a run in Python, made as timm's `create_model` makes one."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cgp.features import FeatureNetwork, create
from cgp.network import Network
from evaluate.data.preparation import Preparation
from populations.exporting.carried import carried, graph_of
from populations.reading.frame import Run, load


def create_model(
    run: str | Path | Run,
    model: str = "best",
    *,
    pretrained: bool = True,
    num_classes: int | None = None,
    in_chans: int | None = None,
    global_pool: str | None = None,
    features_only: bool = False,
    out_indices: Sequence[int] | None = None,
    output_stride: int | None = None,
) -> Network | FeatureNetwork:
    """Return the network of a model (`best`, or the beginning of an id) of a run, in training mode on the CPU.

    With its best weights it is `pretrained`; its `default_cfg` then says how images are prepared and what the
    classes are called. The other arguments are those of `cgp.features.create`, and of timm.

    Raises BadInput, one line, for a run or model that there is not, weights that are gone, and what the network
    cannot do.
    """
    opened = run if isinstance(run, Run) else load(run)
    recorded = opened.model(model)
    found = carried(opened, recorded) if pretrained else None
    network = create(
        graph_of(recorded),
        found.network.state_dict() if found else None,
        num_classes=num_classes,
        in_chans=in_chans,
        global_pool=global_pool,
        features_only=features_only,
        out_indices=out_indices,
        output_stride=output_stride,
    )
    if found:
        network.default_cfg |= _described(found.images)
    return network


def _described(images: Preparation) -> dict[str, Any]:
    """Return how `images` are prepared, as timm says it: means and deviations are on the scale 0..1."""
    return {
        "mean": tuple(value / 255 for value in images.mean),
        "std": tuple(value / 255 for value in images.std),
        "interpolation": "bicubic",
        "crop_pct": 1.0,
        "crop_mode": "center",
        "label_names": images.classes,
        **({} if images.preprocess == "standard" else {"preprocess": images.preprocess}),
    }
