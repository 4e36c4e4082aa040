"""Wide ResNets for small images from shapes."""

from __future__ import annotations

from typing import Any

from transfer.checkpoints.inference.stages import stage_depths
from transfer.checkpoints.inference.votes import Shapes, any_name, lengths, most_common


def infer_wide_resnet(shapes: Shapes) -> dict[str, Any]:
    """Options of `build_wide_resnet`. Raises WeightMismatch if a block has no tensors."""
    patterns = {f"block{block}": rf"block{block}\.layer\.(\d+)\." for block in (1, 2, 3)}
    units = most_common(stage_depths(shapes, "wide ResNet", patterns), 4)
    widths = [most_common(lengths(shapes, rf"block{b}\.layer\.\d+\.bn2\.\w+"), 16 * 2**b) for b in (1, 2, 3)]
    options: dict[str, Any] = {"units": units, "widths": widths}
    if any_name(shapes, r"block\d\.layer\.\d+\.conv\w+\.bias"):
        return {**options, "bias": "all"}
    return {**options, "bias": "stem"} if any_name(shapes, r"conv1\.bias") else options
