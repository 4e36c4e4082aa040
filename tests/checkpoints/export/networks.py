"""Small backbones of every kind with random weights, and the values that an export takes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from tests.backbones.networks import random_backbone
from transfer.backbones.building import Backbone, build_backbone
from transfer.checkpoints.export.library import ConvertedBackbone, Export
from transfer.checkpoints.keys.values import stored
from transfer.schemas.checkpoint import IMAGENET_MEAN, IMAGENET_STD, InputContract

RGB = InputContract(IMAGENET_MEAN, IMAGENET_STD)
CAFFE = InputContract((103.53, 116.28, 123.675), (1.0, 1.0, 1.0), "0-255", "BGR")

VIT: dict[str, Any] = {"image": [32, 32], "patch": 8, "dim": 64, "depth": 4, "heads": 2}
SWIN: dict[str, Any] = {"dim": 32, "depths": [2, 2, 2, 2], "heads": [1, 2, 4, 8], "window": 4, "patch": 4}
CONVNEXT: dict[str, Any] = {"depths": [1, 1, 2, 1], "widths": [8, 16, 24, 32]}
BEIT: dict[str, Any] = {"image": [32, 32], "patch": 8, "dim": 64, "depth": 4, "heads": 2}
DINOV3: dict[str, Any] = {"patch": 8, "dim": 64, "depth": 4, "heads": 1}
BIT: dict[str, Any] = {
    "depths": [1, 2, 1, 1], "widths": [128, 128, 256, 256], "stem_width": 32, "weight_standardised": True,
    "pool_padding": "zeros",
}  # fmt: skip
BASIC: dict[str, Any] = {"block": "basic", "depths": [2, 2, 2, 2], "widths": [16, 32, 64, 128]}
BOTTLENECK: dict[str, Any] = {"block": "bottleneck", "depths": [3, 4, 6, 3], "widths": [8, 16, 32, 64]}


def small(kind: str, options: dict[str, Any], contract: InputContract = RGB) -> tuple[Backbone, ConvertedBackbone]:
    backbone = random_backbone(kind, options)
    if kind == "dinov3":  # not weights: random periods are those of no network
        backbone.network.rope.periods.copy_(build_backbone(backbone.spec).network.rope.periods)  # type: ignore[union-attr]
    return backbone, backbone_of(backbone, backbone.network.state_dict(), contract)


def backbone_of(backbone: Backbone, tensors: dict[str, Tensor], contract: InputContract = RGB) -> ConvertedBackbone:
    return ConvertedBackbone(backbone.spec, contract, {name: stored(tensor) for name, tensor in tensors.items()})


def named_as(network: ConvertedBackbone, arch: str) -> ConvertedBackbone:
    return replace(network, spec=replace(network.spec, arch=arch))


def state(export: Export) -> dict[str, Tensor]:
    return {name: value.load().contiguous() for name, value in export.tensors.items()}


def images(height: int, width: int | None = None) -> Tensor:
    return torch.randn(2, 3, height, width or height, generator=torch.Generator().manual_seed(1))


def error(got: Tensor, expected: Tensor) -> float:
    assert got.shape == expected.shape
    return float((got - expected).abs().max() / expected.abs().max())
