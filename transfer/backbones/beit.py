"""BEiT and its kin: vision transformers with relative position biases, no bias on keys, and scaled residuals."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from timm.models.beit import Attention, Beit, gen_relative_position_index
from torch import Tensor, nn
from torch.nn.functional import linear, scaled_dot_product_attention

from transfer.backbones.kind import Kind, Level, choice
from transfer.backbones.positions import INTERPOLATIONS, stretch_positions
from transfer.backbones.relative import BIAS_INTERPOLATIONS, stretch_bias
from transfer.backbones.vit import patch_grid, quarter_stages, quarters
from transfer.errors import UnknownName, UnsupportedNetwork


class BiasedAttention(Attention):  # type: ignore[misc]
    """timm's BEiT attention whose bias comes from outside, so that any grid can have one."""

    def forward(self, x: Tensor, shared_rel_pos_bias: Tensor | None = None) -> Tensor:
        """Attend over `(B, tokens, C)` with a bias `(heads, tokens, tokens)` or None; the shape stays."""
        bias = None if self.q_bias is None else torch.cat([self.q_bias, torch.zeros_like(self.v_bias), self.v_bias])
        batch, count, _ = x.shape
        qkv = linear(x, self.qkv.weight, bias).reshape(batch, count, 3, self.num_heads, -1)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        x = scaled_dot_product_attention(q, k, v, attn_mask=shared_rel_pos_bias)
        return self.proj(x.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]


class AnySizeBeit(Beit):  # type: ignore[misc]
    """timm's Beit for any image divisible by its patch, stretching positions and biases as BEiT's fine-tuning does."""

    position_interpolation: str
    bias_interpolation: str

    def tokens(self, images: Tensor) -> list[Tensor]:
        """Return class and patch tokens `(B, 1 + cells, C)` of images `(B, 3, H, W)` after each block."""
        grid = patch_grid(self, images)
        x = self._embedded(images, grid)
        index = gen_relative_position_index(grid, device=x.device)
        shared = None if self.rel_pos_bias is None else self._bias(self.rel_pos_bias, index, grid)
        outputs = []
        for block in self.blocks:
            own = None if block.attn.relative_position_bias_table is None else self._bias(block.attn, index, grid)
            biases = [bias for bias in (shared, own) if bias is not None]
            x = block(x, shared_rel_pos_bias=sum(biases[1:], biases[0]) if biases else None)
            outputs.append(x)
        return outputs

    def forward_features(self, images: Tensor) -> Tensor:
        """Return normalised tokens `(B, 1 + cells, C)` of images `(B, 3, H, W)`, the class token first."""
        x: Tensor = self.norm(self.tokens(images)[-1])
        return x

    def _embedded(self, images: Tensor, grid: tuple[int, int]) -> Tensor:
        x = self.patch_embed.proj(images).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls_token.expand(len(x), -1, -1), x], dim=1)
        if self.pos_embed is None:
            return x
        trained = self.patch_embed.grid_size
        cells = stretch_positions(self.pos_embed[:, 1:], trained, grid, self.position_interpolation)
        return x + torch.cat([self.pos_embed[:, :1], cells], dim=1)

    def _bias(self, holder: Any, index: Tensor, grid: tuple[int, int]) -> Tensor:
        """Return `(heads, tokens, tokens)` from the table of an attention or of all of them."""
        trained = self.patch_embed.grid_size
        table = stretch_bias(holder.relative_position_bias_table, trained, grid, self.bias_interpolation)
        return table[index].permute(2, 0, 1)


def build_beit(options: Mapping[str, Any], output_stride: int = 32) -> nn.Module:
    """Build a timm Beit without classifier that accepts any image divisible by its patch.

    Options: `image` (height, width of the trained grid in pixels), `patch`, `dim`, `depth`, `heads`, `mlp_hidden`,
    `bias` (shared, blocks, none: where relative position biases are), `absolute` (whether there are position
    embeddings), `layer_scale` (whether), `qkv_bias`, `final_norm`, `eps`, `position_interpolation`,
    `bias_interpolation` (beit, huggingface: biases on other grids than the trained one).
    """
    if output_stride != 32:
        raise UnsupportedNetwork(
            f"output stride {output_stride}: a BEiT has one stride, its patch; leave the option out."
        )
    way = options.get("position_interpolation", "bicubic")
    if way not in INTERPOLATIONS:
        raise UnknownName.among("position interpolation", way, INTERPOLATIONS)
    network = AnySizeBeit(
        img_size=tuple(options["image"]),
        patch_size=options["patch"],
        num_classes=0,
        global_pool="",
        use_fc_norm=not options.get("final_norm", True),
        embed_dim=options["dim"],
        depth=options["depth"],
        num_heads=options["heads"],
        qkv_bias=options.get("qkv_bias", True),
        # timm truncates dim * ratio to an integer: the half keeps rounding errors from costing one unit
        mlp_ratio=(options.get("mlp_hidden", 4 * options["dim"]) + 0.5) / options["dim"],
        init_values=1e-5 if options.get("layer_scale", True) else None,
        use_abs_pos_emb=options.get("absolute", False),
        use_rel_pos_bias=options.get("bias", "blocks") == "blocks",
        use_shared_rel_pos_bias=options.get("bias", "blocks") == "shared",
        norm_layer=partial(nn.LayerNorm, eps=options.get("eps", 1e-6)),
    )
    network.fc_norm = nn.Identity()
    network.position_interpolation = way
    network.bias_interpolation = choice(options, "bias_interpolation", tuple(BIAS_INTERPOLATIONS))
    for block in network.blocks:
        block.attn.__class__ = BiasedAttention
    return network


def _levels(network: Any) -> tuple[Level, ...]:
    return (Level(network.patch_embed.patch_size[0], network.embed_dim),) * 4


def _maps(network: Any, images: Tensor) -> list[Tensor]:
    tokens = network.tokens(images)
    grid = patch_grid(network, images)
    return [tokens[end][:, 1:].transpose(1, 2).unflatten(2, grid) for end in quarters(len(network.blocks))]


def _stages(network: Any) -> list[list[nn.Module]]:
    tokens = nn.ParameterList(p for p in (network.cls_token, network.pos_embed) if p is not None)
    shared = [] if network.rel_pos_bias is None else [network.rel_pos_bias]
    return quarter_stages(network, [network.patch_embed, tokens, network.pos_drop, *shared])


BEIT = Kind("beit", build_beit, _levels, _maps, _stages, after_levels=("norm",))
