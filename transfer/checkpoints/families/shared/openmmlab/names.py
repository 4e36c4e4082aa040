"""Rules from the names of OpenMMLab's backbones to canonical names."""

from __future__ import annotations

import re
from collections.abc import Iterable

from transfer.backbones.swin import merge_in_timms_order
from transfer.checkpoints.keys.layouts import BUFFER, POOLED_NORM, legacy_batchnorm
from transfer.checkpoints.keys.rules import Apply, Drop, Rename, Rule
from transfer.checkpoints.keys.weights import KeyMapping

LEVEL_NORM = "norm of a level for the detector's neck: not part of the backbone"
MASK = "token that stands in for masked patches in pre-training"

RESNET: tuple[Rule, ...] = (
    Drop(r"fc\..*", "classifier: not part of the backbone"),
    Rename(r"stem\.7\.(.*)", r"bn1.\1"),
    Rename(r"stem\.(\d)\.(.*)", r"conv1.\1.\2"),
)
_LAYERS: tuple[Rule, ...] = (
    Drop(r"mask_token", MASK),
    Rename(r"patch_embed\.projection\.(.*)", r"patch_embed.proj.\1"),
    Rename(r"layers\.(\d+)\.(?:ln|norm)([12])\.(.*)", r"blocks.\1.norm\2.\3"),
    Rename(r"layers\.(\d+)\.ffn\.layers\.0\.0\.(.*)", r"blocks.\1.mlp.fc1.\2"),
    Rename(r"layers\.(\d+)\.ffn\.layers\.1\.(.*)", r"blocks.\1.mlp.fc2.\2"),
    Rename(r"(?:ln1|norm1)\.(.*)", r"norm.\1"),
)
VIT: tuple[Rule, ...] = (
    *_LAYERS,
    Rename(r"(?:ln_pre|pre_norm)\.(.*)", r"norm_pre.\1"),
    Rename(r"layers\.(\d+)\.attn\.attn\.in_proj_(.*)", r"blocks.\1.attn.qkv.\2"),
    Rename(r"layers\.(\d+)\.attn\.attn\.out_proj\.(.*)", r"blocks.\1.attn.proj.\2"),
    Rename(r"layers\.(\d+)\.attn\.gamma1\.weight", r"blocks.\1.ls1.gamma"),
    Rename(r"layers\.(\d+)\.ffn\.gamma2\.weight", r"blocks.\1.ls2.gamma"),
    Rename(r"layers\.(\d+)\.attn\.(.*)", r"blocks.\1.attn.\2"),
)
BEIT: tuple[Rule, ...] = (
    *_LAYERS,
    Drop(r"(.*\.)?relative_position_index", BUFFER),
    Rename(r"layers\.(\d+)\.(.*)", r"blocks.\1.\2"),
)
SWIN: tuple[Rule, ...] = (
    Drop(r"mask_token", MASK),
    Drop(r"norm[0-2]\..*", LEVEL_NORM),
    Drop(r".*\.(relative_position_index|attn_mask)", BUFFER),
    Rename(r"norm3\.(.*)", r"norm.\1"),
    Rename(r"patch_embed\.projection\.(.*)", r"patch_embed.proj.\1"),
    Apply(r"stages\.\d\.downsample\..*", merge_in_timms_order, "the order of merged patches"),
    *(Rename(rf"stages\.{stage}\.downsample\.(.*)", rf"layers.{stage + 1}.downsample.\1") for stage in (0, 1, 2)),
    Rename(r"stages\.(\d)\.blocks\.(\d+)\.attn\.w_msa\.(.*)", r"layers.\1.blocks.\2.attn.\3"),
    Rename(r"stages\.(\d)\.blocks\.(\d+)\.ffn\.layers\.0\.0\.(.*)", r"layers.\1.blocks.\2.mlp.fc1.\3"),
    Rename(r"stages\.(\d)\.blocks\.(\d+)\.ffn\.layers\.1\.(.*)", r"layers.\1.blocks.\2.mlp.fc2.\3"),
    Rename(r"stages\.(\d)\.(.*)", r"layers.\1.\2"),
)
CONVNEXT: tuple[Rule, ...] = (
    Drop(r"norm\d\..*", POOLED_NORM),
    Rename(r"downsample_layers\.0\.(.*)", r"stem.\1"),
    Rename(r"downsample_layers\.(\d)\.(.*)", r"stages.\1.downsample.\2"),
    Rename(r"stages\.(\d)\.(\d+)\.depthwise_conv\.(.*)", r"stages.\1.blocks.\2.conv_dw.\3"),
    Rename(r"stages\.(\d)\.(\d+)\.pointwise_conv([12])\.(.*)", r"stages.\1.blocks.\2.mlp.fc\3.\4"),
    Rename(r"stages\.(\d)\.(\d+)\.grn\.gamma", r"stages.\1.blocks.\2.mlp.grn.weight"),
    Rename(r"stages\.(\d)\.(\d+)\.grn\.beta", r"stages.\1.blocks.\2.mlp.grn.bias"),
    Rename(r"stages\.(\d)\.(\d+)\.((?:norm\.|gamma).*)", r"stages.\1.blocks.\2.\3"),
)

BODIES: tuple[tuple[str, str, tuple[Rule, ...]], ...] = (
    (r"stages\.\d\.blocks\.\d+\.attn\.w_msa\.", "swin", SWIN),
    (r"stages\.\d\.\d+\.depthwise_conv\.", "convnext", CONVNEXT),
    (r"layers\.\d+\.attn\.(relative_position_bias_table|q_bias)$", "beit", BEIT),
    (r"layers\.\d+\.(ffn\.layers|ln1|attn\.attn)\.", "vit", VIT),
    (r"layer[1-4]\.\d+\.(conv|bn)\d\.", "resnet", RESNET),
)
"""Names that tell a kind of backbone, in the order in which they are tried."""


def openmmlab_key_mapping(names: Iterable[str]) -> KeyMapping | None:
    """Return the key mapping of names without prefix, None if they are none of OpenMMLab's backbones here."""
    names = list(names)
    for body, kind, rules in BODIES:
        if any(re.match(body, name) for name in names):
            return KeyMapping(kind, rules, legacy_batchnorm(names) if kind == "resnet" else ())
    return None
