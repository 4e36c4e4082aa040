from __future__ import annotations

from typing import Any

import pytest
import torch

from transfer.backbones.architectures import ARCHITECTURES, RESNETS, resnet_name, swin_name, vit_name
from transfer.backbones.building import trunk_shapes
from transfer.checkpoints.inference.resnet import infer_resnet
from transfer.checkpoints.inference.swin import infer_swin
from transfer.checkpoints.inference.vit import infer_vit
from transfer.errors import WeightMismatch
from transfer.spec.checkpoint import BackboneSpec

INFER = {"resnet": infer_resnet, "vit": infer_vit, "swin": infer_swin}


def shapes_of(spec: BackboneSpec) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in trunk_shapes(spec).items()}


@pytest.mark.parametrize("arch", ["resnet18", "resnet50d", "resnext50_32x4d", "wide_resnet50_2", "vit_tiny_patch16_224",
                                  "vit_base_patch8_224",
                                  "deit_small_patch16_224", "swin_small_patch4_window7_224"])  # fmt: skip
def test_shapes_tell_the_architecture(arch: str) -> None:
    spec = ARCHITECTURES[arch]
    options = INFER[spec.kind](shapes_of(spec))
    assert options == spec.options
    name = {"resnet": resnet_name, "vit": vit_name, "swin": swin_name}[spec.kind](options)
    assert name == arch.replace("deit", "vit")


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
    ],
)
def test_vit_variants(options: dict[str, Any]) -> None:
    whole = {"image": [32, 32], "patch": 8, "dim": 64, "depth": 2, "heads": 1, **options}
    assert infer_vit(shapes_of(BackboneSpec("vit", "v", whole))) == whole


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


def test_stems_for_small_images_are_refused() -> None:
    shapes = {**shapes_of(ARCHITECTURES["resnet18"]), "conv1.weight": (64, 3, 3, 3)}
    with pytest.raises(WeightMismatch, match=r"7x7"):
        infer_resnet(shapes)


def test_missing_stages_are_named() -> None:
    shapes = {n: s for n, s in shapes_of(ARCHITECTURES["resnet18"]).items() if not n.startswith("layer3")}
    with pytest.raises(WeightMismatch, match=r"- layer3\.\*"):
        infer_resnet(shapes)
    swin = {n: s for n, s in shapes_of(ARCHITECTURES["swin_tiny_patch4_window7_224"]).items() if "layers.3" not in n}
    with pytest.raises(WeightMismatch, match="four stages"):
        infer_swin(swin)


def test_squeeze_and_excitation_has_no_place() -> None:
    from transfer.checkpoints.matching import match
    from transfer.checkpoints.rules import apply_rules

    target = trunk_shapes(ARCHITECTURES["resnet18"])
    state = {name: torch.ones(tensor.shape, dtype=tensor.dtype) for name, tensor in target.items()}
    state["layer1.0.se.fc1.weight"] = torch.ones(4, 64, 1, 1)
    with pytest.raises(WeightMismatch, match=r"1 unused\n  \+ layer1\.0\.se\.fc1"):
        match(target, apply_rules(state, ()), (), title="t", family="timm")
