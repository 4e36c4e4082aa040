"""Pose heads on a backbone: its last level is lifted to the stride of heatmaps, or to the crop's own size."""

from __future__ import annotations

import math

from mmengine.config import ConfigDict

from transfer.backbones.building import kind_of, levels_of
from transfer.errors import BadOption
from transfer.openmmlab.heads.strides import ANY_STRIDE, has_cells_at_corners
from transfer.schemas.checkpoint import BackboneSpec


def fit_pose(model: ConfigDict, backbone: BackboneSpec, classes: int) -> BackboneSpec:
    """Fit neck and head of `model`, in place; the backbone as they need it is returned. Persons are the one class."""
    output_stride = model.backbone.get("output_stride", 32)
    level = levels_of(backbone, output_stride=output_stride)[-1]
    head = model.head
    head.in_channels = level.channels
    if head.type == "GRMIHead":
        _check_convolutional(backbone)
        head.cells_at_corners = has_cells_at_corners(backbone, output_stride)
    elif "deconv_width" in head:
        _set_deconvolutions(head, _doublings(head.decoder, level.stride))
    else:
        model.neck.scale_factor = float(2 ** _doublings(head.decoder, level.stride))
    return backbone


def _check_convolutional(backbone: BackboneSpec) -> None:
    if not kind_of(backbone).dilates:
        raise BadOption(
            f"G-RMI's backbone is fully convolutional; {backbone.kind} {backbone.arch!r} cuts its crops of 8 n + 1 "
            f"pixels into patches. For this backbone: {ANY_STRIDE['keypoints']}."
        )


def _set_deconvolutions(head: ConfigDict, doublings: int) -> None:
    """Each deconvolution doubles the resolution."""
    head.deconv_out_channels = (head.pop("deconv_width"),) * doublings
    head.deconv_kernel_sizes = (4,) * doublings


def _doublings(decoder: ConfigDict, stride: int) -> int:
    """How often a map of `stride` is doubled until it is the heatmap. Raises BadOption where it never is."""
    size, heatmap = decoder.input_size, decoder.heatmap_size
    doublings = round(math.log2(stride * heatmap[0] / size[0]))
    if any(side % stride for side in size) or size[0] // stride * 2**doublings != heatmap[0]:
        raise BadOption(
            f"pose crops of {size[0]}x{size[1]} pixels with heatmaps of {heatmap[0]}x{heatmap[1]} need a backbone whose "
            f"stride divides them by a power of two; this one's is {stride}. Change head.decoder with --set."
        )
    return doublings
