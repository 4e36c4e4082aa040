"""Infer DINOv3's vision transformers from shapes."""

from __future__ import annotations

from typing import Any

from transfer.checkpoints.inference.votes import Shapes, any_name, count, lengths, most_common, of_rank

PERIODS_PER_HEAD = 4
"""A head of 64 channels turns by 16 periods: half of its channels for each axis, in pairs."""

USUAL_PERIODS = 16


def infer_dinov3(shapes: Shapes) -> dict[str, Any]:
    """Return the options of `build_dinov3`; the rotary periods tell the number of heads."""
    dim = most_common(lengths(shapes, r"blocks\.\d+\.norm[12]\.(weight|bias)"), 768)
    periods = most_common(lengths(shapes, r"rope\.periods"), USUAL_PERIODS)
    if not periods or dim % (PERIODS_PER_HEAD * periods):
        periods = USUAL_PERIODS
    options: dict[str, Any] = {
        "patch": most_common((shape[-1] for shape in of_rank(shapes, 4, r"patch_embed\.proj\.weight")), 16),
        "dim": dim,
        "depth": count(shapes, r"blocks\.(\d+)\."),
        "heads": max(1, dim // (PERIODS_PER_HEAD * periods)),
        "registers": next((shape[1] for shape in of_rank(shapes, 3, "reg_token")), 0),
    }
    hidden = most_common((s[1] for s in of_rank(shapes, 2, r"blocks\.\d+\.mlp\.fc2\.weight")), 4 * dim)
    gated = {"mlp": "swiglu"} if any_name(shapes, r"blocks\.\d+\.mlp\.fc1_[gx]\.") else {}
    return options | gated | ({} if hidden == 4 * dim else {"mlp_hidden": hidden}) | _flags(shapes)


def _flags(shapes: Shapes) -> dict[str, bool]:
    flags = {
        "qkv_bias": any_name(shapes, r"blocks\.\d+\.attn\.[qv]_bias"),
        "k_bias": any_name(shapes, r"blocks\.\d+\.attn\.k_bias"),
        "layer_scale": any_name(shapes, r"blocks\.\d+\.gamma_[12]"),
    }
    usual = {"qkv_bias": True, "k_bias": False, "layer_scale": True}
    return {name: flag for name, flag in flags.items() if flag != usual[name]}
