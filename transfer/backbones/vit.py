"""Plain vision transformers: class token or not, registers, LayerScale, gated MLPs, any grid."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from itertools import pairwise
from typing import Any

import torch
from timm.layers import Mlp, SwiGLU, SwiGLUPacked
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from transfer.backbones.kind import Kind, Level
from transfer.backbones.positions import INTERPOLATIONS, stretch_positions
from transfer.errors import BadOption, UnknownName

MLPS = {"mlp": Mlp, "swiglu": SwiGLU, "swiglu_packed": SwiGLUPacked}


class PlainViT(VisionTransformer):  # type: ignore[misc]
    """timm's VisionTransformer that stretches position embeddings the way its source network does."""

    position_interpolation: str

    def _pos_embed(self, x: Tensor) -> Tensor:
        """`(B, H, W, C)` patch tokens → `(B, prefix + H*W, C)` with positions, class and register tokens first."""
        batch, height, width, _ = x.shape
        prefix = [token.expand(batch, -1, -1) for token in (self.cls_token, self.reg_token) if token is not None]
        positions, cells = self._split_positions()
        cells = stretch_positions(cells, self.patch_embed.grid_size, (height, width), self.position_interpolation)
        x = x.flatten(1, 2) + cells
        if prefix:
            tokens = torch.cat(prefix, dim=1)
            x = torch.cat([tokens if positions is None else tokens + positions, x], dim=1)
        return self.pos_drop(x)  # type: ignore[no-any-return]

    def _split_positions(self) -> tuple[Tensor | None, Tensor]:
        if self.no_embed_class or not self.num_prefix_tokens:
            return None, self.pos_embed
        return self.pos_embed[:, : self.num_prefix_tokens], self.pos_embed[:, self.num_prefix_tokens :]


def build_vit(options: Mapping[str, Any], output_stride: int = 32) -> nn.Module:
    """A timm VisionTransformer without classifier that accepts any image divisible by its patch.

    Options: `image` (height, width of the position grid in pixels), `patch`, `dim`, `depth`, `heads`,
    `mlp` (mlp, swiglu, swiglu_packed), `mlp_hidden`, `class_token`, `registers`, `no_embed_class`, `layer_scale`
    (whether), `qkv_bias`, `proj_bias`, `qk_norm`, `final_norm`, `eps`, `position_interpolation`.
    """
    if output_stride != 32:
        raise BadOption(f"output stride {output_stride}: a plain ViT has one stride, its patch; leave the option out.")
    way = options.get("position_interpolation", "timm")
    if way not in INTERPOLATIONS:
        raise UnknownName.among("position interpolation", way, INTERPOLATIONS)
    trunk = PlainViT(
        img_size=tuple(options["image"]),
        patch_size=options["patch"],
        num_classes=0,
        global_pool="",
        fc_norm=False,
        embed_dim=options["dim"],
        depth=options["depth"],
        num_heads=options["heads"],
        # timm truncates dim * ratio to an integer: the half keeps rounding errors from costing one unit
        mlp_ratio=(options.get("mlp_hidden", 4 * options["dim"]) + 0.5) / options["dim"],
        mlp_layer=MLPS[options.get("mlp", "mlp")],
        act_layer=nn.GELU if options.get("mlp", "mlp") == "mlp" else nn.SiLU,
        class_token=options.get("class_token", True),
        reg_tokens=options.get("registers", 0),
        no_embed_class=options.get("no_embed_class", False),
        init_values=1e-5 if options.get("layer_scale", False) else None,
        qkv_bias=options.get("qkv_bias", True),
        proj_bias=options.get("proj_bias", True),
        qk_norm=options.get("qk_norm", False),
        final_norm=options.get("final_norm", True),
        norm_layer=partial(nn.LayerNorm, eps=options.get("eps", 1e-6)),
        dynamic_img_size=True,
    )
    trunk.position_interpolation = way
    return trunk


def quarters(depth: int) -> tuple[int, int, int, int]:
    """Indices of the blocks that end each quarter of the depth (12 → 2, 5, 8, 11)."""
    first, second, third, last = (-(-depth * quarter // 4) - 1 for quarter in (1, 2, 3, 4))
    return first, second, third, last


def _levels(trunk: Any) -> tuple[Level, ...]:
    return (Level(trunk.patch_embed.patch_size[0], trunk.embed_dim),) * 4


def _maps(trunk: Any, images: Tensor) -> list[Tensor]:
    patch = trunk.patch_embed.patch_size[0]
    height, width = images.shape[-2:]
    if height % patch or width % patch:
        raise BadOption(f"images of {height}x{width} pixels do not divide into patches of {patch}: pad or resize them.")
    ends = quarters(len(trunk.blocks))
    maps = trunk.forward_intermediates(images, indices=sorted(set(ends)), intermediates_only=True)
    at = dict(zip(sorted(set(ends)), maps, strict=True))
    return [at[end] for end in ends]


def _stages(trunk: Any) -> list[list[nn.Module]]:
    tokens = nn.ParameterList(p for p in (trunk.cls_token, trunk.reg_token, trunk.pos_embed) if p is not None)
    stem = [trunk.patch_embed, tokens, trunk.pos_drop, trunk.patch_drop, trunk.norm_pre]
    starts = [0, *(end + 1 for end in quarters(len(trunk.blocks)))]
    blocks = [list(trunk.blocks[start:stop]) for start, stop in pairwise(starts)]
    return [stem, *blocks[:3], [*blocks[3], trunk.norm]]


VIT = Kind("vit", build_vit, _levels, _maps, _stages, after_levels=("norm",))
