"""Segmenters on a backbone: its last level, dilated where the backbone allows it, or all of its levels reach the head."""

from __future__ import annotations

from collections.abc import Sequence

from mmengine.config import ConfigDict

from transfer.backbones.building import levels_of
from transfer.backbones.kind import Level
from transfer.openmmlab.heads.strides import has_cells_at_corners, with_fine_levels
from transfer.schemas.checkpoint import BackboneSpec


def fit_segmenter(model: ConfigDict, backbone: BackboneSpec, classes: int) -> BackboneSpec:
    """Fit the head of `model`, in place; the backbone as the segmenter needs it is returned.

    A head whose recipe lists levels (`in_index`) gets all that the backbone has. One whose recipe aligns corners does so
    where the backbone's cells lie there.
    """
    head, stride = model.decode_head, model.backbone.get("output_stride", 32)
    head.num_classes = classes
    if head.align_corners:
        head.align_corners = has_cells_at_corners(backbone, stride)
    if isinstance(head.in_index, int):
        head.in_channels = levels_of(backbone, output_stride=stride)[-1].channels
        return backbone
    backbone = with_fine_levels(backbone)
    _set_levels(model, levels_of(backbone))
    return backbone


def _set_levels(model: ConfigDict, levels: Sequence[Level]) -> None:
    """The levels of a plain ViT, all of one stride, are resized by 4, 2, 1 and 1/2 (Bao et al., BEiT, 2022)."""
    model.decode_head.in_index = list(range(len(levels)))
    model.decode_head.in_channels = [level.channels for level in levels]
    if len({level.stride for level in levels}) == 1:
        norm = {"type": "BN", "requires_grad": True}
        model.neck = ConfigDict(type="Feature2Pyramid", embed_dim=levels[-1].channels, norm_cfg=norm)
