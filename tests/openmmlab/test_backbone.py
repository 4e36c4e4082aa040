from __future__ import annotations

from typing import Any

import pytest
import torch
from mmdet.models.backbones.swin import SwinTransformer
from mmengine.registry import MODELS, DefaultScope

from tests.backbones.paper import randomised, relative_error
from tests.openmmlab.test_compose import composed
from transfer.backbones.building import build_backbone
from transfer.backbones.swin import merge_in_timms_order
from transfer.openmmlab.backbone import TransferBackbone
from transfer.spec.checkpoint import BackboneSpec

PLAIN = {"image": [32, 32], "patch": 16, "dim": 64, "depth": 4, "heads": 2}
SWIN = {"dim": 32, "depths": [2, 2, 2, 2], "heads": [1, 2, 4, 8], "window": 4, "patch": 4}
TRUNKS = [
    BackboneSpec("vit", "plain", PLAIN),
    BackboneSpec("vit", "clip", {**PLAIN, "gelu": "quick", "pre_norm": True}),
    BackboneSpec("vit", "registers", {**PLAIN, "registers": 2, "no_embed_registers": True, "layer_scale": True}),
    BackboneSpec("vit", "stem", {**PLAIN, "stem": "conv"}),
    BackboneSpec("vit", "fixed", {**PLAIN, "positions": "sincos2d", "class_token": False, "final_norm": False}),
    BackboneSpec("beit", "shared", {**PLAIN, "bias": "shared"}),
    BackboneSpec("beit", "blocks", {**PLAIN, "bias": "blocks", "absolute": True}),
    BackboneSpec("dinov3", "rotary", {**{k: v for k, v in PLAIN.items() if k != "image"}, "mlp": "swiglu"}),
    BackboneSpec("swin", "windows", {**SWIN, "ape": True, "padding": "mmdet"}),
]
each_trunk = pytest.mark.parametrize("spec", TRUNKS, ids=lambda spec: f"{spec.kind} {spec.arch}")


@each_trunk
def test_every_parameter_that_trains_has_a_gradient(spec: BackboneSpec) -> None:
    """Distributed training waits for every one of them."""
    backbone = TransferBackbone(spec.to_json(), None)
    randomised(backbone).train()
    sum(level.square().mean() for level in backbone(torch.randn(2, 3, 64, 96))).backward()  # type: ignore[union-attr]
    idle = [name for name, p in backbone.named_parameters() if p.requires_grad and p.grad is None]
    assert not idle


@each_trunk
def test_a_detector_takes_every_trunk(spec: BackboneSpec) -> None:
    with DefaultScope.overwrite_default_scope("mmdet"):
        detector = MODELS.build(composed("faster_rcnn_fpn_mini", spec).model)
    features = detector.extract_feat(torch.randn(1, 3, 64, 64))
    assert [level.shape[-1] for level in features] == [16, 8, 4, 2, 1]


def mmdets(state: dict[str, Any]) -> dict[str, Any]:
    """mmdet's Swin under timm's names; the norms between stages stay out."""
    names = {}
    for name, tensor in state.items():
        if "relative_position_index" in name or name.startswith("norm"):
            continue
        if "downsample" in name:
            stage, tensor = int(name.split(".")[1]), merge_in_timms_order(tensor)
            name = name.replace(f"stages.{stage}.", f"stages.{stage + 1}.")
        for old, new in (
            ("patch_embed.projection", "patch_embed.proj"), ("stages.", "layers."), ("attn.w_msa.", "attn."),
            ("ffn.layers.0.0.", "mlp.fc1."), ("ffn.layers.1.", "mlp.fc2."),
        ):  # fmt: skip
            name = name.replace(old, new)
        names[name] = tensor
    return names | {f"norm.{kind}": state[f"norm3.{kind}"] for kind in ("weight", "bias")}


@pytest.mark.parametrize("size", [(128, 128), (96, 160), (72, 40)])
@torch.no_grad()
def test_swins_of_mmdet(size: tuple[int, int]) -> None:
    original = randomised(SwinTransformer(embed_dims=32, depths=(2, 2, 2, 2), num_heads=(1, 2, 4, 8), window_size=4))
    backbone = build_backbone(BackboneSpec("swin", "s", {**SWIN, "padding": "mmdet"})).eval()
    backbone.trunk.load_state_dict(mmdets(original.state_dict()))
    images = torch.randn(1, 3, *size)
    for stage, (got, expected) in enumerate(zip(backbone(images), original(images), strict=True)):
        normalised = original.get_submodule(f"norm{stage}")(got.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        assert relative_error(normalised, expected) < 1e-5
