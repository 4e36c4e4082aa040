"""Detectors of boxes and masks: the backbone's levels reach the neck, the classes the heads."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from mmengine.config import Config, ConfigDict

from transfer.backbones.building import KINDS, kind_of, levels_of
from transfer.datasets.layouts import Split
from transfer.errors import BadOption
from transfer.openmmlab.tasks.pyramids import check_strides, fit_pyramid
from transfer.openmmlab.tasks.resizing import resize_images
from transfer.openmmlab.tasks.strides import with_fine_levels
from transfer.openmmlab.tasks.task_type import Classes, TaskType
from transfer.schemas.checkpoint import BackboneSpec


def fit_detector(model: ConfigDict, backbone: BackboneSpec, classes: int) -> BackboneSpec:
    """Fit neck and heads of `model`, in place; the backbone as the detector needs it is returned.

    Raises BadOption where the last stage of the backbone cannot be a part of the box head that the head wants it to be,
    its blocks cannot attend within windows, or anchors are laid at other strides than the neck's.
    """
    backbone = with_fine_levels(backbone)
    _set_window(model.backbone, backbone)
    if "shared_head" in model.get("roi_head", {}):
        strides = _share_last_stage(model, backbone)
    else:
        strides = fit_pyramid(model, levels_of(backbone))
    check_strides(model, strides)
    for head in _classifying(model):
        head.num_classes = classes
    return backbone


def _classifying(model: ConfigDict) -> Iterator[ConfigDict]:
    """Yield the heads that tell classes apart; a cascade has several of each."""
    second = model.get("roi_head", {})
    found = [second.get("bbox_head"), second.get("mask_head"), model.get("bbox_head")]
    if "num_classes" in model.get("mask_head", {}):
        found.append(model.mask_head)
    for heads in found:
        if heads is not None:
            yield from heads if isinstance(heads, list | tuple) else [heads]


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


def _share_last_stage(model: ConfigDict, backbone: BackboneSpec) -> list[int]:
    """Give channels of conv4 to the region proposals, of conv5 to the box and mask heads."""
    levels = levels_of(backbone)
    strides = [level.stride for level in levels]
    if not kind_of(backbone).dilates or strides[-2:] != [16, 32]:
        convolutional = ", ".join(kind.name for kind in KINDS if kind.dilates)
        raise BadOption(
            "a C4 detector moves the last convolutional stage, from stride 16 to 32, into its box head; "
            f"{backbone.kind} {backbone.arch!r} has none (strides {', '.join(map(str, strides))}). Kinds of backbone "
            f"that have one: {convolutional}. For this backbone: the heads *_rcnn_fpn, which build a pyramid on any."
        )
    before, last = levels[-2:]
    model.backbone.last_stage = False
    model.rpn_head.in_channels = model.rpn_head.feat_channels = before.channels
    roi_head = model.roi_head
    roi_head.bbox_roi_extractor.out_channels = before.channels
    for head in ("bbox_head", "mask_head"):
        if head in roi_head:
            roi_head[head].in_channels = last.channels
    return [before.stride]


def _pad(preprocessor: ConfigDict, patch: int) -> None:
    preprocessor.pad_size_divisor = math.lcm(preprocessor.pad_size_divisor, patch)


def _point(dataset: ConfigDict, split: Split, classes: Classes) -> None:
    """The class list becomes the annotation file's."""
    dataset.data_prefix = {"img": str(split.images)}
    dataset.ann_file = str(split.annotations)
    dataset.metainfo = {"classes": list(classes.names)}


def _writing(writer: str) -> Any:
    def write(config: Config) -> dict[str, Any]:
        return {"type": writer, "category_ids": config.category_ids}

    return write


ANY_STRIDE = "faster_rcnn_fpn and mask_rcnn_fpn build a pyramid on every backbone"

DETECTION = TaskType(
    "detection", "mmdet", "boxes", fit_detector, _pad, _point, resize_images, _writing("BoxWriter"), ANY_STRIDE
)
INSTANCES = TaskType(
    "instances", "mmdet", "masks", fit_detector, _pad, _point, resize_images, _writing("MaskWriter"), ANY_STRIDE
)
