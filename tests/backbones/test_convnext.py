from __future__ import annotations

from typing import Any

import pytest
import torch
import torchvision
from torch import Tensor
from torch.nn.functional import conv2d, gelu, layer_norm, linear

from tests.backbones.networks import State, assert_close, images, random_backbone
from transfer.backbones.building import build_backbone
from transfer.schemas.checkpoint import BackboneSpec

DEPTHS = [1, 2, 1, 1]
OPTIONS = {"depths": DEPTHS, "widths": [8, 16, 24, 32]}


def reference(state: State, x: Tensor, eps: float) -> list[Tensor]:
    """Maps of a ConvNeXt, or of a V2 where `state` has response norms (Woo et al., CVPR 2023, algorithm 1)."""

    def normed(x: Tensor, name: str) -> Tensor:
        channels = x.permute(0, 2, 3, 1)
        return layer_norm(channels, channels.shape[-1:], state[f"{name}.weight"], state[f"{name}.bias"], eps)

    def downsampled(x: Tensor, name: str, stride: int) -> Tensor:
        return conv2d(x, state[f"{name}.weight"], state[f"{name}.bias"], stride)

    x, maps = normed(downsampled(x, "stem.0", 4), "stem.1").permute(0, 3, 1, 2), []
    for stage, depth in enumerate(DEPTHS):
        if stage:
            x = downsampled(
                normed(x, f"stages.{stage}.downsample.0").permute(0, 3, 1, 2), f"stages.{stage}.downsample.1", 2
            )
        for block in range(depth):
            name = f"stages.{stage}.blocks.{block}"
            kernel, bias = state[f"{name}.conv_dw.weight"], state[f"{name}.conv_dw.bias"]
            hidden = normed(conv2d(x, kernel, bias, padding=3, groups=x.shape[1]), f"{name}.norm")
            hidden = gelu(linear(hidden, state[f"{name}.mlp.fc1.weight"].flatten(1), state[f"{name}.mlp.fc1.bias"]))
            if f"{name}.mlp.grn.weight" in state:
                energy = (hidden**2).sum((1, 2), keepdim=True).sqrt()
                scaled = hidden * energy / (energy.mean(-1, keepdim=True) + 1e-6)
                hidden = state[f"{name}.mlp.grn.weight"] * scaled + state[f"{name}.mlp.grn.bias"] + hidden
            hidden = linear(hidden, state[f"{name}.mlp.fc2.weight"].flatten(1), state[f"{name}.mlp.fc2.bias"])
            x = x + (hidden * state.get(f"{name}.gamma", torch.ones(1))).permute(0, 3, 1, 2)
        maps.append(x)
    return maps


@pytest.mark.parametrize(
    "options",
    [{}, {"response_norm": True, "layer_scale": False}, {"convolutional_mlp": True}, {"eps": 1e-2}],
    ids=["v1", "v2", "convolutions", "eps"],
)
@torch.no_grad()
def test_from_the_papers(options: dict[str, Any]) -> None:
    backbone = random_backbone("convnext", {**OPTIONS, **options})
    expected = reference(backbone.network.state_dict(), images(64, 96), options.get("eps", 1e-6))
    for ours, theirs in zip(backbone(images(64, 96)), expected, strict=True):
        assert_close(ours, theirs)
    assert_close(backbone.forward_features(images(64, 96)), expected[-1])


@torch.no_grad()
def test_torchvisions() -> None:
    """Its modules in order hold the same tensors as timm's; only kernels of layer scale have other shapes."""
    original = torchvision.models.convnext_tiny().eval()
    spec = {"depths": [3, 3, 9, 3], "widths": [96, 192, 384, 768]}
    backbone = random_backbone("convnext", spec)
    ours = backbone.network.state_dict()
    order = ["conv_dw", "norm", "mlp.fc1", "mlp.fc2"]
    for name, tensor in original.features.state_dict().items():
        position, *rest = name.split(".")
        stage = (int(position) - 1) // 2
        if position == "0":
            source = f"stem.{'.'.join(rest)}"
        elif int(position) % 2 == 0:
            source = f"stages.{int(position) // 2}.downsample.{'.'.join(rest)}"
        elif rest[1] == "layer_scale":
            source = f"stages.{stage}.blocks.{rest[0]}.gamma"
        else:
            layer = order[("0", "2", "3", "5").index(rest[2])]
            source = f"stages.{stage}.blocks.{rest[0]}.{layer}.{rest[3]}"
        tensor.copy_(ours[source].reshape(tensor.shape))
    assert_close(backbone.forward_features(images()), original.features(images()))


@torch.no_grad()
def test_a_norm_before_pooling_belongs_to_the_backbone() -> None:
    backbone = random_backbone("convnext", {**OPTIONS, "final_norm": True})
    x = reference(backbone.network.state_dict(), images(), 1e-6)[-1].permute(0, 2, 3, 1)
    state = backbone.network.state_dict()
    expected = layer_norm(x, x.shape[-1:], state["norm_pre.weight"], state["norm_pre.bias"], 1e-6)
    assert_close(backbone.forward_features(images()), expected.permute(0, 3, 1, 2))
    usual = build_backbone(BackboneSpec("convnext", "c", OPTIONS)).network.state_dict()
    assert not any("head" in name or "norm_pre" in name for name in usual)
