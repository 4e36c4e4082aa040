"""Infer ResNet, ResNeXt, ResNet-D and wide ResNets, of ImageNet and of CIFAR, from shapes."""

from __future__ import annotations

from typing import Any

from transfer.backbones.resnet import STANDARD_WIDTHS
from transfer.checkpoints.inference.votes import Shapes, any_name, lengths, most_common, of_rank, stage_depths
from transfer.errors import UnsupportedNetwork

VECTORS = r"(weight|bias|running_mean|running_var)"


def infer_resnet(shapes: Shapes, stem: str | None = None) -> dict[str, Any]:
    """Return the options of `build_resnet`; `stem` as the file's family says, which a stem of 3x3 kernels needs.

    Raises WeightMismatch for missing stages, UnsupportedNetwork for stems that no canonical ResNet has.
    """
    depths = stage_depths(shapes, "ResNet", {f"layer{s}": rf"layer{s}\.(\d+)\." for s in (1, 2, 3, 4)})
    bottleneck = any_name(shapes, r"layer\d\.\d+\.(conv3|bn3)\.")
    inner = [most_common(lengths(shapes, rf"layer{s}\.\d+\.bn1\.{VECTORS}"), 64) for s in (1, 2, 3, 4)]
    outer = [most_common(lengths(shapes, rf"layer{s}\.\d+\.bn{2 + bottleneck}\.{VECTORS}"), 64) for s in (1, 2, 3, 4)]
    widths = [width // 4 for width in outer] if bottleneck else outer
    options: dict[str, Any] = {"block": "bottleneck" if bottleneck else "basic", "depths": depths}
    if bottleneck:
        options |= _cardinality(shapes, inner[0], widths[0])
    if tuple(widths) != STANDARD_WIDTHS:
        options["widths"] = widths
    options |= _stem(shapes, stem)
    return options | _shortcuts(shapes, options.get("stem_width", 64) == widths[0] and not bottleneck)


def infer_wide_resnet(shapes: Shapes) -> dict[str, Any]:
    """Return the options of `build_wide_resnet`. Raises WeightMismatch if a block has no tensors."""
    patterns = {f"block{block}": rf"block{block}\.layer\.(\d+)\." for block in (1, 2, 3)}
    units = most_common(stage_depths(shapes, "wide ResNet", patterns), 4)
    widths = [most_common(lengths(shapes, rf"block{b}\.layer\.\d+\.bn2\.\w+"), 16 * 2**b) for b in (1, 2, 3)]
    options: dict[str, Any] = {"units": units, "widths": widths}
    if any_name(shapes, r"block\d\.layer\.\d+\.conv\w+\.bias"):
        return {**options, "bias": "all"}
    return {**options, "bias": "stem"} if any_name(shapes, r"conv1\.bias") else options


def _shortcuts(shapes: Shapes, equal_widths: bool) -> dict[str, bool]:
    """Infer whether shortcuts average, and whether there is one that widths do not ask for."""
    average = any_name(shapes, r"layer\d\.0\.downsample\.2\.")
    projection = equal_widths and any_name(shapes, r"layer1\.0\.downsample\.")
    return ({"avg_down": True} if average else {}) | ({"projection": True} if projection else {})


def _cardinality(shapes: Shapes, inner: int, width: int) -> dict[str, int]:
    kernels = of_rank(shapes, 4, r"layer1\.\d+\.conv2\.weight")
    groups = most_common((inner // kernel[1] for kernel in kernels if kernel[1]), 1)
    base_width = inner * 64 // max(1, width * groups)
    usual = {"groups": 1, "base_width": 64}
    return {key: value for key, value in (("groups", groups), ("base_width", base_width)) if value != usual[key]}


def _stem(shapes: Shapes, stem: str | None) -> dict[str, Any]:
    if any_name(shapes, r"conv1\.\d"):
        first = most_common(lengths(shapes, rf"conv1\.1\.{VECTORS}"), 32)
        second = most_common(lengths(shapes, rf"conv1\.4\.{VECTORS}"), first)
        return {"stem": "deep" if first == second else "deep_tiered", "stem_width": second}
    width = most_common(lengths(shapes, rf"bn1\.{VECTORS}"), 64)
    wide = {} if width == 64 else {"stem_width": width}
    return wide | ({"stem": "cifar"} if _is_small(shapes.get("conv1.weight", ()), stem) else {})


def _is_small(shape: tuple[int, ...], stem: str | None) -> bool:
    """Return whether the stem's kernels are 3x3, which needs a family's word: padding and pooling leave no trace.

    Raises UnsupportedNetwork without it.
    """
    usual = len(shape) != 4 or shape[1] != 3 or shape[2:] == (7, 7)
    if usual or (stem == "cifar" and shape[2:] == (3, 3)):
        return not usual
    raise UnsupportedNetwork(
        f"the stem conv1.weight has shape {shape}; a canonical ResNet's has 7x7 kernels:\n"
        f"  - conv1.weight   (64, 3, 7, 7)\n  + conv1.weight   {shape}\n"
        "A stem for small images (CIFAR) or patches is another network, whose padding and pooling leave no trace in "
        "weights: only a family that knows them can read it (--family)."
    )
