"""Infer Swin transformers from shapes."""

from __future__ import annotations

import math
from typing import Any

from transfer.checkpoints.inference.votes import Shapes, any_name, count, lengths, most_common, of_rank
from transfer.errors import WeightMismatch


def infer_swin(shapes: Shapes) -> dict[str, Any]:
    """Return the options of `build_swin`. Raises WeightMismatch if a stage has no tensors."""
    depths = [count(shapes, rf"layers\.{stage}\.blocks\.(\d+)\.") for stage in range(count(shapes, r"layers\.(\d+)\."))]
    if len(depths) != 4 or 0 in depths:
        raise WeightMismatch(
            f"a Swin transformer has four stages; the file has {depths} blocks under layers.0, 1, ... "
            "Only a whole backbone can be evaluated."
        )
    stages = range(4)
    widths = [most_common(lengths(shapes, rf"layers\.{s}\.blocks\.\d+\.norm[12]\.(weight|bias)"), 96) for s in stages]
    tables = [_tables(shapes, stage, width) for stage, width in enumerate(widths)]
    windows = [_window(table[0]) for stage in tables for table in stage]
    last = most_common((_window(table[0]) for table in tables[3]), most_common(windows, 7))
    kernels = of_rank(shapes, 4, r"patch_embed\.proj\.weight")
    options: dict[str, Any] = {
        "dim": widths[0],
        "depths": depths,
        "heads": [most_common((t[1] for t in stage), w // 32) for stage, w in zip(tables, widths, strict=True)],
        "window": most_common(windows, 7),
        "patch": most_common((kernel[-1] for kernel in kernels), 4),
    }
    hidden = most_common((s[0] for s in of_rank(shapes, 2, r"layers\.0\.blocks\.\d+\.mlp\.fc1\.weight")), 4 * widths[0])
    if hidden != 4 * widths[0]:
        options["mlp_ratio"] = hidden / widths[0]
    if last != options["window"]:
        options["last_window"] = last
    if "absolute_pos_embed" in shapes:
        options["ape"] = True
    if not any_name(shapes, r"layers\.\d\.blocks\.\d+\.attn\.qkv\.bias"):
        options["qkv_bias"] = False
    return options


def _tables(shapes: Shapes, stage: int, width: int) -> list[tuple[int, ...]]:
    """Return the shapes of a stage's bias tables whose heads divide its width."""
    tables = of_rank(shapes, 2, rf"layers\.{stage}\.blocks\.\d+\.attn\.relative_position_bias_table")
    return [table for table in tables if table[1] and width % table[1] == 0]


def _window(distances: int) -> int:
    """Return the cells along a side of a window with a bias for each of `distances` = (2 side - 1)^2."""
    return (math.isqrt(distances) + 1) // 2
