"""`populations.create_model`: a network of a run, in Python, as timm makes one."""

import re
from pathlib import Path
from typing import Any

import pytest
import timm.data
import torch
from safetensors.torch import load_file
from torch import nn

import populations
from cgp.errors import BadInput
from cgp.features import FeatureNetwork
from cgp.network import Network
from evaluate.data.images import Images
from evaluate.data.splits import load as load_data
from evaluate.devices.numerics import Numerics
from evaluate.job import DataSpec
from evaluate.training.train import score


def test_it_has_the_weights_of_the_best_epoch_and_scores_as_recorded(searched: Path) -> None:
    network = populations.create_model(searched, "best")
    assert isinstance(network, Network)
    assert network.training
    weights = load_file(searched / "best" / "best.safetensors")
    assert network.state_dict().keys() == weights.keys()
    run = populations.load(searched)
    validation = Images.of(load_data(DataSpec("digits", train_size=120, val_size="auto")), ("validation",), "cpu")
    result = run.model("best").scored
    assert score(network, validation, Numerics("cpu", "fp32"))["accuracy"] == result.metrics["val_accuracy"]


def test_it_is_made_as_asked(searched: Path) -> None:
    run = populations.load(searched)
    name = run.identity("best")[:5]
    other = populations.create_model(str(searched), name, num_classes=3, in_chans=3)
    assert other(torch.randn(2, 3, 16, 16)).shape == (2, 3)
    pyramid = populations.create_model(run, features_only=True, in_chans=3, num_classes=3, out_indices=[0])
    assert isinstance(pyramid, FeatureNetwork)
    assert [each.shape[1] for each in pyramid(torch.randn(2, 3, 16, 16))] == pyramid.feature_info.channels()
    fresh, trained = (populations.create_model(run, pretrained=pretrained) for pretrained in (False, True))
    assert fresh.state_dict().keys() == trained.state_dict().keys()
    assert not torch.equal(weight(fresh), weight(trained))
    assert torch.equal(weight(other), weight(trained))


def weight(network: nn.Module) -> torch.Tensor:
    """The weight of its first convolution of its nodes."""
    return next(p for name, p in network.named_parameters() if name.startswith("nodes.") and p.ndim == 4)


def test_timm_prepares_its_images(searched: Path) -> None:
    network = populations.create_model(searched)
    config = timm.data.resolve_data_config({}, model=network)
    assert config["input_size"] == (1, 8, 8)
    data = load_data(DataSpec("digits", train_size=120, val_size="auto"))
    assert config["mean"] == tuple(value / 255 for value in data.mean)
    assert config["std"] == tuple(value / 255 for value in data.std)
    assert network.default_cfg["label_names"] == tuple("0123456789")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"model": "zz"}, "model 'zz' of {run}: found none; expected `best` or the beginning of one id"),
        ({"model": ""}, "model '': names none"),
        ({"run": "nowhere"}, "nowhere: no such run folder"),
        ({"output_stride": 3}, "output_stride: 3; node "),
        ({"global_pool": ""}, "num_classes: 10 with global_pool ''"),
    ],
    ids=str,
)
def test_what_cannot_be_is_one_line(searched: Path, options: dict[str, Any], said: str) -> None:
    with pytest.raises(BadInput, match=re.escape(said.format(run=searched))) as caught:
        populations.create_model(**{"run": searched, **options})
    assert "\n" not in str(caught.value)


def test_weights_that_are_gone_are_needed_only_where_they_are_asked_for(run: Path) -> None:
    (run / "best" / "best.safetensors").unlink()
    with pytest.raises(BadInput, match="its weights are gone"):
        populations.create_model(run)
    assert populations.create_model(run, pretrained=False).default_cfg["input_size"] == (1, 8, 8)
