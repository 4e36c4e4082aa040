"""Infer BEiT and its kin from shapes."""

from __future__ import annotations

import math
from typing import Any

from transfer.backbones.relative import CLASS_ROWS
from transfer.checkpoints.inference.vit import published_heads
from transfer.checkpoints.inference.votes import Shapes, any_name, count, lengths, most_common, of_rank
from transfer.errors import WeightMismatch

OWN = r"blocks\.\d+\.attn\.relative_position_bias_table"
SHARED = r"rel_pos_bias\.relative_position_bias_table"


def infer_beit(shapes: Shapes, heads: int | None = None) -> dict[str, Any]:
    """Return the options of `build_beit`; `heads` as the file's metadata say, for networks without relative biases.

    Raises WeightMismatch for tables and positions that no square grid has.
    """
    dim = most_common(lengths(shapes, r"blocks\.\d+\.norm[12]\.(weight|bias)"), 768)
    depth = count(shapes, r"blocks\.(\d+)\.")
    patch = most_common((shape[-1] for shape in of_rank(shapes, 4, r"patch_embed\.proj\.weight")), 16)
    tables = [table for table in of_rank(shapes, 2, f"{OWN}|{SHARED}") if _fits(table, dim)]
    hidden = most_common((s[0] for s in of_rank(shapes, 2, r"blocks\.\d+\.mlp\.fc1\.weight")), 4 * dim)
    side = _side(shapes, [table[0] for table in tables]) * patch
    options: dict[str, Any] = {
        "image": [side, side],
        "patch": patch,
        "dim": dim,
        "depth": depth,
        "heads": most_common((table[1] for table in tables), 0) or heads or published_heads(dim, depth),
        "bias": _bias(shapes),
    }
    return options | ({} if hidden == 4 * dim else {"mlp_hidden": hidden}) | _flags(shapes)


def _fits(table: tuple[int, ...], dim: int) -> bool:
    """Return whether a bias table has rows for some grid and heads that divide the width."""
    return table[0] > CLASS_ROWS and table[1] > 0 and dim % table[1] == 0


def _bias(shapes: Shapes) -> str:
    if any_name(shapes, OWN):
        return "blocks"
    # without any positions something is missing: the match then names the shared table
    return "shared" if any_name(shapes, SHARED) or "pos_embed" not in shapes else "none"


def _side(shapes: Shapes, rows: list[int]) -> int:
    """Return the cells along a side of the trained grid. Raises WeightMismatch if no square grid fits."""
    positions = next((shape[1] for shape in of_rank(shapes, 3, "pos_embed")), 0)
    if not rows and not positions:
        return 14
    cells = ((math.isqrt(most_common(rows, 0) - CLASS_ROWS) + 1) // 2) ** 2 if rows else positions - 1
    side = math.isqrt(max(0, cells))
    expected = {"rows": (2 * side - 1) ** 2 + CLASS_ROWS, "positions": side**2 + 1}
    if (rows and most_common(rows, 0) != expected["rows"]) or (positions and positions != expected["positions"]):
        raise WeightMismatch(
            f"no square grid has relative_position_bias_table of {most_common(rows, 0)} rows and pos_embed of "
            f"{positions} entries: a grid of {side}x{side} has {expected['rows']} and {expected['positions']}. "
            "Two networks are mixed, or a table was resized alone."
        )
    return side


def _flags(shapes: Shapes) -> dict[str, bool]:
    flags = {
        "absolute": "pos_embed" in shapes,
        "layer_scale": any_name(shapes, r"blocks\.\d+\.gamma_[12]"),
        "qkv_bias": any_name(shapes, r"blocks\.\d+\.attn\.[qv]_bias"),
    }
    usual = {"absolute": False, "layer_scale": True, "qkv_bias": True}
    return {name: flag for name, flag in flags.items() if flag != usual[name]}
