from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import nn
from torchvision.models.resnet import Bottleneck

from tests.checkpoints.genuine.files import (
    Genuine,
    State,
    genuine_resnet,
    heads,
    noisy,
    norms,
    prefixed,
    randomised,
    small_resnet,
    without,
)


def pixpro_tree(regular: State, momentum: State) -> Any:
    projector = {f"{name}.weight": torch.randn(4, 4, 1, 1) for name in ("linear1", "linear2")} | norms("bn1")
    names = prefixed("encoder.", regular) | prefixed("projector.", projector)
    names |= prefixed("encoder_k.", momentum) | prefixed("projector_k.", projector) | heads("value_transform")
    args = argparse.Namespace(arch="unnamed", model="PixPro", pixpro_p=1.0)
    return {"opt": args, "model": prefixed("module.", names), "optimizer": {}, "scheduler": {}, "epoch": 100}


def genuine_pixpro(which: str | None = None) -> Genuine:
    network = small_resnet(Bottleneck)
    state = without("fc.", network.state_dict())
    pair = (noisy(state), state) if which == "momentum" else (state, noisy(state))
    return genuine_resnet(pixpro_tree(*pair), network, "pixpro", {"which": which} if which else None)


def pixpro_released() -> Genuine:
    genuine = genuine_pixpro()
    return Genuine({"model": genuine.tree["model"]}, "pixpro", genuine.levels, genuine.features)


def pixpro_resnet_d() -> Genuine:
    network: Any = small_resnet(Bottleneck)
    units = [(3, 32, 2), (32, 32, 1)]
    stem = [nn.Sequential(nn.Conv2d(i, o, 3, s, 1, bias=False), nn.BatchNorm2d(o), nn.ReLU()) for i, o, s in units]
    network.conv1 = nn.Sequential(*stem, nn.Conv2d(32, 64, 3, 1, 1, bias=False))
    for stage, stride in enumerate((1, 2, 2, 2), 1):
        block = getattr(network, f"layer{stage}")[0]
        convolution, norm = block.downsample
        convolution.stride = (1, 1)
        block.downsample = nn.Sequential(nn.AvgPool2d(stride, stride), convolution, norm)
    state = without("fc.", randomised(network).state_dict())
    genuine = genuine_resnet(pixpro_tree(state, noisy(state)), network, "pixpro")
    return replace(genuine, sizes=((64, 64),))


LAYOUTS: dict[str, Callable[[], Genuine]] = {
    "pixpro: training": genuine_pixpro,
    "pixpro: momentum": lambda: genuine_pixpro("momentum"),
    "pixpro: released": pixpro_released,
    "pixpro: resnet-d": pixpro_resnet_d,
}
