from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn
from torch.nn.functional import leaky_relu
from torchvision.models.resnet import BasicBlock, ResNet

from tests.checkpoints.genuine.files import (
    Genuine,
    State,
    genuine_resnet,
    genuine_timm,
    heads,
    noisy,
    prefixed,
    randomised,
    resnet_levels,
    small_resnet,
    small_swin,
    small_vit,
    without,
)


def lightning(state: State, classes: int = 100) -> Any:
    classifier = {"classifier.weight": torch.randn(classes, 4), "classifier.bias": torch.zeros(classes)}
    return {
        "epoch": 400, "global_step": 9, "pytorch-lightning_version": "2.1.2", "state_dict": state | classifier,
        "loops": {}, "callbacks": {}, "optimizer_states": [], "lr_schedulers": [],
    }  # fmt: skip


def pair(state: State, momentum: State, backbone: str = "backbone.") -> State:
    names = prefixed(backbone, state) | prefixed(f"momentum_{backbone}", momentum)
    names |= heads("projector.0", "momentum_projector.0", "predictor.0")
    return names | {"queue": torch.randn(2, 4, 16), "queue_ptr": torch.zeros(1, dtype=torch.long)}


def imagenet(which: str | None = None, backbone: str = "backbone.") -> Genuine:
    network = small_resnet()
    state = without("fc.", network.state_dict())
    networks = (noisy(state), state) if which else (state, noisy(state))
    tree = lightning(pair(*networks, backbone))
    return genuine_resnet(tree, network, "solo_learn", {"which": which} if which else None, suffix=".ckpt")


def cifar() -> Genuine:
    network: Any = ResNet(BasicBlock, [1, 1, 1, 1], num_classes=7)
    network.conv1, network.maxpool = nn.Conv2d(3, 64, 3, stride=1, padding=2, bias=False), nn.Identity()
    state = prefixed("backbone.", without("fc.", randomised(network).state_dict())) | heads("projector.0")
    levels = resnet_levels(network)
    tree = lightning(state, classes=10)
    return Genuine(tree, "solo_learn", levels, lambda x: levels(x)[-1], ((32, 32), (40, 32)), ".ckpt", border=2)


def vit(network: VisionTransformer, others: State) -> Genuine:
    def tree(state: State) -> Any:
        backbone = without("head.", state)
        return lightning(prefixed("backbone.", backbone) | others)

    return genuine_timm(network, tree, sizes=((64, 64),), suffix=".ckpt", family="solo_learn")


def mocov3() -> Genuine:
    """ViT-T with 12 heads, as MoCo v3 and MAE have it here; its projections have no biases."""
    network = small_vit(embed_dim=192, num_heads=12, num_classes=0)
    momentum = prefixed("momentum_backbone.", randomised(network, seed=3).state_dict())
    unbiased = {
        name: t for name, t in heads("projector.0", "momentum_projector.0", "predictor.0").items() if "bias" not in name
    }
    return vit(network, {name: tensor.clone() for name, tensor in momentum.items()} | unbiased)


def mae() -> Genuine:
    decoder = heads("decoder.decoder_embed", "decoder.decoder_pred") | {"decoder.mask_token": torch.zeros(1, 1, 4)}
    return vit(small_vit(embed_dim=192, num_heads=12, num_classes=0), decoder)


def swin() -> Genuine:
    def tree(state: State) -> Any:
        return lightning(prefixed("backbone.", without("head.", state)) | heads("projector.0"))

    return genuine_timm(small_swin(), tree, sizes=((224, 224),), suffix=".ckpt", family="solo_learn")


class SoloWideResNet:
    """Wide ResNet of the README of semi-supervised learning: first units activate their input in block 1 only."""

    def __init__(self, widths: tuple[int, ...]) -> None:
        draw = torch.Generator().manual_seed(0)
        self.state: State = self._convolution("conv1", 3, 16, 3, draw)
        inputs = 16
        for block, width in enumerate(widths, 1):
            self.state |= self._unit(f"block{block}.layer.0", inputs, width, draw)
            self.state |= self._unit(f"block{block}.layer.1", width, width, draw)
            inputs = width
        self.state |= self._norm("bn1", inputs, draw)

    @staticmethod
    def _convolution(name: str, inputs: int, outputs: int, kernel: int, draw: torch.Generator) -> State:
        weight = torch.randn(outputs, inputs, kernel, kernel, generator=draw) * (2 / inputs) ** 0.5 / kernel
        return {f"{name}.weight": weight, f"{name}.bias": torch.randn(outputs, generator=draw) * 0.1}

    @staticmethod
    def _norm(name: str, width: int, draw: torch.Generator) -> State:
        parts = ("weight", "bias", "running_mean", "running_var")
        state = {f"{name}.{part}": torch.rand(width, generator=draw) + 0.5 for part in parts}
        return state | {f"{name}.num_batches_tracked": torch.tensor(7)}

    def _unit(self, name: str, inputs: int, outputs: int, draw: torch.Generator) -> State:
        state = self._norm(f"{name}.bn1", inputs, draw) | self._convolution(f"{name}.conv1", inputs, outputs, 3, draw)
        state |= self._norm(f"{name}.bn2", outputs, draw) | self._convolution(
            f"{name}.conv2", outputs, outputs, 3, draw
        )
        return (
            state if inputs == outputs else state | self._convolution(f"{name}.convShortcut", inputs, outputs, 1, draw)
        )

    def _active(self, x: Tensor, name: str) -> Tensor:
        s = self.state
        mean, var = s[f"{name}.running_mean"], s[f"{name}.running_var"]
        x = nn.functional.batch_norm(x, mean, var, s[f"{name}.weight"], s[f"{name}.bias"], eps=1e-3)
        return leaky_relu(x, 0.1)

    def _convolve(self, x: Tensor, name: str, stride: int = 1) -> Tensor:
        weight = self.state[f"{name}.weight"]
        return nn.functional.conv2d(x, weight, self.state[f"{name}.bias"], stride, padding=weight.shape[-1] // 2)

    def _forward_unit(self, x: Tensor, name: str, stride: int, *, activate: bool) -> Tensor:
        active = self._active(x, f"{name}.bn1")
        widens = f"{name}.convShortcut.weight" in self.state
        x = active if widens and activate else x
        inner = self._convolve(x if widens else active, f"{name}.conv1", stride)
        inner = self._convolve(self._active(inner, f"{name}.bn2"), f"{name}.conv2")
        return inner + (self._convolve(x, f"{name}.convShortcut", stride) if widens else x)

    def levels(self, images: Tensor) -> list[Tensor]:
        maps, x = [], self._convolve(images, "conv1")
        for block, stride in enumerate((1, 2, 2), 1):
            x = self._forward_unit(x, f"block{block}.layer.0", stride, activate=block == 1)
            x = self._forward_unit(x, f"block{block}.layer.1", 1, activate=False)
            maps.append(x)
        return maps

    def features(self, images: Tensor) -> Tensor:
        return self._active(self.levels(images)[-1], "bn1")


def wide_resnet() -> Genuine:
    network = SoloWideResNet((32, 64, 128))
    tree = lightning(prefixed("backbone.", network.state) | heads("projector.0"), classes=10)
    return Genuine(tree, "solo_learn", network.levels, network.features, ((32, 32),), ".ckpt")


LAYOUTS: dict[str, Callable[[], Genuine]] = {
    "solo_learn: resnet": imagenet,
    "solo_learn: momentum": lambda: imagenet("momentum"),
    "solo_learn: old names": lambda: imagenet(backbone="encoder."),
    "solo_learn: cifar": cifar,
    "solo_learn: mocov3 vit": mocov3,
    "solo_learn: mae vit": mae,
    "solo_learn: swin": swin,
    "solo_learn: wide resnet": wide_resnet,
}
