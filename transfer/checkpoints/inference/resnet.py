"""ResNet, ResNeXt, wide ResNet and ResNet-D from shapes."""

from __future__ import annotations

from typing import Any

from transfer.backbones.resnet import STANDARD_WIDTHS
from transfer.checkpoints.inference.votes import Shapes, any_name, count, lengths, most_common, of_rank
from transfer.errors import WeightMismatch

VECTORS = r"(weight|bias|running_mean|running_var)"


def infer_resnet(shapes: Shapes) -> dict[str, Any]:
    """Options of `build_resnet`. Raises WeightMismatch for missing stages and stems that no canonical ResNet has."""
    depths = [count(shapes, rf"layer{stage}\.(\d+)\.") for stage in (1, 2, 3, 4)]
    missing = [f"  - layer{stage}.*" for stage, depth in enumerate(depths, 1) if not depth]
    if missing:
        raise WeightMismatch(
            "a ResNet's trunk has four stages; without a tensor in the file:\n" + "\n".join(missing) + "\nClosest "
            f"names: {', '.join(list(shapes)[-4:])}. Only a whole trunk can be evaluated."
        )
    bottleneck = any_name(shapes, r"layer\d\.\d+\.(conv3|bn3)\.")
    inner = [most_common(lengths(shapes, rf"layer{s}\.\d+\.bn1\.{VECTORS}"), 64) for s in (1, 2, 3, 4)]
    outer = [most_common(lengths(shapes, rf"layer{s}\.\d+\.bn{2 + bottleneck}\.{VECTORS}"), 64) for s in (1, 2, 3, 4)]
    widths = [width // 4 for width in outer] if bottleneck else outer
    options: dict[str, Any] = {"block": "bottleneck" if bottleneck else "basic", "depths": depths}
    if bottleneck:
        options |= _cardinality(shapes, inner[0], widths[0])
    if tuple(widths) != STANDARD_WIDTHS:
        options["widths"] = widths
    return options | _stem(shapes) | ({"avg_down": True} if any_name(shapes, r"layer\d\.0\.downsample\.2\.") else {})


def _cardinality(shapes: Shapes, inner: int, width: int) -> dict[str, int]:
    kernels = of_rank(shapes, 4, r"layer1\.\d+\.conv2\.weight")
    groups = most_common((inner // kernel[1] for kernel in kernels if kernel[1]), 1)
    base_width = inner * 64 // max(1, width * groups)
    plain = {"groups": 1, "base_width": 64}
    return {key: value for key, value in (("groups", groups), ("base_width", base_width)) if value != plain[key]}


def _stem(shapes: Shapes) -> dict[str, Any]:
    if not any_name(shapes, r"conv1\.\d"):
        _refuse_small_kernel(shapes.get("conv1.weight", ()))
        return {}
    first = most_common(lengths(shapes, rf"conv1\.1\.{VECTORS}"), 32)
    second = most_common(lengths(shapes, rf"conv1\.4\.{VECTORS}"), first)
    return {"stem": "deep" if first == second else "deep_tiered", "stem_width": second}


def _refuse_small_kernel(shape: tuple[int, ...]) -> None:
    if len(shape) == 4 and shape[1] == 3 and shape[2:] != (7, 7):
        raise WeightMismatch(
            f"the stem conv1.weight has shape {shape}; a canonical ResNet's has 7x7 kernels:\n"
            f"  - conv1.weight   (64, 3, 7, 7)\n  + conv1.weight   {shape}\n"
            "A stem for small images (CIFAR) or patches is another network: it has no canonical form here."
        )
