from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torchvision
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet

from tests.checkpoints.genuine.files import (
    Genuine,
    State,
    genuine_resnet,
    genuine_timm,
    heads,
    noisy,
    prefixed,
    randomised,
    small_resnet,
    small_vit,
    without,
)
from tests.checkpoints.genuine.simclr import numbered
from tests.checkpoints.genuine.torchvision import tv_vit_levels


def lightning(state: State) -> Any:
    return {"epoch": 9, "global_step": 9, "pytorch-lightning_version": "2.5.0", "state_dict": state, "loops": {}}


def genuine(others: Callable[[State], State], which: str | None = None) -> Genuine:
    network = small_resnet()
    state = numbered(without("fc.", network.state_dict()))
    options = {"which": which} if which else None
    return genuine_resnet(lightning(others(state)), network, "lightly", options, suffix=".ckpt")


def simclr(state: State) -> State:
    return prefixed("backbone.", state) | heads("projection_head.layers.0", "projection_head.layers.3")


def moco(query: State, key: State) -> State:
    bank = {"criterion.memory_bank.bank": torch.randn(4, 16), "criterion.memory_bank.bank_ptr": torch.zeros(1)}
    return simclr(query) | prefixed("backbone_momentum.", key) | heads("projection_head_momentum.layers.0") | bank


def dino(teacher: State, student: State) -> State:
    names = prefixed("student_backbone.", student) | heads("student_head.layers.0")
    return names | prefixed("teacher_backbone.", teacher) | heads("teacher_head.layers.0")


def benchmark() -> Genuine:
    """The benchmarks of the project keep the names of a ResNet."""
    network = small_resnet(Bottleneck)
    state = without("fc.", network.state_dict())
    names = prefixed("backbone.", state) | prefixed("key_backbone.", noisy(state))
    tree = lightning(names | heads("projection_head.layers.0", "online_classifier.classification_head"))
    return genuine_resnet({**tree, "hyper_parameters": {"num_classes": 1000}}, network, "lightly", suffix=".ckpt")


def small_images() -> Genuine:
    """lightly's own ResNet: its activations between stem and stages are lost when it becomes a sequence."""
    network: Any = ResNet(BasicBlock, [1, 1, 1, 1], num_classes=7)
    network.conv1, network.maxpool = nn.Conv2d(3, 64, 3, stride=1, padding=1, bias=False), nn.Identity()
    randomised(network)
    state = numbered(without("fc.", network.state_dict()), first=2)
    state = {name.replace("downsample", "shortcut"): tensor for name, tensor in state.items()}
    sequence = nn.Sequential(network.conv1, network.bn1)

    def levels(images: Tensor) -> list[Tensor]:
        maps, x = [], sequence(images)
        for stage in (network.layer1, network.layer2, network.layer3, network.layer4):
            x = stage(x)
            maps.append(x)
        return maps

    return Genuine(lightning(simclr(state)), "lightly", levels, lambda x: levels(x)[-1], ((32, 32),), ".ckpt")


def masked_vit() -> Genuine:
    def tree(state: State) -> Any:
        token = {"backbone.mask_token": torch.zeros(1, 1, 64)}
        others = heads("decoder_embed", "decoder.decoder_blocks.0.norm1", "prediction_head") | token
        return lightning(prefixed("backbone.vit.", without("head.", state)) | others)

    return genuine_timm(small_vit(), tree, suffix=".ckpt", family="lightly")


def masked_torchvision_vit() -> Genuine:
    network = randomised(torchvision.models.VisionTransformer(64, 16, 4, 2, 128, 256))
    state = without("heads.", network.state_dict())
    names = prefixed("backbone.vit.", state) | prefixed("anchor_backbone.vit.", noisy(state))
    levels, features = tv_vit_levels(network)
    tree = lightning(names | heads("projection_head.layers.0", "anchor_projection_head.layers.0"))
    return Genuine(tree, "lightly", levels, features, sizes=((64, 64),), suffix=".ckpt")


LAYOUTS: dict[str, Callable[[], Genuine]] = {
    "lightly: simclr": lambda: genuine(simclr),
    "lightly: moco": lambda: genuine(lambda state: moco(state, noisy(state))),
    "lightly: moco's momentum": lambda: genuine(lambda state: moco(noisy(state), state), "momentum"),
    "lightly: dino": lambda: genuine(lambda state: dino(state, noisy(state))),
    "lightly: benchmark": benchmark,
    "lightly: small images": small_images,
    "lightly: masked vit": masked_vit,
    "lightly: masked torchvision vit": masked_torchvision_vit,
}
