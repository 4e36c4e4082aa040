"""Prepare position embeddings for another library: other sizes, and tables of what was computed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from transfer.backbones.positions import sincos2d
from transfer.checkpoints.export.library import ConvertedBackbone
from transfer.checkpoints.keys.values import Value


def interpolation_note(way: str, theirs: str, image: Sequence[int], library: str) -> tuple[str, ...]:
    """Return a note if `library` stretches positions in another way (`theirs`) than the network's project."""
    if way == theirs:
        return ()
    return (
        f"features are the same at {image[0]}x{image[1]} pixels; at other sizes {library} stretches positions its own "
        f"way, not the {way} way of the network's project, which moves features by about a percent",
    )


def sincos_table(backbone: ConvertedBackbone, options: dict[str, Any]) -> ConvertedBackbone:
    """Write a ViT's fixed positions down as if they were learnt: exact at the trained size."""
    if options["positions"] == "learnt":
        return backbone
    grid = (options["image"][0] // options["patch"], options["image"][1] // options["patch"])

    def load() -> Tensor:
        return sincos2d(grid, options["dim"])

    table = Value((1, grid[0] * grid[1], options["dim"]), backbone.values["patch_embed.proj.weight"].dtype, load)
    note = (
        f"fixed sine and cosine positions are written as a table of {grid[0]}x{grid[1]}: features are the same at that "
        "size; at others the table is stretched, where the network would compute them anew"
    )
    return backbone.with_values({**backbone.values, "pos_embed": table}, note)
