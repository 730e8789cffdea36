"""A detector on the maps of an evolved network, one of each resolution: `python examples/pyramid.py RUN`."""

import sys
from collections import OrderedDict

import torch
from torch import Tensor, nn
from torchvision.models.detection import FCOS
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.ops import FeaturePyramidNetwork

import populations
from cgp.features import FeatureNetwork


class Pyramid(nn.Module):
    def __init__(self, run: str, out_channels: int = 32) -> None:
        super().__init__()
        body = populations.create_model(run, "best", features_only=True, in_chans=3)
        assert isinstance(body, FeatureNetwork)
        self.body, self.reductions, self.out_channels = body, body.feature_info.reduction(), out_channels
        self.fpn = FeaturePyramidNetwork(body.feature_info.channels(), out_channels)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        maps = OrderedDict((str(n), x) for n, x in enumerate(self.body(images)))
        return dict(self.fpn(maps))


backbone = Pyramid(sys.argv[1])
print("maps are smaller than the image by", backbone.reductions)
sizes = tuple((8 * reduction,) for reduction in backbone.reductions)
anchors = AnchorGenerator(sizes, ((1.0,),) * len(sizes))
detector = FCOS(backbone, num_classes=2, anchor_generator=anchors, min_size=64, max_size=64)

image = torch.zeros(3, 64, 64)
image[:, 20:40, 10:30] = 1  # what it is to find
target = {"boxes": torch.tensor([[10.0, 20.0, 30.0, 40.0]]), "labels": torch.tensor([1])}
optimizer = torch.optim.AdamW(detector.parameters(), 1e-3)
for step in range(1, 31):
    loss = sum(detector([image], [target]).values())
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 10 == 0:
        print(f"step {step}: loss {loss.item():.3f}")
found = detector.eval()([image])[0]
print("box:", [round(side) for side in found["boxes"][0].tolist()])
