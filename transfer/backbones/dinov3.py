"""DINOv3's vision transformers (Siméoni et al., 2025): rotary positions, storage tokens, no bias on keys."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from timm.models.eva import Eva
from torch import nn

from transfer.backbones.kind import Kind, Level
from transfer.backbones.vit import intermediate_maps, quarter_stages
from transfer.errors import UnsupportedNetwork


def build_dinov3(options: Mapping[str, Any], output_stride: int = 32) -> nn.Module:
    """Build timm's Eva as DINOv3 has it, without classifier, for any image divisible by its patch.

    Rotary periods are a buffer of the backbone, `rope.periods` (timm computes them; released files hold rounded ones).
    Options: `patch`, `dim`, `depth`, `heads`, `mlp` (mlp, swiglu), `mlp_hidden`, `registers`, `qkv_bias`, `k_bias`
    (whether keys have one too), `layer_scale` (whether), `final_norm`, `eps`.
    """
    if output_stride != 32:
        raise UnsupportedNetwork(
            f"output stride {output_stride}: a DINOv3 ViT has one stride, its patch; leave the option out."
        )
    network = Eva(
        img_size=14 * options["patch"],
        patch_size=options["patch"],
        num_classes=0,
        global_pool="",
        embed_dim=options["dim"],
        depth=options["depth"],
        num_heads=options["heads"],
        qkv_bias=options.get("qkv_bias", True),
        # timm truncates dim * ratio to an integer: the half keeps rounding errors from costing one unit
        mlp_ratio=(options.get("mlp_hidden", 4 * options["dim"]) + 0.5) / options["dim"],
        swiglu_mlp=options.get("mlp", "mlp") == "swiglu",
        swiglu_align_to=1,  # any width; timm then keeps gate and value apart, as DINOv3 does
        init_values=1e-5 if options.get("layer_scale", True) else None,
        num_reg_tokens=options.get("registers", 4),
        use_abs_pos_emb=False,
        use_rot_pos_emb=True,
        rope_type="dinov3",
        rope_temperature=100,
        rope_rotate_half=True,
        use_fc_norm=False,
        use_post_transformer_norm=options.get("final_norm", True),
        norm_layer=partial(nn.LayerNorm, eps=options.get("eps", 1e-5)),
        dynamic_img_size=True,
    )
    network.rope.register_buffer("periods", network.rope.periods)
    if options.get("k_bias", False):
        for block in network.blocks:
            del block.attn.k_bias
            block.attn.k_bias = nn.Parameter(torch.zeros_like(block.attn.q_bias))
    return network  # type: ignore[no-any-return]


def _levels(network: Any) -> tuple[Level, ...]:
    return (Level(network.patch_embed.patch_size[0], network.embed_dim),) * 4


def _stages(network: Any) -> list[list[nn.Module]]:
    tokens = nn.ParameterList(p for p in (network.cls_token, network.reg_token) if p is not None)
    return quarter_stages(network, [network.patch_embed, tokens, network.pos_drop, network.rope])


DINOV3 = Kind("dinov3", build_dinov3, _levels, intermediate_maps, _stages, after_levels=("norm",))
