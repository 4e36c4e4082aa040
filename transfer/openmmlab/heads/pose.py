"""Pose heads on a trunk: deconvolutions lift its last level to the heatmaps' stride."""

from __future__ import annotations

import math

from mmengine.config import ConfigDict

from transfer.backbones.building import levels_of
from transfer.errors import BadOption
from transfer.spec.checkpoint import BackboneSpec


def fit_pose(model: ConfigDict, backbone: BackboneSpec, classes: int) -> BackboneSpec:
    """Fit the head of `model`, in place; the trunk as the head needs it is returned. Persons are the one class."""
    level = levels_of(backbone, output_stride=model.backbone.get("output_stride", 32))[-1]
    model.head.in_channels = level.channels
    _set_deconvolutions(model.head, level.stride)
    return backbone


def _set_deconvolutions(head: ConfigDict, stride: int) -> None:
    """Heatmaps have stride 4: each deconvolution doubles the resolution."""
    width = head.pop("deconv_width")
    size, heatmap = head.decoder.input_size, head.decoder.heatmap_size
    doublings = round(math.log2(stride * heatmap[0] / size[0]))
    if any(side % stride for side in size) or size[0] // stride * 2**doublings != heatmap[0]:
        raise BadOption(
            f"pose crops of {size[0]}x{size[1]} pixels with heatmaps of {heatmap[0]}x{heatmap[1]} need a trunk whose "
            f"stride divides them by a power of two; this one's is {stride}. Change head.decoder with --set."
        )
    head.deconv_out_channels = (width,) * doublings
    head.deconv_kernel_sizes = (4,) * doublings
