"""Fold what one network has apart and another has no place for into neighbouring tensors: the function is the same.

Each takes a backbone and returns one whose tensors compute the same, with a note where its training would differ.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from transfer.checkpoints.export.library import ConvertedBackbone, without
from transfer.checkpoints.keys.rules import Join
from transfer.checkpoints.keys.values import Value, combined

SCALES: Mapping[str, str] = {"ls1.gamma": "attn.proj", "ls2.gamma": "mlp.fc2"}
"""The scale of a ViT's residual → the linear layer before it."""

PACKED = (Join(r"(blocks\.\d+\.mlp)\.(?P<part>fc1_g|fc1_x)\.(weight|bias)", ("fc1_g", "fc1_x"), r"\1.fc1.\3"),)
"""Gate and value of a gated MLP in one layer, the gate first."""


def without_layer_scale(backbone: ConvertedBackbone) -> ConvertedBackbone:
    """Let a ViT's scaled residuals be scaled by the layers before them: g * (W x + b) = (g W) x + g b."""
    scales = [name for name in backbone.values if name.endswith(tuple(SCALES))]
    if not scales:
        return backbone
    values = dict(backbone.values)
    for name in scales:
        block, scale = re.fullmatch(r"(blocks\.\d+)\.(ls\d\.gamma)", name).groups()  # type: ignore[union-attr]
        for part in ("weight", "bias"):
            layer = f"{block}.{SCALES[scale]}.{part}"
            if layer in values:
                values[layer] = combined((values[layer], values[name]), _scaled, "scaling rows")
    note = (
        "LayerScale is multiplied into the layers before it (attn.proj, mlp.fc2): features are the same, fine-tuning "
        "trains it with them"
    )
    return backbone.with_values(without(values, r".*\.ls\d\.gamma"), note)


def _scaled(tensors: list[Tensor]) -> Tensor:
    tensor, scale = tensors
    return tensor * (scale[:, None] if tensor.ndim == 2 else scale)


def class_position_in_token(backbone: ConvertedBackbone) -> ConvertedBackbone:
    """Give a ViT a class token without position: the position is added to the token, which is exact."""
    first = backbone.values["pos_embed"].then(lambda positions: positions[:, :1], "the first position")
    values = {
        **backbone.values,
        "cls_token": combined((backbone.values["cls_token"], first), lambda pair: pair[0] + pair[1], "adding"),
        "pos_embed": backbone.values["pos_embed"].then(lambda positions: positions[:, 1:], "the other positions"),
    }
    return backbone.with_values(values, "the class token's position is added to the class token")


def register_positions_in_tokens(backbone: ConvertedBackbone) -> ConvertedBackbone:
    """Give a ViT register tokens without positions: these are added to the tokens, which is exact."""
    first = int("cls_token" in backbone.values)
    last = first + backbone.values["reg_token"].shape[1]
    positions = backbone.values["pos_embed"]
    own = positions.then(lambda tensor: tensor[:, first:last], "positions of registers")
    others = positions.then(lambda tensor: torch.cat([tensor[:, :first], tensor[:, last:]], 1), "the other positions")
    token = combined((backbone.values["reg_token"], own), lambda pair: pair[0] + pair[1], "adding")
    note = "the register tokens' positions are added to the register tokens"
    return backbone.with_values({**backbone.values, "reg_token": token, "pos_embed": others}, note)


def class_position_of_zero(backbone: ConvertedBackbone) -> ConvertedBackbone:
    """Give a ViT's class token, which had no position, a position of zeros, which is exact."""
    padded = backbone.values["pos_embed"].then(_zero_first, "a position of zeros")
    return backbone.with_values({**backbone.values, "pos_embed": padded}, "the class token gets a position of zeros")


def _zero_first(positions: Tensor) -> Tensor:
    return torch.cat([torch.zeros_like(positions[:, :1]), positions], dim=1)


def shared_bias_in_blocks(backbone: ConvertedBackbone) -> ConvertedBackbone:
    """Give each block of a BEiT a copy of the table of relative position biases that they shared."""
    shared = backbone.values["rel_pos_bias.relative_position_bias_table"]
    blocks = sorted({int(found[1]) for name in backbone.values if (found := re.match(r"blocks\.(\d+)\.", name))})
    own = {f"blocks.{block}.attn.relative_position_bias_table": shared for block in blocks}
    note = "the shared table of relative position biases is copied into every block: fine-tuning trains each alone"
    return backbone.with_values({**without(backbone.values, r"rel_pos_bias\..*"), **own}, note)


def with_kernels_times(backbone: ConvertedBackbone, factor: float, note: str) -> ConvertedBackbone:
    """Multiply standardised kernels by `factor`."""
    values = {
        name: value.then(_times(factor), "scaling") if len(value.shape) == 4 else value
        for name, value in backbone.values.items()
    }
    return backbone.with_values(values, note)


def _times(factor: float) -> Callable[[Tensor], Tensor]:
    return lambda tensor: tensor * factor


def relative_index(window: int) -> Value:
    """Return the bias table's row for each pair of cells in a window, as Swin's buffer `(cells, cells)`."""

    def load() -> Tensor:
        rows, columns = torch.meshgrid(torch.arange(window), torch.arange(window), indexing="ij")
        places = torch.stack([rows.flatten(), columns.flatten()])
        distances = places[:, :, None] - places[:, None, :] + window - 1
        return distances[0] * (2 * window - 1) + distances[1]

    return Value((window**2, window**2), torch.int64, load)
