"""Residual networks with a 7x7 or a deep stem: ResNet, ResNeXt, wide ResNet, ResNet-D."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from timm.models.resnet import BasicBlock, Bottleneck, ResNet
from torch import Tensor, nn

from transfer.backbones.kind import Kind, Level
from transfer.errors import BadOption

BLOCKS = {"basic": BasicBlock, "bottleneck": Bottleneck}
STANDARD_WIDTHS = (64, 128, 256, 512)


def build_resnet(options: Mapping[str, Any], output_stride: int = 32) -> nn.Module:
    """A timm ResNet without classifier; `output_stride` 8 or 16 trades the last strides for dilation.

    Options: `block` (basic, bottleneck), `depths`, `widths`, `groups`, `base_width`, `stem` ("", deep, deep_tiered),
    `stem_width`, `avg_down`.
    """
    if output_stride not in (8, 16, 32):
        raise BadOption(f"output stride {output_stride}: a ResNet has 8, 16 or 32.")
    trunk: nn.Module = ResNet(
        BLOCKS[options["block"]],
        tuple(options["depths"]),
        num_classes=0,
        global_pool="",
        output_stride=output_stride,
        cardinality=options.get("groups", 1),
        base_width=options.get("base_width", 64),
        stem_width=options.get("stem_width", 64),
        stem_type=options.get("stem", ""),
        avg_down=options.get("avg_down", False),
        channels=tuple(options.get("widths", STANDARD_WIDTHS)),
    )
    return trunk


def _levels(trunk: nn.Module) -> tuple[Level, ...]:
    features: Any = trunk.feature_info
    return tuple(Level(info["reduction"], info["num_chs"]) for info in features[1:])


def _maps(trunk: nn.Module, images: Tensor) -> list[Tensor]:
    maps, x = [], images
    for stage, modules in enumerate(_stages(trunk)):
        for module in modules:
            x = module(x)
        if stage:
            maps.append(x)
    return maps


def _stages(trunk: nn.Module) -> list[list[nn.Module]]:
    stem = ("conv1", "bn1", "act1", "maxpool")
    stages = (stem, ("layer1",), ("layer2",), ("layer3",), ("layer4",))
    return [[trunk.get_submodule(name) for name in names] for names in stages]


RESNET = Kind("resnet", build_resnet, _levels, _maps, _stages)
