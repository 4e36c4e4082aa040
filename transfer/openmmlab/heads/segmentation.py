"""Segmenters on a trunk: its last level reaches the head, dilated where the trunk allows it."""

from __future__ import annotations

from mmengine.config import ConfigDict

from transfer.backbones.building import levels_of
from transfer.spec.checkpoint import BackboneSpec


def fit_segmenter(model: ConfigDict, backbone: BackboneSpec, classes: int) -> BackboneSpec:
    """Fit the head of `model`, in place; the trunk as the segmenter needs it is returned."""
    levels = levels_of(backbone, output_stride=model.backbone.get("output_stride", 32))
    model.decode_head.in_channels = levels[-1].channels
    model.decode_head.num_classes = classes
    return backbone
