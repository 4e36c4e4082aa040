"""Detectors on a trunk: its levels reach the neck, the classes the box head."""

from __future__ import annotations

from collections.abc import Sequence

from mmengine.config import ConfigDict

from transfer.backbones.building import levels_of
from transfer.backbones.kind import Level
from transfer.openmmlab.heads.strides import with_fine_levels
from transfer.openmmlab.necks import SimpleFeaturePyramid
from transfer.spec.checkpoint import BackboneSpec


def fit_detector(model: ConfigDict, backbone: BackboneSpec, classes: int) -> BackboneSpec:
    """Fit neck and heads of `model`, in place; the trunk as the detector needs it is returned."""
    backbone = with_fine_levels(backbone)
    _set_neck(model, levels_of(backbone))
    model.roi_head.bbox_head.num_classes = classes
    return backbone


def _set_neck(model: ConfigDict, levels: Sequence[Level]) -> None:
    """The recipe's pyramid where the trunk has its strides, else one made of the last level alone."""
    neck = model.neck
    if tuple(level.stride for level in levels) == SimpleFeaturePyramid.STRIDES:
        neck.in_channels = [level.channels for level in levels]
        return
    simple = {"type": "SimpleFeaturePyramid", "out_channels": neck.out_channels, "num_outs": neck.num_outs}
    model.neck = ConfigDict(simple, in_channels=levels[-1].channels, stride=levels[-1].stride)
