"""Let blocks of vision transformers attend within windows, so that images of a thousand pixels can be trained on."""

from __future__ import annotations

from typing import Any

from timm.models.swin_transformer import window_partition, window_reverse
from torch import Tensor, nn
from torch.nn.functional import pad

from transfer.backbones.vit import patch_grid, quarters


def windowed_maps(network: Any, images: Tensor, window: int) -> list[Tensor]:
    """Return patch tokens, without class and register tokens, as maps after the blocks that end each quarter.

    Those four blocks attend globally, the others within windows of `window` cells a side; cells that fill up windows at
    the border are zeros behind the norm (Li et al., ViTDet, ECCV 2022, section 3, there with relative positions). `(B,
    3, H, W)` → four of `(B, C, H/patch, W/patch)`. Raises UnsupportedNetwork for images that patches do not divide.
    """
    grid = patch_grid(network, images)
    tokens = network.norm_pre(network._pos_embed(network.patch_embed(images)))
    x = tokens[:, network.num_prefix_tokens :].unflatten(1, grid)
    ends = quarters(len(network.blocks))
    maps = []
    for index, block in enumerate(network.blocks):
        x = x + block.drop_path1(
            block.ls1(_attend(block.attn, block.norm1(x), grid if index in ends else (window,) * 2))
        )
        x = x + block.drop_path2(block.ls2(block.mlp(block.norm2(x))))
        maps.append(x.permute(0, 3, 1, 2))
    return [maps[end] for end in ends]


def _attend(attention: nn.Module, x: Tensor, window: tuple[int, int]) -> Tensor:
    """Attend within each window of `(B, H, W, C)`; the shape stays."""
    height, width = x.shape[1:3]
    x = pad(x, (0, 0, 0, -width % window[1], 0, -height % window[0]))
    padded = x.shape[1:3]
    windows = attention(window_partition(x, window).flatten(1, 2)).unflatten(1, window)
    joined: Tensor = window_reverse(windows, window, *padded)
    return joined[:, :height, :width]
