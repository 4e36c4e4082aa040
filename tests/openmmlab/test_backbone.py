from __future__ import annotations

from typing import Any

import pytest
import torch
from mmdet.models.backbones.swin import SwinTransformer
from mmengine.registry import MODELS, DefaultScope

from tests.backbones.paper import randomised, relative_error
from tests.openmmlab.test_compose import composed
from transfer.backbones.architectures import spec_of
from transfer.backbones.building import build_backbone
from transfer.backbones.swin import merge_in_timms_order
from transfer.errors import BadOption, UnknownName
from transfer.openmmlab.backbone import TransferBackbone
from transfer.schemas.checkpoint import BackboneSpec

PLAIN = {"image": [32, 32], "patch": 16, "dim": 64, "depth": 4, "heads": 2}
SWIN = {"dim": 32, "depths": [2, 2, 2, 2], "heads": [1, 2, 4, 8], "window": 4, "patch": 4}
BACKBONES = [
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
each_backbone = pytest.mark.parametrize("spec", BACKBONES, ids=lambda spec: f"{spec.kind} {spec.arch}")


@each_backbone
def test_every_parameter_that_trains_has_a_gradient(spec: BackboneSpec) -> None:
    """Distributed training waits for every one of them."""
    backbone = TransferBackbone(spec.to_json(), None)
    randomised(backbone).train()
    sum(level.square().mean() for level in backbone(torch.randn(2, 3, 64, 96))).backward()  # type: ignore[union-attr]
    idle = [name for name, p in backbone.named_parameters() if p.requires_grad and p.grad is None]
    assert not idle


def test_windows_leave_no_parameter_without_gradient() -> None:
    """Class and register tokens see no window."""
    for spec in (BACKBONES[0], BACKBONES[2], BACKBONES[4]):
        backbone = randomised(TransferBackbone(spec.to_json(), None, window=3)).train()
        levels = backbone(torch.randn(2, 3, 64, 96))
        assert [tuple(level.shape) for level in levels] == [(2, 64, 4, 6)] * 4
        sum(level.square().mean() for level in levels).backward()
        assert not [name for name, p in backbone.named_parameters() if p.requires_grad and p.grad is None]


@each_backbone
def test_a_detector_takes_every_backbone(spec: BackboneSpec) -> None:
    with DefaultScope.overwrite_default_scope("mmdet"):
        detector = MODELS.build(composed("faster_rcnn_fpn/mini", spec).model)
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
    backbone.network.load_state_dict(mmdets(original.state_dict()))
    images = torch.randn(1, 3, *size)
    for stage, (got, expected) in enumerate(zip(backbone(images), original(images), strict=True)):
        normalised = original.get_submodule(f"norm{stage}")(got.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        assert relative_error(normalised, expected) < 1e-5


@pytest.mark.parametrize(
    ("frozen", "trained"),
    [(-1, {"stem", 1, 2, 3, 4}), (0, {1, 2, 3, 4}), ("all_but_last", {4}), (4, set()), ("all", set())],
)
def test_frozen_stages(frozen: int | str, trained: set[int | str]) -> None:
    """Neither parameters nor statistics of a frozen stage move; the others' do."""
    backbone = TransferBackbone(spec_of("resnet18").to_json(), None, frozen_stages=frozen).train()
    before = {name: tensor.clone() for name, tensor in backbone.state_dict().items()}
    images = torch.randn(2, 3, 64, 64)
    loss = sum(level.square().mean() for level in backbone(images))
    if trained:
        loss.backward()  # type: ignore[union-attr]
    tuned = {name for name, p in backbone.named_parameters() if p.grad is not None}
    moved = {name for name, tensor in backbone.state_dict().items() if not tensor.equal(before[name])}
    assert {_stage(name) for name in tuned} == {_stage(name) for name in moved} == trained


def _stage(name: str) -> int | str:
    _, _, layer = name.partition("trunk.layer")
    return int(layer[0]) if layer else "stem"


@pytest.mark.parametrize(("arch", "stages"), [("wide_resnet28_2", 3), ("vit_tiny_patch16_224", 4)])
def test_all_but_the_last_stage_of_any_backbone(arch: str, stages: int) -> None:
    backbone = TransferBackbone(spec_of(arch).to_json(), None, frozen_stages="all_but_last")
    assert backbone.frozen_stages == stages - 1
    assert any(p.requires_grad for p in backbone.parameters())


def test_frozen_stages_that_do_not_exist() -> None:
    with pytest.raises(BadOption, match="-1 to 4"):
        TransferBackbone(spec_of("resnet18").to_json(), None, frozen_stages=5)
    with pytest.raises(UnknownName, match="all_but_last"):
        TransferBackbone(spec_of("resnet18").to_json(), None, frozen_stages="last")
