"""Two-stage detectors, whose numbers of channels and classes are fitted to backbone and data later."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Config = dict[str, Any]
Pair = tuple[int, int]

FINEST = 56
"""Side in pixels of the largest regions that mmdet cuts from the finest map."""

PYRAMID = [4, 8, 16, 32, 64]
"""Strides of a feature pyramid's maps; regions are cut from all but the last."""


def detector(
    kind: str, parts: Mapping[str, Any], *, backbone: Mapping[str, Any] | None = None, divisor: int = 32
) -> Config:
    """Return a model of mmdet's `kind` on this package's backbone, for images padded to multiples of `divisor`.

    Batch statistics of the backbone are taken over the global batch unless `backbone` says otherwise.
    """
    masks = {"pad_mask": True} if "mask_head" in parts.get("roi_head", {}) else {}
    return {
        "type": kind,
        "data_preprocessor": {"type": "StepDetDataPreprocessor", "pad_size_divisor": divisor, **masks},
        "backbone": {"type": "TransferBackbone", "frozen_stages": -1, "norm": "sync", **(backbone or {})},
        **parts,
    }


def pyramid_rcnn(
    *,
    mask_convs: int,
    width: int = 256,
    box_width: int = 1024,
    anchor: int = 8,
    finest: int = 56,
    anchors: int = 256,
    regions: int = 512,
    proposals: Pair = (2000, 1000),
    test_proposals: Pair = (1000, 1000),
) -> Config:
    """Return R-CNN on a feature pyramid (Lin et al., CVPR 2017): neck, heads, what is trained on and what is kept.

    Pyramid and mask head have `width` channels, the box head `box_width`; anchors have sides of `anchor` cells, regions
    below `finest` pixels come from the finest map. Of an image, `anchors` and `regions` are trained on; `proposals`
    go into the suppression and are left. `mask_convs` 0 is a detector without masks.
    """
    strides, level = PYRAMID[:-1], {} if finest == FINEST else {"finest_scale": finest}
    box_head = {"type": "Shared2FCBBoxHead", "in_channels": width, "fc_out_channels": box_width, **_box_head()}
    roi_head = {
        "type": "StandardRoIHead",
        "bbox_roi_extractor": {**_regions(7, width, strides), **level},
        "bbox_head": box_head,
    }
    if mask_convs:
        roi_head["mask_roi_extractor"] = {**_regions(14, width, strides), **level}
        roi_head["mask_head"] = _mask_head(mask_convs, width, width)
    return {
        "neck": {"type": "FPN", "out_channels": width, "num_outs": len(PYRAMID)},
        "rpn_head": _proposals(width, [anchor], PYRAMID),
        "roi_head": roi_head,
        **_rules(anchors, regions, proposals, test_proposals, 28 if mask_convs else 0),
    }


def last_stage_rcnn(
    *,
    mask_width: int,
    extra_norm: bool = True,
    anchor_sides: Sequence[int] = (2, 4, 8, 16, 32),
    anchors: int = 256,
    regions: int = 512,
    proposals: Pair = (12000, 2000),
    test_proposals: Pair = (6000, 1000),
) -> Config:
    """Return R-CNN C4, whose box head begins with the backbone's last stage, as `pyramid_rcnn` does.

    Anchors have sides of so many cells of stride 16; `extra_norm` ends the last stage with a norm (MoCo). `mask_width`
    0 is a detector without masks.
    """
    roi_head: Config = {
        "type": "LastStageRoIHead",
        "shared_head": {"type": "LastStage", "extra_norm": extra_norm},
        "bbox_roi_extractor": _regions(14, 1024, [16]),
        "bbox_head": {"type": "BBoxHead", "with_avg_pool": True, "in_channels": 2048, **_box_head()},
    }
    if mask_width:
        roi_head["mask_roi_extractor"] = None
        roi_head["mask_head"] = _mask_head(0, 2048, mask_width)
    rules = _rules(anchors, regions, proposals, test_proposals, 14 if mask_width else 0)
    return {"rpn_head": _proposals(1024, anchor_sides, [16]), "roi_head": roi_head, **rules}


def _rules(anchors: int, regions: int, proposals: Pair, test_proposals: Pair, mask_size: int) -> Config:
    masks, test_masks = ({"mask_size": mask_size}, {"mask_thr_binary": 0.5}) if mask_size else ({}, {})
    return {
        "train_cfg": {
            "rpn": {
                "assigner": _assigner(0.7, 0.3, match_low_quality=True),
                "sampler": _sampler(anchors, 0.5, add_gt=False),
                "allowed_border": -1, "pos_weight": -1, "debug": False,
            },
            "rpn_proposal": _kept(*proposals),
            "rcnn": {
                "assigner": _assigner(0.5, 0.5, match_low_quality=False),
                "sampler": _sampler(regions, 0.25, add_gt=True),
                **masks, "pos_weight": -1, "debug": False,
            },
        },
        "test_cfg": {
            "rpn": _kept(*test_proposals),
            "rcnn": {"score_thr": 0.05, "nms": _suppression(0.5), "max_per_img": 100, **test_masks},
        },
    }  # fmt: skip


def _proposals(channels: int, scales: Sequence[int], strides: Sequence[int]) -> Config:
    ratios = [0.5, 1.0, 2.0]
    return {
        "type": "RPNHead",
        "in_channels": channels,
        "feat_channels": channels,
        "anchor_generator": {
            "type": "AnchorGenerator", "scales": list(scales), "ratios": ratios, "strides": list(strides)
        },
        "bbox_coder": _coder([1.0] * 4),
        "loss_cls": {"type": "CrossEntropyLoss", "use_sigmoid": True, "loss_weight": 1.0},
        "loss_bbox": {"type": "L1Loss", "loss_weight": 1.0},
    }  # fmt: skip


def _regions(side: int, channels: int, strides: Sequence[int]) -> Config:
    return {
        "type": "SingleRoIExtractor",
        "roi_layer": {"type": "RoIAlign", "output_size": side, "sampling_ratio": 0},
        "out_channels": channels,
        "featmap_strides": list(strides),
    }


def _box_head() -> Config:
    return {
        "roi_feat_size": 7,
        "bbox_coder": _coder([0.1, 0.1, 0.2, 0.2]),
        "reg_class_agnostic": False,
        "loss_cls": {"type": "CrossEntropyLoss", "use_sigmoid": False, "loss_weight": 1.0},
        "loss_bbox": {"type": "L1Loss", "loss_weight": 1.0},
    }


def _mask_head(convs: int, channels: int, width: int) -> Config:
    loss = {"type": "CrossEntropyLoss", "use_mask": True, "loss_weight": 1.0}
    sizes = {"num_convs": convs, "in_channels": channels, "conv_out_channels": width}
    return {"type": "FCNMaskHead", **sizes, "loss_mask": loss}


def _coder(deviations: list[float]) -> Config:
    return {"type": "DeltaXYWHBBoxCoder", "target_means": [0.0] * 4, "target_stds": deviations}


def _assigner(positive: float, negative: float, *, match_low_quality: bool) -> Config:
    overlaps = {"pos_iou_thr": positive, "neg_iou_thr": negative, "min_pos_iou": negative}
    return {"type": "MaxIoUAssigner", **overlaps, "match_low_quality": match_low_quality}


def _sampler(number: int, positives: float, *, add_gt: bool) -> Config:
    """Return a sampler that draws the same in one process and in several."""
    return {"type": "PositionSampler", "num": number, "pos_fraction": positives, "add_gt_as_proposals": add_gt}


def _kept(before: int, after: int) -> Config:
    return {"nms_pre": before, "max_per_img": after, "nms": _suppression(0.7), "min_bbox_size": 0}


def _suppression(overlap: float) -> Config:
    return {"type": "nms", "iou_threshold": overlap}
