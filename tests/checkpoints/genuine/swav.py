from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models.resnet import Bottleneck

from tests.checkpoints.genuine.files import (
    Genuine,
    State,
    heads,
    norms,
    prefixed,
    resnet_levels,
    small_resnet,
    wide_resnet,
    without,
)


class PadsTwice(nn.Module):
    """SwAV's stem: the image gets a border of zeros, then the convolution pads by 2."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = weight

    def forward(self, images: Tensor) -> Tensor:
        padded = nn.ConstantPad2d(1, 0.0)(images)
        return nn.functional.conv2d(padded, self.weight, stride=2, padding=2)


def released(network: Any, prototypes: State) -> State:
    projection = heads("projection_head.0", "projection_head.3") | norms("projection_head.1")
    return prefixed("module.", without("fc.", network.state_dict()) | projection | prototypes)


def genuine_swav(network: Any, tree: Any) -> Genuine:
    network.conv1 = PadsTwice(network.conv1.weight.detach())
    levels = resnet_levels(network)
    return Genuine(tree, "swav", levels, lambda images: levels(images)[-1], suffix=".pth.tar")


def swav_released() -> Genuine:
    network = wide_resnet(2)
    return genuine_swav(network, released(network, {"prototypes.weight": torch.randn(9, 4)}))


def swav_training() -> Genuine:
    network = small_resnet(Bottleneck)
    state = released(network, {"prototypes.weight": torch.randn(9, 4)})
    return genuine_swav(network, {"epoch": 400, "state_dict": state, "optimizer": {}, "amp": {"loss_scaler0": {}}})


def swav_finetuned() -> Genuine:
    network = small_resnet(Bottleneck)
    state = prefixed("module.", without("fc.", network.state_dict()) | heads("projection_head"))
    return genuine_swav(
        network,
        {"epoch": 20, "state_dict": state, "optimizer": {}, "scheduler": {"last_epoch": 20}, "best_acc": (1, 2)},
    )


def deepcluster() -> Genuine:
    network = small_resnet(Bottleneck)
    prototypes = {f"prototypes.prototypes{index}.weight": torch.randn(9, 4) for index in range(3)}
    return genuine_swav(network, released(network, prototypes))


LAYOUTS: dict[str, Callable[[], Genuine]] = {
    "swav: training": swav_training,
    "swav: released, wide": swav_released,
    "swav: fine-tuned": swav_finetuned,
    "swav: deepcluster v2": deepcluster,
}
