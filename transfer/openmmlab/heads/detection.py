"""Detectors on a backbone: its levels reach the neck, the classes the box head."""

from __future__ import annotations

from collections.abc import Sequence

from mmengine.config import ConfigDict

from transfer.backbones.building import KINDS, kind_of, levels_of
from transfer.backbones.kind import Level
from transfer.errors import BadOption
from transfer.openmmlab.heads.strides import with_fine_levels
from transfer.openmmlab.necks import SimpleFeaturePyramid
from transfer.schemas.checkpoint import BackboneSpec


def fit_detector(model: ConfigDict, backbone: BackboneSpec, classes: int) -> BackboneSpec:
    """Fit neck and heads of `model`, in place; the backbone as the detector needs it is returned.

    Raises BadOption where the last stage of the backbone cannot be a part of the box head that the recipe wants it to be,
    or its blocks cannot attend within the recipe's windows.
    """
    backbone = with_fine_levels(backbone)
    _set_window(model.backbone, backbone)
    if "shared_head" in model.roi_head:
        _share_last_stage(model, backbone)
    else:
        _set_neck(model, levels_of(backbone))
    for head in ("bbox_head", "mask_head"):
        if head in model.roi_head:
            model.roi_head[head].num_classes = classes
    return backbone


def _set_window(options: ConfigDict, backbone: BackboneSpec) -> None:
    """Windows are for networks of one resolution; others are as they are."""
    if not options.get("window") or backbone.kind == "vit":
        return
    if len({level.stride for level in levels_of(backbone)}) == 1:
        raise BadOption(
            f"windows of {options.window} cells are for backbones of kind 'vit', and {backbone.arch!r} is a "
            f"{backbone.kind}, whose positions are relative to the whole map. Pass --set model.backbone.window=0 to "
            "let every block attend to all of the image, at a higher cost."
        )
    options.pop("window")


def _share_last_stage(model: ConfigDict, backbone: BackboneSpec) -> None:
    """Channels of conv4 to the region proposals, of conv5 to the box and mask heads."""
    levels = levels_of(backbone)
    strides = [level.stride for level in levels]
    if not kind_of(backbone).dilates or strides[-2:] != [16, 32]:
        convolutional = ", ".join(kind.name for kind in KINDS if kind.dilates)
        raise BadOption(
            "a C4 detector moves the last convolutional stage, from stride 16 to 32, into its box head; "
            f"{backbone.kind} {backbone.arch!r} has none (strides {', '.join(map(str, strides))}). Kinds of backbone that "
            f"have one: {convolutional}. For this backbone: the recipes *_rcnn_fpn_*, which build a pyramid on any."
        )
    before, last = levels[-2:]
    model.backbone.last_stage = False
    model.rpn_head.in_channels = model.rpn_head.feat_channels = before.channels
    roi_head = model.roi_head
    roi_head.bbox_roi_extractor.out_channels = before.channels
    for head in ("bbox_head", "mask_head"):
        if head in roi_head:
            roi_head[head].in_channels = last.channels


def _set_neck(model: ConfigDict, levels: Sequence[Level]) -> None:
    """The recipe's pyramid where the backbone has its strides, else one made of the last level alone."""
    neck = model.neck
    if tuple(level.stride for level in levels) == SimpleFeaturePyramid.STRIDES:
        neck.in_channels = [level.channels for level in levels]
        return
    simple = {"type": "SimpleFeaturePyramid", "out_channels": neck.out_channels, "num_outs": neck.num_outs}
    model.neck = ConfigDict(simple, in_channels=levels[-1].channels, stride=levels[-1].stride)
