"""Infer ConvNeXt and ConvNeXt V2 from shapes."""

from __future__ import annotations

from typing import Any

from transfer.checkpoints.inference.votes import Shapes, any_name, lengths, most_common, of_rank, stage_depths

BLOCK = r"stages\.\d\.blocks\.\d+\."


def infer_convnext(shapes: Shapes) -> dict[str, Any]:
    """Return the options of `build_convnext`. Raises WeightMismatch if a stage has no tensors."""
    patterns = {f"stages.{stage}": rf"stages\.{stage}\.blocks\.(\d+)\." for stage in range(4)}
    depths = stage_depths(shapes, "ConvNeXt", patterns)
    options: dict[str, Any] = {"depths": depths, "widths": [_width(shapes, stage) for stage in range(4)]}
    sizes = {
        "patch": most_common((kernel[-1] for kernel in of_rank(shapes, 4, r"stem\.0\.weight")), 4),
        "kernel": most_common((kernel[-1] for kernel in of_rank(shapes, 4, rf"{BLOCK}conv_dw\.weight")), 7),
    }
    flags = {
        "response_norm": any_name(shapes, rf"{BLOCK}mlp\.grn\."),
        "layer_scale": any_name(shapes, rf"{BLOCK}gamma"),
        "final_norm": any_name(shapes, r"norm_pre\."),
        "convolutional_mlp": bool(of_rank(shapes, 4, rf"{BLOCK}mlp\.fc[12]\.weight")),
        "bias": any_name(shapes, rf"{BLOCK}conv_dw\.bias"),
    }
    usual = {"patch": 4, "kernel": 7, "response_norm": False, "layer_scale": True, "final_norm": False}
    usual |= {"convolutional_mlp": False, "bias": True}
    return options | {name: value for name, value in (sizes | flags).items() if value != usual[name]}


def _width(shapes: Shapes, stage: int) -> int:
    vectors = lengths(shapes, rf"stages\.{stage}\.blocks\.\d+\.(norm\.\w+|conv_dw\.bias|mlp\.fc2\.bias|gamma)")
    return most_common(vectors, 96 * 2**stage)
