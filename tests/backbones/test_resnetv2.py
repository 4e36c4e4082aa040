from __future__ import annotations

from typing import Any

import pytest
import timm
import torch
from torch import Tensor
from torch.nn.functional import group_norm, max_pool2d, pad, relu

from tests.backbones.networks import State, assert_close, convolution, images, norm, random_backbone, same_max_pool
from transfer.backbones.building import build_backbone
from transfer.errors import UnsupportedNetwork
from transfer.schemas.checkpoint import BackboneSpec

DEPTHS = [2, 1, 2, 1]
BIT = {"depths": DEPTHS, "widths": [128, 128, 256, 256], "weight_standardised": True, "pool_padding": "zeros"}
SLIM = {"depths": DEPTHS, "widths": [16, 32, 48, 64], "stem_width": 8, "norm": "batch", "bias": True}


def standardised(kernel: Tensor, eps: float) -> Tensor:
    """Zero mean and unit variance over what an output channel sees (Qiao et al., arXiv:1903.10520)."""
    mean = kernel.mean((1, 2, 3), keepdim=True)
    variance = ((kernel - mean) ** 2).mean((1, 2, 3), keepdim=True)
    return (kernel - mean) / (variance + eps).sqrt()


def activated(state: State, x: Tensor, name: str) -> Tensor:
    if f"{name}.running_mean" in state:
        return relu(norm(x, state, name))
    return relu(group_norm(x, 32, state[f"{name}.weight"], state[f"{name}.bias"], 1e-5))


def reference(state: State, x: Tensor, weight_eps: float | None, *, strides_end: bool, pool: Any) -> list[Tensor]:
    """Maps of a pre-activation ResNet (He et al., ECCV 2016), and its normed last map."""

    def conv(x: Tensor, name: str, stride: int = 1) -> Tensor:
        kernel = state[f"{name}.weight"]
        kernel = kernel if weight_eps is None else standardised(kernel, weight_eps)
        return convolution(x, kernel, stride, state.get(f"{name}.bias"))

    x, maps = pool(conv(x, "stem.conv", 2)), []
    for stage, depth in enumerate(DEPTHS):
        for block in range(depth):
            at = (stage < 3, depth - 1) if strides_end else (stage > 0, 0)
            stride, name = 2 if at == (True, block) else 1, f"stages.{stage}.blocks.{block}"
            active = activated(state, x, f"{name}.norm1")
            shortcut = conv(active, f"{name}.downsample.conv", stride) if block == 0 else x[:, :, ::stride, ::stride]
            hidden = activated(state, conv(active, f"{name}.conv1"), f"{name}.norm2")
            hidden = activated(state, conv(hidden, f"{name}.conv2", stride), f"{name}.norm3")
            x = shortcut + conv(hidden, f"{name}.conv3")
        maps.append(x)
    return [*maps, activated(state, x, "norm")]


def padded_max_pool(x: Tensor) -> Tensor:
    return max_pool2d(pad(x, (1, 1, 1, 1)), 3, 2)


@pytest.mark.parametrize(
    ("options", "how"),
    [
        (BIT, {"weight_eps": 1e-8, "strides_end": False, "pool": padded_max_pool}),
        ({**BIT, "weight_eps": 1e-2}, {"weight_eps": 1e-2, "strides_end": False, "pool": padded_max_pool}),
        (
            {**SLIM, "stride_in": "last_unit", "pool_padding": "same"},
            {"weight_eps": None, "strides_end": True, "pool": same_max_pool},
        ),
    ],
    ids=["bit", "weight eps", "tf-slim"],
)
@torch.no_grad()
def test_from_the_papers(options: dict[str, Any], how: dict[str, Any]) -> None:
    backbone = random_backbone("resnetv2", options)
    *maps, last = reference(backbone.network.state_dict(), images(64, 75), **how)
    for ours, theirs in zip(backbone(images(64, 75)), maps, strict=True):
        assert_close(ours, theirs)
    assert_close(backbone.forward_features(images(64, 75)), last)


@pytest.mark.parametrize(
    ("arch", "options"),
    [
        ("resnetv2_18", {"block": "basic", "depths": [2, 2, 2, 2], "widths": [64, 128, 256, 512], "norm": "batch"}),
        ("resnetv2_50d", {"depths": [3, 4, 6, 3], "norm": "batch", "stem": "deep", "avg_down": True}),
        ("resnetv2_50x1_bit", {"depths": [3, 4, 6, 3], "weight_standardised": True, "pool_padding": "zeros"}),
    ],
)
@torch.no_grad()
def test_timms(arch: str, options: dict[str, Any]) -> None:
    backbone = random_backbone("resnetv2", options)
    original = timm.create_model(arch, num_classes=0).eval()
    original.load_state_dict(backbone.network.state_dict())
    assert_close(backbone.forward_features(images()), original.forward_features(images()))


@pytest.mark.parametrize("output_stride", [8, 16])
@torch.no_grad()
def test_dilation_computes_the_same_at_more_places(output_stride: int) -> None:
    options = {**SLIM, "depths": [1, 1, 1, 1], "stride_in": "last_unit"}
    usual = random_backbone("resnetv2", options)
    dilated = random_backbone("resnetv2", options, output_stride=output_stride)
    dilated.load_state_dict(usual.state_dict())
    step = 32 // output_stride
    coarse, fine = usual(images(256, 256))[-1], dilated(images(256, 256))[-1]
    assert_close(fine[:, :, ::step, ::step], coarse)


@pytest.mark.parametrize(
    "options",
    [
        {**SLIM, "block": "basic", "bias": False, "stride_in": "last_unit"},
        {**SLIM, "stem": "tiered", "pool_padding": "same"},
    ],
)
def test_what_cannot_go_together(options: dict[str, Any]) -> None:
    with pytest.raises(UnsupportedNetwork, match="leave the option out"):
        build_backbone(BackboneSpec("resnetv2", "r", options))
