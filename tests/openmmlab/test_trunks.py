from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.registry import MODELS, init_default_scope

from tests.openmmlab.head_configs import head_config
from transfer.backbones.architectures import spec_of
from transfer.datasets.layouts import Split
from transfer.openmmlab.backbone import TransferBackbone, apply_norm_policies
from transfer.openmmlab.compose import compose
from transfer.openmmlab.stack import quiet
from transfer.openmmlab.tasks.task_type import Classes
from transfer.schemas.checkpoint import IMAGENET_MEAN, IMAGENET_STD, BackboneSpec, InputContract

SPECS = (
    spec_of("resnet18"),
    BackboneSpec("resnet", "slim", {"block": "bottleneck", "depths": [1, 1, 1, 1], "stride_in": "last_unit"}),
    BackboneSpec("resnet", "cifar", {**spec_of("resnet18").options, "stem": "cifar"}),
    BackboneSpec("resnetv2", "bit", {"depths": [1, 1, 1, 1], "widths": [128, 128, 256, 256]}),
    BackboneSpec("wide_resnet", "wide", {"units": 1, "widths": [16, 32, 64], "transition": "none"}),
    BackboneSpec("convnext", "convnext", {"depths": [1, 1, 1, 1], "widths": [8, 16, 24, 32]}),
    BackboneSpec("vit", "vit", {"image": [32, 32], "patch": 16, "dim": 64, "depth": 4, "heads": 1}),
)


def built(head: str, spec: BackboneSpec) -> Any:

    nowhere = Split(Path("images"), Path("annotations"))
    config = compose(
        head_config(head),
        backbone=spec,
        contract=InputContract(IMAGENET_MEAN, IMAGENET_STD),
        weights=None,
        train=nowhere,
        test=nowhere,
        classes=Classes(("ball", "box", "person"), (1, 2, 3)),
        seed=0,
    )
    init_default_scope(config.default_scope)
    with quiet():
        return apply_norm_policies(MODELS.build(config.model), 1)


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.arch)
@torch.no_grad()
def test_detectors_see_the_strides_that_their_heads_believe(spec: BackboneSpec) -> None:
    model = built("faster_rcnn_fpn/mini", spec)
    maps = model.extract_feat(torch.randn(1, 3, 128, 192))
    strides = [stride for stride, _ in model.rpn_head.prior_generator.strides]
    assert [tuple(m.shape[2:]) for m in maps] == [(128 // stride, 192 // stride) for stride in strides]


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.arch)
@torch.no_grad()
def test_heatmaps_have_their_size(spec: BackboneSpec) -> None:
    model = built("pose_heatmap/mini", spec)
    height, width = (side for side in reversed(model.head.decoder.input_size))
    heatmaps = model.head(model.extract_feat(torch.randn(1, 3, height, width)))
    assert tuple(heatmaps.shape[2:]) == tuple(reversed(model.head.decoder.heatmap_size))


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.arch)
def test_every_trained_parameter_gets_a_gradient(spec: BackboneSpec) -> None:
    """Distributed training waits for all of them."""
    backbone = TransferBackbone(spec.to_json(), None)
    sum(features.mean() for features in backbone(torch.randn(2, 3, 64, 64))).backward()  # type: ignore[union-attr]
    idle = {name for name, p in backbone.named_parameters() if p.requires_grad and p.grad is None}
    assert not idle
