"""Infer vision transformers from shapes."""

from __future__ import annotations

import math
from typing import Any

from transfer.backbones.architectures import VIT_SIZES
from transfer.checkpoints.inference.votes import Shapes, any_name, count, lengths, most_common, of_rank
from transfer.errors import WeightMismatch


def infer_vit(shapes: Shapes, heads: int | None = None, image: tuple[int, int] | None = None) -> dict[str, Any]:
    """Return the options of `build_vit`; `heads` and `image` as the file's metadata say, where it does.

    Raises WeightMismatch where neither shapes nor metadata tell the number of heads or the position grid.
    """
    dim = most_common(lengths(shapes, r"blocks\.\d+\.norm[12]\.(weight|bias)"), 768)
    depth = count(shapes, r"blocks\.(\d+)\.")
    patch = most_common((shape[-1] for shape in of_rank(shapes, 4, r"patch_embed\.proj\.weight")), 16)
    cells = 0 if image is None else (image[0] // patch) * (image[1] // patch)
    tokens = _tokens(shapes, cells)
    options: dict[str, Any] = {
        "image": _image(shapes, patch, tokens, image),
        "patch": patch,
        "dim": dim,
        "depth": depth,
    }
    options["heads"] = heads or published_heads(dim, depth)
    stem = {"stem": "conv"} if any_name(shapes, r"patch_embed\.proj\.\d") else {}
    return options | tokens | stem | _mlp(shapes, dim) | _layers(shapes)


def published_heads(dim: int, depth: int) -> int:
    """Return the heads of a published size, else one for 64 channels: head counts leave no trace in the weights.

    Raises WeightMismatch for other widths.
    """
    known = {(width, blocks): heads for width, blocks, heads in VIT_SIZES.values()}
    if (dim, depth) not in known and dim % 64:
        raise WeightMismatch(
            f"a ViT of width {dim} and depth {depth}: how many heads it has leaves no trace in its weights, and {dim} "
            "does not divide into heads of 64 channels. Put a config.json next to the file that says so: "
            '{"model_args": {"num_heads": ...}}.'
        )
    return known.get((dim, depth), dim // 64)


def _positions(shapes: Shapes) -> int:
    return next((shape[1] for shape in of_rank(shapes, 3, "pos_embed")), 0)


def _tokens(shapes: Shapes, cells: int) -> dict[str, Any]:
    """Infer the tokens before the patches, and whether they have positions; `cells` is 0 if unknown."""
    registers = next((shape[1] for shape in of_rank(shapes, 3, "reg_token")), 0)
    length = _positions(shapes)
    # a square number of positions and one more belongs to a class token, even if that tensor is missing;
    # so do registers in a network with a norm before the pooling
    present = "cls_token" in shapes or _square(length - 1) or bool(registers and any_name(shapes, r"norm\."))
    tokens: dict[str, Any] = {} if present else {"class_token": False}
    if registers:
        tokens["registers"] = registers
    prefix = present + registers
    if prefix and length == cells + prefix:
        return tokens
    if prefix and _square(length) and not _square(length - prefix):
        tokens["no_embed_class"] = True
    elif registers and present and _square(length - 1) and not _square(length - prefix):
        tokens["no_embed_registers"] = True
    return tokens


def _square(number: int) -> bool:
    return number > 0 and math.isqrt(number) ** 2 == number


def _image(shapes: Shapes, patch: int, tokens: dict[str, Any], image: tuple[int, int] | None) -> list[int]:
    prefix = tokens.get("class_token", True) + (0 if tokens.get("no_embed_registers") else tokens.get("registers", 0))
    cells = _positions(shapes) - (0 if tokens.get("no_embed_class") else prefix)
    if image is not None and (image[0] // patch) * (image[1] // patch) == cells:
        return list(image)
    if _positions(shapes) and not _square(cells):
        raise WeightMismatch(
            f"the position embedding pos_embed has {_positions(shapes)} entries: {cells} cells after {prefix} class "
            "and register tokens, which is no square grid. A token (cls_token, dist_token, reg_token) is missing, "
            "or the grid is oblong: then put a config.json next to the file that says "
            '{"pretrained_cfg": {"input_size": [3, height, width]}}.'
        )
    side = math.isqrt(cells) * patch if _positions(shapes) else 224
    return [side, side]


def _mlp(shapes: Shapes, dim: int) -> dict[str, Any]:
    hidden = most_common((s[0] for s in of_rank(shapes, 2, r"blocks\.\d+\.mlp\.fc1(_x)?\.weight")), 4 * dim)
    narrow = most_common((s[1] for s in of_rank(shapes, 2, r"blocks\.\d+\.mlp\.fc2\.weight")), hidden)
    kind = "swiglu" if any_name(shapes, r"blocks\.\d+\.mlp\.fc1_[gx]") else "mlp"
    if kind == "mlp" and hidden == 2 * narrow:
        kind = "swiglu_packed"
    gated = {} if kind == "mlp" else {"mlp": kind}
    return gated | ({} if hidden == 4 * dim else {"mlp_hidden": hidden})


def _layers(shapes: Shapes) -> dict[str, Any]:
    flags = {
        "layer_scale": any_name(shapes, r"blocks\.\d+\.ls[12]\."),
        "qk_norm": any_name(shapes, r"blocks\.\d+\.attn\.[qk]_norm\."),
        "qkv_bias": any_name(shapes, r"blocks\.\d+\.attn\.qkv\.bias"),
        "proj_bias": any_name(shapes, r"blocks\.\d+\.attn\.proj\.bias"),
        "pre_norm": any_name(shapes, r"norm_pre\."),
    }
    usual = {name: name in ("qkv_bias", "proj_bias") for name in flags}
    return {name: flag for name, flag in flags.items() if flag != usual[name]}
