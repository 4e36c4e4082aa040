"""Ask timm about its networks by their registered names: they are built without storage, no table is kept."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import timm
import torch
from torch import nn


def outline_by_timm(arch: str, args: Mapping[str, Any]) -> nn.Module | None:
    """Return timm's network without classifier and storage; None for unknown names or arguments that do not fit."""
    if not timm.is_model(arch):
        return None
    with torch.device("meta"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            network: nn.Module = timm.models.model_entrypoint(arch)(pretrained=False, num_classes=0, **args)
        except (TypeError, ValueError, AssertionError, RuntimeError):
            return None
    return network


def resnet_options(network: Any) -> dict[str, Any]:
    """Return options of `build_resnet` that leave no trace in weights, where timm's network has unusual ones."""
    averages = isinstance(network.layer2[0].aa, nn.AvgPool2d)
    stride = network.feature_info[-1]["reduction"]
    return ({"antialias": True} if averages else {}) | ({} if stride == 32 else {"output_stride": stride})


def vit_options(network: Any) -> dict[str, Any]:
    """Return options of `build_vit` that leave no trace in weights, where timm's network has unusual ones."""
    block = network.blocks[0]
    gelu = _gelu(getattr(block.mlp, "act", None))
    eps = block.norm1.eps
    return ({} if gelu == "exact" else {"gelu": gelu}) | ({} if eps == 1e-6 else {"eps": eps})


def _gelu(activation: Any) -> str:
    name = type(activation).__name__
    if name == "QuickGELU":
        return "quick"
    return "tanh" if name == "GELUTanh" or getattr(activation, "approximate", "none") == "tanh" else "exact"
