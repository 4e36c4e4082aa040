from __future__ import annotations

from typing import Any

import pytest
import torch

from transfer.backbones.architectures import ARCHITECTURES, RESNETS, VIT_SIZES, name_of
from transfer.backbones.building import backbone_shapes
from transfer.checkpoints.inference.beit import infer_beit
from transfer.checkpoints.inference.convnext import infer_convnext
from transfer.checkpoints.inference.dinov3 import infer_dinov3
from transfer.checkpoints.inference.resnet import infer_resnet, infer_wide_resnet
from transfer.checkpoints.inference.resnetv2 import infer_resnetv2
from transfer.checkpoints.inference.swin import infer_swin
from transfer.checkpoints.inference.vit import infer_vit
from transfer.errors import UnsupportedNetwork, WeightMismatch
from transfer.schemas.checkpoint import BackboneSpec

INFER: dict[str, Any] = {
    "resnet": infer_resnet,
    "resnetv2": infer_resnetv2,
    "wide_resnet": infer_wide_resnet,
    "convnext": infer_convnext,
    "vit": infer_vit,
    "swin": infer_swin,
}
BEIT = {"image": [32, 32], "patch": 8, "dim": 64, "depth": 2, "heads": 2}
DINOV3 = {"patch": 8, "dim": 64, "depth": 2, "heads": 2, "registers": 4}


def shapes_of(spec: BackboneSpec) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in backbone_shapes(spec).items()}


@pytest.mark.parametrize("arch", ["resnet18", "resnet50d", "resnext50_32x4d", "wide_resnet50_2", "vit_tiny_patch16_224",
                                  "vit_base_patch8_224", "resnet50x2", "resnetv2_50x3_bit", "resnetv2_50d",
                                  "resnetv2_101", "wide_resnet28_2", "wide_resnet40_2", "convnext_tiny",
                                  "convnextv2_base", "convnext_nano", "deit_small_patch16_224",
                                  "swin_small_patch4_window7_224", "swin_base_patch4_window12_384",
                                  "vit_base_patch32_clip_224"])  # fmt: skip
def test_shapes_tell_the_architecture(arch: str) -> None:
    spec = ARCHITECTURES[arch]
    options = INFER[spec.kind](shapes_of(spec))
    assert options == spec.options
    assert name_of(spec.kind, options) == arch.replace("deit", "vit")


def test_every_resnet_has_its_own_options() -> None:
    assert len({str(options) for options in RESNETS.values()}) == len(RESNETS)


@pytest.mark.parametrize(
    "options",
    [
        {"registers": 4, "no_embed_class": True, "layer_scale": True},
        {"registers": 2},
        {"class_token": False},
        {"mlp": "swiglu_packed", "mlp_hidden": 344},
        {"mlp": "swiglu", "mlp_hidden": 172},
        {"qkv_bias": False, "qk_norm": True},
        {"mlp_hidden": 171},
        {"registers": 4, "no_embed_registers": True},
        {"pre_norm": True},
    ],
)
def test_vit_variants(options: dict[str, Any]) -> None:
    whole = {"image": [32, 32], "patch": 8, "dim": 64, "depth": 2, "heads": 1, **options}
    assert infer_vit(shapes_of(BackboneSpec("vit", "v", whole))) == whole


def test_convolutional_stems() -> None:
    whole = {"image": [64, 64], "patch": 16, "dim": 64, "depth": 2, "heads": 4, "stem": "conv"}
    assert infer_vit(shapes_of(BackboneSpec("vit", "v", whole)), heads=4) == whole


@pytest.mark.parametrize(
    "options",
    [
        {"bias": "shared"},
        {"bias": "blocks", "absolute": True, "mlp_hidden": 96},
        {"bias": "none", "absolute": True, "layer_scale": False, "qkv_bias": False},
    ],
)
def test_beit_variants(options: dict[str, Any]) -> None:
    whole = {**BEIT, **options}
    assert infer_beit(shapes_of(BackboneSpec("beit", "b", whole)), heads=2) == whole


@pytest.mark.parametrize("bias", ["shared", "blocks"])
def test_relative_biases_tell_the_heads(bias: str) -> None:
    whole = {**BEIT, "heads": 8, "bias": bias}
    assert infer_beit(shapes_of(BackboneSpec("beit", "b", whole))) == whole


def test_a_lost_shared_bias_stays_expected() -> None:
    shapes = shapes_of(BackboneSpec("beit", "b", {**BEIT, "bias": "shared"}))
    del shapes["rel_pos_bias.relative_position_bias_table"]
    assert infer_beit(shapes)["bias"] == "shared"


def test_biases_of_no_square_grid() -> None:
    shapes = shapes_of(BackboneSpec("beit", "b", {**BEIT, "bias": "shared"}))
    with pytest.raises(WeightMismatch, match="a grid of 3x3 has 28 and 10"):
        infer_beit({**shapes, "rel_pos_bias.relative_position_bias_table": (30, 2)})
    with pytest.raises(WeightMismatch, match="of 52 rows and pos_embed of 10"):
        infer_beit({**shapes, "pos_embed": (1, 10, 64)})


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"mlp": "swiglu", "mlp_hidden": 96},
        {"qkv_bias": False, "layer_scale": False, "registers": 0},
        {"k_bias": True, "heads": 1},
    ],
)
def test_dinov3_variants(options: dict[str, Any]) -> None:
    whole = {**DINOV3, **options}
    assert infer_dinov3(shapes_of(BackboneSpec("dinov3", "d", whole))) == whole


def vit(size: str, **options: Any) -> dict[str, Any]:
    dim, depth, heads = VIT_SIZES[size]
    return {"image": [224, 224], "patch": 16, "dim": dim, "depth": depth, "heads": heads, **options}


def test_names() -> None:
    assert name_of("vit", vit("small", patch=14, image=[518, 518], registers=4)) == "vit_small_patch14_reg4_518"
    assert name_of("vit", vit("small", heads=12)) == "vit_small_patch16_heads12_224"
    assert name_of("vit", vit("base", depth=11, stem="conv")) == "vit_conv_base_patch16_224"
    assert name_of("vit", vit("base", gelu="quick", pre_norm=True)) == "vit_base_patch16_clip_quickgelu_224"
    assert name_of("vit", vit("tiny", dim=64)) == "vit_64x12_patch16_224"
    assert name_of("beit", vit("large")) == "beit_large_patch16_224"
    small = {"patch": 16, "dim": 384, "depth": 12}
    assert name_of("dinov3", small) == "vit_small_patch16_dinov3_qkvb"
    assert name_of("dinov3", {**small, "mlp": "swiglu"}) == "vit_small_plus_patch16_dinov3_qkvb"
    giant = {"patch": 16, "dim": 4096, "depth": 40, "mlp": "swiglu", "qkv_bias": False}
    assert name_of("dinov3", giant) == "vit_7b_patch16_dinov3"


def test_oblong_grids_need_their_size() -> None:
    whole = {"image": [32, 64], "patch": 8, "dim": 64, "depth": 2, "heads": 1}
    shapes = shapes_of(BackboneSpec("vit", "v", whole))
    assert infer_vit(shapes, image=(32, 64)) == whole
    with pytest.raises(WeightMismatch, match="no square grid"):
        infer_vit(shapes)


def test_heads_are_never_guessed() -> None:
    shapes = shapes_of(BackboneSpec("vit", "v", {"image": [32, 32], "patch": 8, "dim": 48, "depth": 2, "heads": 4}))
    with pytest.raises(WeightMismatch, match="num_heads"):
        infer_vit(shapes)
    assert infer_vit(shapes, heads=4)["heads"] == 4


def test_swin_variants() -> None:
    whole = {"dim": 48, "depths": [1, 2, 3, 1], "heads": [2, 4, 8, 16], "window": 6, "patch": 2, "qkv_bias": False}
    whole["mlp_ratio"] = 2.0
    assert infer_swin(shapes_of(BackboneSpec("swin", "s", whole))) == whole


def test_swin_whose_last_stage_is_smaller_than_a_window() -> None:
    whole = {"dim": 32, "depths": [1, 1, 2, 1], "heads": [1, 2, 4, 8], "window": 12, "patch": 4, "last_window": 6}
    assert infer_swin(shapes_of(BackboneSpec("swin", "s", whole))) == whole
    large = {**ARCHITECTURES["swin_large_patch4_window12_384"].options, "last_window": 6}
    assert name_of("swin", large) == "swin_large_patch4_window12_192"
    whole = {**whole, "window": 6, "ape": True}
    del whole["last_window"]
    assert infer_swin(shapes_of(BackboneSpec("swin", "s", whole))) == whole


def test_stems_for_small_images_need_a_family_that_knows_them() -> None:
    shapes = shapes_of(ARCHITECTURES["resnet18_cifar"])
    with pytest.raises(UnsupportedNetwork, match=r"7x7"):
        infer_resnet(shapes)
    options = infer_resnet(shapes, "cifar")
    assert options == ARCHITECTURES["resnet18_cifar"].options
    assert infer_resnet(shapes_of(ARCHITECTURES["resnet18"]), "cifar") == ARCHITECTURES["resnet18"].options


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("resnet", {"block": "basic", "depths": [1, 1, 2, 1], "projection": True}),
        ("resnet", {"block": "bottleneck", "depths": [1, 1, 2, 1], "stem_width": 32, "widths": [32, 64, 64, 96]}),
        ("resnetv2", {"block": "basic", "depths": [1, 2, 1, 1], "widths": [8, 16, 24, 32], "norm": "batch"}),
        ("resnetv2", {"depths": [1, 2, 1, 1], "norm": "batch", "bias": True, "stem_width": 32}),
        (
            "resnetv2",
            {"depths": [1, 2, 1, 1], "norm": "batch", "stem": "tiered", "avg_down": True, "widths": [8, 16, 24, 32]},
        ),
        ("wide_resnet", {"units": 2, "widths": [16, 32, 64], "bias": "all"}),
        ("wide_resnet", {"units": 1, "widths": [32, 64, 128], "bias": "stem"}),
        ("convnext", {"depths": [1, 2, 1, 1], "widths": [8, 16, 24, 32], "patch": 2, "kernel": 5, "final_norm": True}),
        ("convnext", {"depths": [1, 2, 1, 1], "widths": [8, 16, 24, 32], "response_norm": True, "layer_scale": False}),
        ("convnext", {"depths": [1, 2, 1, 1], "widths": [8, 16, 24, 32], "convolutional_mlp": True, "bias": False}),
    ],
)
def test_convolutional_variants(kind: str, options: dict[str, Any]) -> None:
    shapes = shapes_of(BackboneSpec(kind, "v", options))
    assert INFER[kind](shapes) == options


@pytest.mark.parametrize("arch", ["resnet18", "resnetv2_50x1_bit", "wide_resnet28_2", "convnext_tiny"])
@pytest.mark.parametrize("damage", [None, (3, 3, 3)])
def test_one_tensor_changes_no_network(arch: str, damage: tuple[int, ...] | None) -> None:
    """One that is missing, or has another shape, is left to the exact match."""
    spec = ARCHITECTURES[arch]
    shapes = shapes_of(spec)
    for name in shapes:
        rest = {other: shape for other, shape in shapes.items() if other != name} | ({name: damage} if damage else {})
        assert INFER[spec.kind](rest) == spec.options, name


def test_missing_stages_are_named() -> None:
    shapes = {n: s for n, s in shapes_of(ARCHITECTURES["resnet18"]).items() if not n.startswith("layer3")}
    with pytest.raises(WeightMismatch, match=r"- layer3\.\*"):
        infer_resnet(shapes)
    bit = {n: s for n, s in shapes_of(ARCHITECTURES["resnetv2_50x1_bit"]).items() if not n.startswith("stages.2")}
    with pytest.raises(WeightMismatch, match=r"- stages\.2\.\*"):
        infer_resnetv2(bit)
    swin = {n: s for n, s in shapes_of(ARCHITECTURES["swin_tiny_patch4_window7_224"]).items() if "layers.3" not in n}
    with pytest.raises(WeightMismatch, match="four stages"):
        infer_swin(swin)


def test_squeeze_and_excitation_has_no_place() -> None:
    from transfer.checkpoints.keys.matching import match
    from transfer.checkpoints.keys.rules import apply_rules

    target = backbone_shapes(ARCHITECTURES["resnet18"])
    state = {name: torch.ones(tensor.shape, dtype=tensor.dtype) for name, tensor in target.items()}
    state["layer1.0.se.fc1.weight"] = torch.ones(4, 64, 1, 1)
    with pytest.raises(WeightMismatch, match=r"1 unused\n  \+ layer1\.0\.se\.fc1"):
        match(target, apply_rules(state, ()), (), title="t", family="timm")
