from __future__ import annotations

from typing import Any

import pytest
import timm
import torch

from transfer.backbones.architectures import ARCHITECTURES, spec_of
from transfer.backbones.building import backbone_shapes, build_backbone, levels_of
from transfer.backbones.kind import Level
from transfer.backbones.vit import quarters
from transfer.errors import UnknownName, UnsupportedNetwork
from transfer.schemas.checkpoint import BackboneSpec

VIT = BackboneSpec("vit", "small", {"image": [32, 32], "patch": 8, "dim": 64, "depth": 6, "heads": 1})
SWIN = BackboneSpec("swin", "s", {"dim": 32, "depths": [1, 2, 1, 1], "heads": [1, 2, 4, 8], "window": 4, "patch": 4})
BIT = {"depths": [1, 2, 1, 1], "widths": [128, 128, 256, 256], "stem_width": 32}
CONVNEXT = BackboneSpec("convnext", "c", {"depths": [1, 1, 2, 1], "widths": [8, 16, 24, 32]})
WIDE = BackboneSpec("wide_resnet", "w", {"units": 2, "widths": [16, 32, 64]})
BEIT = BackboneSpec("beit", "b", {"image": [32, 32], "patch": 8, "dim": 64, "depth": 6, "heads": 2, "bias": "shared"})
DINOV3 = BackboneSpec("dinov3", "d", {"patch": 8, "dim": 64, "depth": 6, "heads": 2})
SMALL = (spec_of("resnet18"), BackboneSpec("resnetv2", "b", BIT), WIDE, CONVNEXT, VIT, SWIN, BEIT, DINOV3)
DILATING = (SMALL[0], BackboneSpec("resnetv2", "b", BIT), CONVNEXT)

each_kind = pytest.mark.parametrize("spec", SMALL, ids=lambda spec: spec.kind)


@pytest.mark.parametrize("arch", sorted(ARCHITECTURES))
def test_names_and_shapes_are_timms(arch: str) -> None:
    if not timm.is_model(arch):
        pytest.skip(f"this timm has no {arch}")
    if arch.endswith("_clip"):
        pytest.skip("timm names this network like its ByobNet; the backbone here has its ResNet's names")
    with torch.device("meta"):
        expected = timm.create_model(arch, num_classes=0).state_dict()
    # ConvNeXt's classifier begins with a norm, which timm keeps without it
    network = {n: t.shape for n, t in expected.items() if not n.startswith("head.norm")}
    ours = {n: t.shape for n, t in backbone_shapes(spec_of(arch)).items()}
    assert ours == network


@pytest.mark.parametrize(
    ("arch", "spec"),
    [
        ("beit_base_patch16_224", BackboneSpec("beit", "b", {**spec_of("vit_base_patch16_224").options})),
        (
            "vit_small_plus_patch16_dinov3_qkvb",
            BackboneSpec(
                "dinov3", "d", {"patch": 16, "dim": 384, "depth": 12, "heads": 6, "mlp": "swiglu", "mlp_hidden": 1536}
            ),
        ),
    ],
)
def test_names_of_other_kinds_are_timms(arch: str, spec: BackboneSpec) -> None:
    with torch.device("meta"):
        expected = timm.create_model(arch, num_classes=0, global_pool="token").state_dict()
    if spec.kind == "dinov3":
        expected["rope.periods"] = torch.empty(16)  # computed in timm, read from files here
    assert {n: t.shape for n, t in backbone_shapes(spec).items()} == {n: t.shape for n, t in expected.items()}


@each_kind
@torch.no_grad()
def test_levels_are_as_announced_for_any_size(spec: BackboneSpec) -> None:
    backbone = build_backbone(spec).eval()
    assert levels_of(spec) == backbone.levels
    sizes = ((64, 96), (96, 32)) if spec.kind == "convnext" else ((64, 96), (40, 72))  # it leaves odd rows out
    for height, width in sizes:
        maps = backbone(torch.randn(1, 3, height, width))
        for level, features in zip(backbone.levels, maps, strict=True):
            assert features.shape == (1, level.channels, -(-height // level.stride), -(-width // level.stride))


@pytest.mark.parametrize(("stride", "strides"), [(8, [4, 8, 8, 8]), (16, [4, 8, 16, 16]), (32, [4, 8, 16, 32])])
@pytest.mark.parametrize("spec", DILATING, ids=lambda spec: spec.kind)
@torch.no_grad()
def test_dilation(spec: BackboneSpec, stride: int, strides: list[int]) -> None:
    backbone = build_backbone(spec, output_stride=stride).eval()
    assert [level.stride for level in backbone.levels] == strides
    assert [m.shape[-1] for m in backbone(torch.randn(1, 3, 64, 64))] == [64 // s for s in strides]


@pytest.mark.parametrize(("spec", "stride"), [(VIT, 16), (SWIN, 8), *((spec, 4) for spec in DILATING), (WIDE, 2)])
def test_strides_that_cannot_be(spec: BackboneSpec, stride: int) -> None:
    with pytest.raises(UnsupportedNetwork, match="output stride"):
        build_backbone(spec, output_stride=stride)


@each_kind
def test_stages_cover_the_backbone_once(spec: BackboneSpec) -> None:
    backbone = build_backbone(spec)
    stages = backbone.stages()
    assert len(stages) == 1 + len(backbone.levels)
    parameters = [id(p) for modules in stages for module in modules for p in module.parameters()]
    assert sorted(parameters) == sorted(id(p) for p in backbone.parameters())


@each_kind
def test_frozen_stages_come_first(spec: BackboneSpec) -> None:
    backbone = build_backbone(spec).eval()
    for module in (module for modules in backbone.stages()[:3] for module in modules):
        module.requires_grad_(False)
    maps = backbone(torch.randn(1, 3, 64, 64))
    assert [features.requires_grad for features in maps] == [False, False, True, True][: len(maps)]


@torch.no_grad()
def test_vit_levels_end_the_quarters_before_the_norm() -> None:
    backbone = build_backbone(VIT).eval()
    seen: list[Any] = []
    for block in backbone.network.blocks:  # type: ignore[union-attr]
        block.register_forward_hook(lambda _module, _inputs, output: seen.append(output))
    maps = backbone(torch.randn(2, 3, 32, 48))
    for end, features in zip(quarters(6), maps, strict=True):
        assert torch.equal(features.flatten(2).mT, seen[end][:, 1:])


def test_quarters() -> None:
    assert quarters(12) == (2, 5, 8, 11)
    assert quarters(6) == (1, 2, 4, 5)
    assert quarters(2) == (0, 0, 1, 1)


@torch.no_grad()
def test_levels_repeat_where_blocks_are_few() -> None:
    spec = BackboneSpec("vit", "v", {**VIT.options, "depth": 2})
    maps = build_backbone(spec).eval()(torch.randn(1, 3, 32, 32))
    assert torch.equal(maps[0], maps[1]) and not torch.equal(maps[1], maps[2])


def test_images_that_do_not_divide_into_patches() -> None:
    with pytest.raises(UnsupportedNetwork, match="30x32"):
        build_backbone(VIT)(torch.randn(1, 3, 30, 32))


def test_unknown_kinds_and_ways() -> None:
    with pytest.raises(UnknownName, match="beit, convnext, dinov3, resnet, resnetv2, swin, vit, wide_resnet"):
        build_backbone(BackboneSpec("vgg", "vgg16", {}))
    with pytest.raises(UnknownName, match="bicubic, dino, flax, timm, torchvision"):
        build_backbone(BackboneSpec("vit", "v", {**VIT.options, "position_interpolation": "dinov2"}))
    with pytest.raises(UnknownName, match="ibot, mmdet, mmpretrain, timm, torchvision"):
        build_backbone(BackboneSpec("swin", "s", {**SWIN.options, "padding": "reflect"}))
    with pytest.raises(UnknownName, match="Did you mean resnet50"):
        spec_of("resnet5O")


@each_kind
def test_specs_survive_json(spec: BackboneSpec) -> None:
    import json

    again = BackboneSpec.from_json(json.loads(json.dumps(spec.to_json())))
    assert again == spec and levels_of(again) == levels_of(spec)
    assert all(isinstance(level, Level) for level in levels_of(again))
