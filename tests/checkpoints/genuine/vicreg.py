from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from timm.models.convnext import ConvNeXt
from torch import nn
from torchvision.models.resnet import Bottleneck

from tests.checkpoints.genuine.files import (
    Genuine,
    State,
    genuine_resnet,
    genuine_timm,
    prefixed,
    randomised,
    small_resnet,
    without,
)
from tests.checkpoints.genuine.timm import authors_names


def projector() -> nn.Module:
    """Three layers, the first ones with biases and norms."""
    layers = [nn.Linear(32, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 8, bias=False)]
    return randomised(nn.Sequential(*layers))


def training(backbone: State, local: bool) -> Any:
    model = prefixed("module.backbone.", backbone) | prefixed("module.projector.", projector().state_dict())
    if local:
        model |= prefixed("module.maps_projector.", projector().state_dict())
        model |= {"module.classifier.weight": torch.zeros(7, 8), "module.classifier.bias": torch.zeros(7)}
    return {"epoch": 99, "model": model, "optimizer": {}}


def vicreg_resnet(local: bool) -> Genuine:
    network = small_resnet(Bottleneck)
    return genuine_resnet(training(without("fc.", network.state_dict()), local), network, "vicreg")


def bare_resnet() -> Genuine:
    network = small_resnet(Bottleneck)
    return genuine_resnet(without("fc.", network.state_dict()), network, "vicreg", {"family": "vicreg"})


def vicregl_convnext(bare: bool) -> Genuine:
    """Return VICRegL's ConvNeXt: its norm comes before the average over places, and no layer is scaled."""
    network = ConvNeXt(
        depths=(1, 1, 2, 1), dims=(8, 16, 24, 32), num_classes=0, ls_init_value=None, head_norm_first=True
    )

    def tree(state: State) -> Any:
        backbone = authors_names(state)
        return backbone if bare else training(backbone, local=True)

    return genuine_timm(network, tree, family="vicreg")


LAYOUTS: dict[str, Callable[[], Genuine]] = {
    "vicreg: training": lambda: vicreg_resnet(False),
    "vicreg: training, local": lambda: vicreg_resnet(True),
    "vicreg: resnet backbone": bare_resnet,
    "vicreg: convnext, training": lambda: vicregl_convnext(False),
    "vicreg: convnext backbone": lambda: vicregl_convnext(True),
}
