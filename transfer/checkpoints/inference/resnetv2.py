"""Infer pre-activation ResNets from shapes."""

from __future__ import annotations

from typing import Any

from transfer.backbones.resnetv2 import STANDARD_WIDTHS
from transfer.checkpoints.inference.votes import Shapes, any_name, lengths, most_common, of_rank, stage_depths


def infer_resnetv2(shapes: Shapes) -> dict[str, Any]:
    """Return the options of `build_resnetv2`. Raises WeightMismatch if a stage has no tensors.

    Group normalisation is taken for BiT's: with standardised kernels and a max-pool over zeros. A deep stem is taken
    for that of a ResNet-D, whose shortcuts average.
    """
    patterns = {f"stages.{stage}": rf"stages\.{stage}\.blocks\.(\d+)\." for stage in range(4)}
    options: dict[str, Any] = {"depths": stage_depths(shapes, "ResNetV2", patterns)}
    bottleneck = any_name(shapes, r"stages\.\d\.blocks\.\d+\.(conv3|norm3)\.")
    if not bottleneck:
        options["block"] = "basic"
    widths = tuple(_width(shapes, stage, 3 if bottleneck else 2) for stage in range(4))
    if widths != STANDARD_WIDTHS:
        options["widths"] = list(widths)
    options |= _stem(shapes)
    if any_name(shapes, r".*\.running_(mean|var)"):
        options["norm"] = "batch"
    else:
        options |= {"weight_standardised": True, "pool_padding": "zeros"}
    if any_name(shapes, r"stages\.\d\.blocks\.\d+\.(conv3|downsample\.conv)\.bias"):
        options["bias"] = True
    return options


def _width(shapes: Shapes, stage: int, last: int) -> int:
    block = rf"stages\.{stage}\.blocks\.\d+\."
    kernels = of_rank(shapes, 4, rf"{block}(conv{last}|downsample\.conv)\.weight")
    inputs = lengths(shapes, rf"stages\.{stage}\.blocks\.[1-9]\d*\.norm1\.(weight|bias)")
    return most_common([*(kernel[0] for kernel in kernels), *inputs], STANDARD_WIDTHS[stage])


def _stem(shapes: Shapes) -> dict[str, Any]:
    deep = any_name(shapes, r"stem\.(conv|norm)[123]\.")
    kernels = of_rank(shapes, 4, r"stem\.conv3?\.weight")
    inputs = lengths(shapes, r"stages\.0\.blocks\.0\.norm1\.\w+")
    width = most_common([*inputs, *(kernel[0] for kernel in kernels)], 64)
    options: dict[str, Any] = {} if width == 64 else {"stem_width": width}
    if deep:
        first = most_common(lengths(shapes, r"stem\.norm1\.\w+"), width // 2)
        options |= {"stem": "deep" if first == width // 2 else "tiered", "avg_down": True}
    return options
