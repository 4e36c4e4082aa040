"""Segmenters: the backbone's last level, dilated where it allows it, or all of its levels reach the head."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from mmengine.config import Config, ConfigDict

from transfer.backbones.building import levels_of
from transfer.backbones.kind import Level
from transfer.datasets.layouts import Split
from transfer.openmmlab.tasks.resizing import resize_images
from transfer.openmmlab.tasks.strides import has_cells_at_corners, with_fine_levels
from transfer.openmmlab.tasks.task_type import Classes, TaskType
from transfer.schemas.checkpoint import BackboneSpec


def fit_segmenter(model: ConfigDict, backbone: BackboneSpec, classes: int) -> BackboneSpec:
    """Fit the heads of `model`, in place; the backbone as the segmenter needs it is returned.

    A head that lists levels (`in_index`) gets all that the backbone has; one that names a level gets that one. One that
    aligns corners does so where the backbone's cells lie there.
    """
    stride = model.backbone.get("output_stride", 32)
    heads = list(_heads(model))
    if any(not isinstance(head.in_index, int) for head in heads):
        backbone = with_fine_levels(backbone)
    levels = levels_of(backbone, output_stride=stride)
    for head in heads:
        head.num_classes = classes
        if head.get("align_corners"):
            head.align_corners = has_cells_at_corners(backbone, stride)
        if isinstance(head.in_index, int):
            head.in_channels = levels[head.in_index].channels
        else:
            _set_levels(model, head, levels)
    return backbone


def _heads(model: ConfigDict) -> Iterator[ConfigDict]:
    """Yield the head that decides and those that only train, some of which are cascades."""
    for part in (model.decode_head, model.get("auxiliary_head")):
        if part is not None:
            yield from part if isinstance(part, list | tuple) else [part]


def _set_levels(model: ConfigDict, head: ConfigDict, levels: Sequence[Level]) -> None:
    """The levels of a plain ViT, all of one stride, are resized by 4, 2, 1 and 1/2 (Bao et al., BEiT, 2022)."""
    head.in_index = list(range(len(levels)))
    head.in_channels = [level.channels for level in levels]
    if len({level.stride for level in levels}) == 1:
        norm = {"type": "BN", "requires_grad": True}
        model.neck = ConfigDict(type="Feature2Pyramid", embed_dim=levels[-1].channels, norm_cfg=norm)


def _pad(preprocessor: ConfigDict, patch: int) -> None:
    """Crops and test images; the latter are of one size where one crop holds all of them."""
    preprocessor.size = _whole_patches(preprocessor.size, patch)
    tested = preprocessor.get("test_cfg", {}).get("size")
    padding = {"size_divisor": patch} if tested is None else {"size": _whole_patches(tested, patch)}
    preprocessor.test_cfg = ConfigDict(padding)


def _whole_patches(size: Sequence[int], patch: int) -> tuple[int, ...]:
    return tuple(math.ceil(side / patch) * patch for side in size)


def _point(dataset: ConfigDict, split: Split, classes: Classes) -> None:
    dataset.data_prefix = {"img_path": str(split.images), "seg_map_path": str(split.annotations)}
    dataset.ann_file = "" if split.listing is None else str(split.listing)
    dataset.img_suffix = split.image_suffix
    dataset.metainfo = {"classes": list(classes.names)}


def _writer(config: Config) -> dict[str, Any]:
    return {"type": "LabelMapWriter"}


ANY_STRIDE = "linear_segmentation and upernet segment on every backbone, deeplab_aspp at whatever stride it has"

SEGMENTATION = TaskType(
    "segmentation", "mmseg", "label_maps", fit_segmenter, _pad, _point, resize_images, _writer, ANY_STRIDE
)
