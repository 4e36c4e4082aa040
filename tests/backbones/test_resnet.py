from __future__ import annotations

from typing import Any

import pytest
import torch
import torchvision
from torch.nn.functional import avg_pool2d, relu

from tests.backbones.networks import (
    assert_close,
    caffes_strides,
    convolution,
    images,
    norm,
    random_backbone,
    resnet_maps,
    same_convolution,
    same_max_pool,
)
from transfer.backbones.building import build_backbone
from transfer.errors import UnknownName, UnsupportedNetwork
from transfer.schemas.checkpoint import BackboneSpec

BOTTLENECK = {"block": "bottleneck", "depths": [2, 1, 2, 2], "widths": [8, 16, 24, 32]}
BASIC = {"block": "basic", "depths": [2, 1, 1, 1]}


@pytest.mark.parametrize("arch", ["resnet18", "resnet50"])
@torch.no_grad()
def test_torchvisions(arch: str) -> None:
    block, depths = ("basic", [2, 2, 2, 2]) if arch == "resnet18" else ("bottleneck", [3, 4, 6, 3])
    backbone = random_backbone("resnet", {"block": block, "depths": depths})
    original = torchvision.models.get_model(arch).eval()
    original.load_state_dict(backbone.network.state_dict(), strict=False)
    layers = torch.nn.Sequential(*list(original.children())[:-2])
    assert_close(backbone.forward_features(images()), layers(images()))
    assert_close(resnet_maps(backbone.network.state_dict(), images(), depths)[-1], layers(images()))


def slim(layer: int, block: int) -> tuple[int, int]:
    return 1, 2 if layer < 4 and block == int(BOTTLENECK["depths"][layer - 1]) - 1 else 1  # type: ignore[index]


@pytest.mark.parametrize(
    ("options", "how"),
    [
        ({"stride_in": "1x1"}, {"strides": caffes_strides}),
        ({"stride_in": "last_unit", "pool_padding": "same"}, {"strides": slim, "pool": same_max_pool}),
        ({"padding": "same", "pool_padding": "same"}, {"conv": same_convolution, "pool": same_max_pool}),
        ({"pool_padding": "same", "eps": 1e-2}, {"pool": same_max_pool, "eps": 1e-2}),
        ({"stem_width": 24}, {}),
    ],
    ids=["caffe", "tf-slim", "haiku", "simclr", "wide stem"],
)
@pytest.mark.parametrize("side", [64, 75])
@torch.no_grad()
def test_variants(options: dict[str, Any], how: dict[str, Any], side: int) -> None:
    backbone = random_backbone("resnet", BOTTLENECK | options)
    expected = resnet_maps(backbone.network.state_dict(), images(side, 70), BOTTLENECK["depths"], **how)  # type: ignore[arg-type]
    for ours, theirs in zip(backbone(images(side, 70)), expected, strict=True):
        assert_close(ours, theirs)
    assert_close(backbone.forward_features(images(side, 70)), expected[-1])
    usual = resnet_maps(backbone.network.state_dict(), images(side, 70), BOTTLENECK["depths"])[-1]  # type: ignore[arg-type]
    if how and (side, 70) == (64, 70):
        assert float((usual - expected[-1]).norm() / usual.norm()) > 1e-3


@torch.no_grad()
def test_projections_of_basic_blocks() -> None:
    backbone = random_backbone("resnet", {**BASIC, "projection": True, "pool_padding": "same"})
    assert "layer1.0.downsample.0.weight" in backbone.network.state_dict()
    expected = resnet_maps(backbone.network.state_dict(), images(), [2, 1, 1, 1], pool=same_max_pool)
    assert_close(backbone.forward_features(images()), expected[-1])


@pytest.mark.parametrize("padding", [1, 2])
@torch.no_grad()
def test_stems_for_small_images(padding: int) -> None:
    backbone = random_backbone("resnet", {**BASIC, "stem": "cifar", "stem_padding": padding})
    original = torchvision.models.ResNet(torchvision.models.resnet.BasicBlock, [2, 1, 1, 1]).eval()
    original.conv1 = torch.nn.Conv2d(3, 64, 3, padding=padding, bias=False)
    original.load_state_dict(backbone.network.state_dict(), strict=False)
    x = original.relu(original.bn1(original.conv1(images(32, 32))))
    layers = (original.layer1, original.layer2, original.layer3, original.layer4)
    for level, ours, layer in zip(backbone.levels, backbone(images(32, 32)), layers, strict=True):
        x = layer(x)
        assert_close(ours, x)
        assert padding == 2 or ours.shape[-1] == 32 // level.stride
    assert [level.stride for level in backbone.levels] == [1, 2, 4, 8]


@torch.no_grad()
def test_clips() -> None:
    """Radford et al., ICML 2021: three stem convolutions and average pools; sides are rounded down."""
    options = {**BOTTLENECK, "stem": "deep", "stem_width": 4, "avg_down": True, "antialias": True}
    backbone = random_backbone("resnet", options)
    state, x = backbone.network.state_dict(), images(96, 80)
    for number, name in ((0, "conv1.1"), (3, "conv1.4"), (6, "bn1")):
        x = relu(norm(convolution(x, state[f"conv1.{number}.weight"], 2 if number == 0 else 1), state, name))
    x = avg_pool2d(x, 2)
    for layer, depth in enumerate(BOTTLENECK["depths"], 1):  # type: ignore[arg-type]
        for block in range(depth):
            name, stride = f"layer{layer}.{block}", 2 if layer > 1 and block == 0 else 1
            shortcut = x
            if block == 0:
                kernel = state[f"{name}.downsample.1.weight"]
                shortcut = norm(convolution(avg_pool2d(x, stride), kernel), state, f"{name}.downsample.2")
            for number in (1, 2):
                x = relu(norm(convolution(x, state[f"{name}.conv{number}.weight"]), state, f"{name}.bn{number}"))
            x = norm(convolution(avg_pool2d(x, stride), state[f"{name}.conv3.weight"]), state, f"{name}.bn3")
            x = relu(x + shortcut)
    assert_close(backbone.forward_features(images(96, 80)), x)


@pytest.mark.parametrize("stride_in", ["3x3", "1x1", "last_unit"])
@pytest.mark.parametrize("output_stride", [8, 16])
@torch.no_grad()
def test_dilation_computes_the_same_at_more_places(stride_in: str, output_stride: int) -> None:
    """Every 32nd pixel sees what it saw before, away from the borders."""
    options = {**BOTTLENECK, "depths": [1, 1, 1, 1], "stride_in": stride_in}
    usual = random_backbone("resnet", options)
    dilated = random_backbone("resnet", options, output_stride=output_stride)
    dilated.load_state_dict(usual.state_dict())
    coarse, fine = usual(images(256, 256))[-1], dilated(images(256, 256))[-1]
    step = 32 // output_stride
    assert_close(fine[:, :, ::step, ::step], coarse)


@torch.no_grad()
def test_levels_before_the_strides_of_tf_slim() -> None:
    options = {**BOTTLENECK, "stride_in": "last_unit"}
    usual, fine = (random_backbone("resnet", {**options, "levels": f"{where}_stride"}) for where in ("after", "before"))
    assert list(usual.state_dict()) == list(fine.state_dict())
    fine.load_state_dict(usual.state_dict())
    assert [level.stride for level in fine.levels] == [4, 8, 16, 32]
    for coarse, map, step in zip(usual(images()), fine(images()), (2, 2, 2, 1), strict=True):
        assert_close(map[:, :, ::step, ::step], coarse)
    assert torch.equal(usual.forward_features(images()), fine.forward_features(images()))


def test_strides_of_tf_slim() -> None:
    options = {**BOTTLENECK, "stride_in": "last_unit"}
    for output_stride, strides in ((32, [8, 16, 32, 32]), (16, [8, 16, 16, 16]), (8, [8, 8, 8, 8])):
        backbone = build_backbone(BackboneSpec("resnet", "r", options), output_stride=output_stride)
        assert [level.stride for level in backbone.levels] == strides


@pytest.mark.parametrize(
    "options",
    [
        {**BASIC, "stride_in": "1x1"},
        {**BOTTLENECK, "avg_down": True, "stride_in": "last_unit"},
        {**BOTTLENECK, "projection": True},
        {**BASIC, "stem": "cifar", "pool_padding": "same"},
    ],
)
def test_what_cannot_go_together(options: dict[str, Any]) -> None:
    with pytest.raises(UnsupportedNetwork, match="leave the option out"):
        build_backbone(BackboneSpec("resnet", "r", options))


@pytest.mark.parametrize("option", ["stem", "stride_in", "padding", "pool_padding"])
def test_values_that_do_not_exist(option: str) -> None:
    with pytest.raises(UnknownName, match="Available"):
        build_backbone(BackboneSpec("resnet", "r", {**BOTTLENECK, option: "nowhere"}))
