"""Strides that heads ask of backbones."""

from __future__ import annotations

from dataclasses import replace

import torch

from transfer.backbones.building import KINDS, kind_of, levels_of, outline_of
from transfer.errors import BadOption
from transfer.schemas.checkpoint import BackboneSpec


def with_fine_levels(backbone: BackboneSpec) -> BackboneSpec:
    """A pyramid needs stride 4, which TF-slim's ResNets have only before their blocks stride."""
    if backbone.options.get("stride_in") != "last_unit":
        return backbone
    return replace(backbone, options={**backbone.options, "levels": "before_stride"})


def require_stride(wanted: int | None, backbone: BackboneSpec, advice: str) -> None:
    """Raise BadOption, with `advice`, where the last map cannot have the stride that a head wants, if it wants one."""
    if wanted is None:
        return
    has = levels_of(backbone, output_stride=wanted if kind_of(backbone).dilates else None)[-1].stride
    if has != wanted:
        dilating = ", ".join(kind.name for kind in KINDS if kind.dilates)
        raise BadOption(
            f"this head works on a last map of stride {wanted}, but that of {backbone.kind} {backbone.arch!r} has "
            f"{has} and cannot be changed. Kinds of backbone that dilate to it: {dilating}. "
            f"For this backbone: {advice}."
        )


def has_cells_at_corners(backbone: BackboneSpec, stride: int) -> bool:
    """Whether the last map of `stride * n + 1` pixels a side has `n + 1` cells, at the pixels 0, `stride`, ...

    So it is where convolutions pad. Where patches are cut out (ConvNeXt, ViT), cells lie in the middle of theirs.
    """
    if not kind_of(backbone).dilates:
        return False
    images = torch.empty(1, 3, 4 * stride + 1, 4 * stride + 1, device="meta")
    return bool(outline_of(backbone, output_stride=stride)(images)[-1].shape[-1] == 5)
