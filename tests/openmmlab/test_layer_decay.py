from __future__ import annotations

from collections import defaultdict

import pytest
import torch
from mmengine.registry import MODELS, DefaultScope
from torch import nn

from tests.openmmlab.test_backbone import BACKBONES
from tests.openmmlab.test_compose import composed
from transfer.backbones.architectures import spec_of
from transfer.errors import BadOption
from transfer.openmmlab.layer_decay import LayerDecay
from transfer.schemas.checkpoint import BackboneSpec

ADAMW = {"type": "OptimWrapper", "optimizer": {"type": "AdamW", "lr": 0.1, "weight_decay": 0.5}}
SPECS = [
    *BACKBONES,
    *(spec_of(name) for name in ("resnet18", "wide_resnet28_2", "convnext_atto", "swin_tiny_patch4_window7_224")),
]


def built(spec: BackboneSpec, layer_decay: float = 0.5) -> tuple[nn.Module, torch.optim.Optimizer]:
    with DefaultScope.overwrite_default_scope("mmdet"):
        detector = MODELS.build(composed("mask_rcnn_fpn/mini", spec).model)
    return detector, LayerDecay(ADAMW, {"layer_decay": layer_decay})(detector).optimizer


def rates(detector: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, float]:
    names = {id(parameter): name for name, parameter in detector.named_parameters()}
    return {names[id(p)]: group["lr"] for group in optimizer.param_groups for p in group["params"]}


def test_the_rates_of_a_vit() -> None:
    """detectron2's `get_vit_lr_decay_rate`: positions and patches 0, block i at i + 1, the rest one above."""
    found = rates(*built(BACKBONES[0]))
    backbone, depth = "backbone.backbone.trunk.", 4
    for name, rate in found.items():
        if not name.startswith(backbone):
            expected = depth + 1
        elif name.startswith(f"{backbone}blocks."):
            expected = int(name.removeprefix(f"{backbone}blocks.").split(".")[0]) + 1
        else:
            expected = 0
        assert rate == pytest.approx(0.1 * 0.5 ** (depth + 1 - expected)), name


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: f"{spec.kind} {spec.arch}")
def test_every_parameter_that_trains_is_in_one_group(spec: BackboneSpec) -> None:
    detector, optimizer = built(spec)
    grouped = [id(p) for group in optimizer.param_groups for p in group["params"]]
    assert sorted(grouped) == sorted(id(p) for p in detector.parameters() if p.requires_grad)
    assert optimizer.param_groups[0]["lr"] == 0.1


@pytest.mark.parametrize(
    ("arch", "layers"), [("resnet18", 9), ("swin_tiny_patch4_window7_224", 13), ("wide_resnet28_2", 13)]
)
def test_a_rate_for_every_block_of_a_hierarchy(arch: str, layers: int) -> None:
    detector, optimizer = built(spec_of(arch))
    by_depth = defaultdict(list)
    for name, rate in rates(detector, optimizer).items():
        by_depth[rate].append(name)
    assert len(by_depth) == layers + 1
    assert sorted(by_depth) == pytest.approx([0.1 * 0.5**k for k in range(layers, -1, -1)])
    assert not any(name.startswith("backbone.") for name in by_depth[0.1])


def test_what_does_not_decay() -> None:
    detector, optimizer = built(BackboneSpec("beit", "blocks", BACKBONES[6].options))
    names = {id(parameter): name for name, parameter in detector.named_parameters()}
    still = {names[id(p)] for g in optimizer.param_groups if g["weight_decay"] == 0 for p in g["params"]}
    backbone = "backbone.backbone.trunk."
    assert f"{backbone}pos_embed" in still and f"{backbone}blocks.0.attn.relative_position_bias_table" in still
    assert f"{backbone}blocks.0.norm1.weight" in still and f"{backbone}blocks.0.mlp.fc1.bias" in still
    assert f"{backbone}blocks.0.mlp.fc1.weight" not in still and "rpn_head.rpn_conv.weight" not in still


@pytest.mark.parametrize("decay", [0, 1.5, -1])
def test_decays_that_make_no_sense(decay: float) -> None:
    with pytest.raises(BadOption, match="layer_decay"):
        LayerDecay(ADAMW, {"layer_decay": decay})
