from __future__ import annotations

from collections.abc import Callable
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
    prefixed,
    small_resnet,
    without,
)

META = {
    "mmcv_version": "0.2.16",
    "openselfsup_version": "0.2.0",
    "config": "model = dict(type='DenseCL')\n",
    "epoch": 9,
}


def densecl_state(query: State, key: State) -> State:
    queues = {f"{name}_ptr": torch.zeros(1, dtype=torch.long) for name in ("queue", "queue2")}
    queues |= {name: torch.randn(4, 16) for name in ("queue", "queue2")}
    twice = prefixed("encoder_q.0.", query) | heads("encoder_q.1.mlp.0") | prefixed("backbone.", query)
    return queues | twice | prefixed("encoder_k.0.", key) | heads("encoder_k.1.mlp.0")


def byol_state(online: State, target: State) -> State:
    twice = prefixed("online_net.0.", online) | heads("online_net.1.fc0") | prefixed("backbone.", online)
    return twice | prefixed("target_net.0.", target) | heads("target_net.1.fc0", "head.predictor.fc0")


def genuine_densecl(tree: Callable[[State, State], State], which: str | None = None) -> Genuine:
    network = small_resnet(Bottleneck)
    state = without("fc.", network.state_dict())
    pair = (noisy(state), state) if which in ("key", "target") else (state, noisy(state))
    file = {"meta": META, "state_dict": tree(*pair), "optimizer": {}}
    return genuine_resnet(file, network, "densecl", {"which": which} if which else None)


def npid(caffe: bool = False) -> Genuine:
    network: Any = small_resnet(Bottleneck)
    state = prefixed("backbone.", without("fc.", network.state_dict())) | heads("neck.fc")
    meta = {**META, "config": "backbone = dict(type='ResNet', style='caffe')"} if caffe else META
    for layer in (network.layer2, network.layer3, network.layer4) if caffe else ():
        layer[0].conv1.stride, layer[0].conv2.stride = (2, 2), (1, 1)
    tree = {"meta": meta, "state_dict": state | {"memory_bank.feature_bank": torch.randn(9, 4)}, "optimizer": {}}
    return genuine_resnet(tree, network, "densecl")


def extracted() -> Genuine:
    network: nn.Module = small_resnet(Bottleneck)
    tree = {"state_dict": without("fc.", network.state_dict()), "author": "OpenSelfSup"}
    return genuine_resnet(tree, network, "densecl")


LAYOUTS: dict[str, Callable[[], Genuine]] = {
    "densecl: training": lambda: genuine_densecl(densecl_state),
    "densecl: key": lambda: genuine_densecl(densecl_state, "key"),
    "densecl: byol": lambda: genuine_densecl(byol_state),
    "densecl: byol's target": lambda: genuine_densecl(byol_state, "target"),
    "densecl: npid": npid,
    "densecl: caffe's strides": lambda: npid(caffe=True),
    "densecl: extracted": extracted,
}
