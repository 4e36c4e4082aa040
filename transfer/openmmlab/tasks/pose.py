"""Pose heads: the backbone's last level is lifted to the stride of heatmaps, or to the crop's own size."""

from __future__ import annotations

import math
from typing import Any

from mmengine.config import Config, ConfigDict

from transfer.backbones.building import kind_of, levels_of
from transfer.datasets.layouts import Split
from transfer.errors import BadOption
from transfer.openmmlab.tasks.strides import has_cells_at_corners
from transfer.openmmlab.tasks.task_type import Classes, TaskType
from transfer.schemas.checkpoint import BackboneSpec

ANY_STRIDE = "pose_heatmap and vitpose_simple lift every backbone's last map to the stride of heatmaps"

MMPOSE_WIDTHS = (256, 256, 256)
"""Channels of the deconvolutions that mmpose's HeatmapHead has where a config does not say any."""


def fit_pose(model: ConfigDict, backbone: BackboneSpec, classes: int) -> BackboneSpec:
    """Fit neck and head of `model`, in place; the backbone as they need it is returned. Persons are the one class."""
    output_stride = model.backbone.get("output_stride", 32)
    level = levels_of(backbone, output_stride=output_stride)[-1]
    head = model.head
    head.in_channels = level.channels
    if head.type == "GRMIHead":
        _check_convolutional(backbone)
        head.cells_at_corners = has_cells_at_corners(backbone, output_stride)
    elif "heatmap_size" not in head.get("decoder", {}):
        if "in_featuremap_size" in head:
            head.in_featuremap_size = tuple(side // level.stride for side in head.decoder.input_size)
    elif model.get("neck", {}).get("type") == "FeatureMapProcessor":
        model.neck.scale_factor = float(2 ** _doublings(head.decoder, level.stride))
    else:
        _set_deconvolutions(head, _doublings(head.decoder, level.stride))
    return backbone


def _check_convolutional(backbone: BackboneSpec) -> None:
    if not kind_of(backbone).dilates:
        raise BadOption(
            f"G-RMI's backbone is fully convolutional; {backbone.kind} {backbone.arch!r} cuts its crops of 8 n + 1 "
            f"pixels into patches. For this backbone: {ANY_STRIDE}."
        )


def _set_deconvolutions(head: ConfigDict, doublings: int) -> None:
    """Each deconvolution doubles the resolution; where a head says another number of them, all must have one width."""
    width = head.pop("deconv_width", None)
    widths = tuple(head.get("deconv_out_channels", MMPOSE_WIDTHS)) if width is None else (width,)
    if width is None and len(widths) == doublings:
        return
    if len(set(widths)) != 1:
        raise BadOption(
            f"the head has {len(widths)} deconvolutions of {', '.join(map(str, widths))} channels, and from this "
            f"backbone's last map to its heatmaps it takes {doublings}. Give all of them one number of channels."
        )
    head.deconv_out_channels = widths[:1] * doublings
    head.deconv_kernel_sizes = (4,) * doublings


def _doublings(decoder: ConfigDict, stride: int) -> int:
    """How often a map of `stride` is doubled until it is the heatmap. Raises BadOption where it never is."""
    size, heatmap = decoder.input_size, decoder.heatmap_size
    doublings = round(math.log2(stride * heatmap[0] / size[0]))
    if any(side % stride for side in size) or size[0] // stride * 2**doublings != heatmap[0]:
        raise BadOption(
            f"pose crops of {size[0]}x{size[1]} pixels with heatmaps of {heatmap[0]}x{heatmap[1]} need a backbone "
            f"whose stride divides them by a power of two; this one's is {stride}. Change head.decoder with --set."
        )
    return doublings


def _pad(preprocessor: ConfigDict, patch: int) -> None:
    """Crops have one size, which `fit_pose` has checked."""


def _point(dataset: ConfigDict, split: Split, classes: Classes) -> None:
    """Joints are COCO's; persons are the one class."""
    dataset.data_prefix = {"img": str(split.images)}
    dataset.ann_file = str(split.annotations)


def _keep_crops(config: Config, size: int) -> None:
    """Heatmaps belong to one size of crop."""


def _writer(config: Config) -> dict[str, Any]:
    return {"type": "KeypointWriter", "category_ids": config.category_ids}


POSE = TaskType("pose", "mmpose", "keypoints", fit_pose, _pad, _point, _keep_crops, _writer, ANY_STRIDE)
