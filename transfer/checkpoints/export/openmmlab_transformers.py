"""Convert to OpenMMLab's transformers: Swin of mmdet, mmseg and mmpretrain; ViT and BEiT of mmseg."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from transfer.backbones.vit import quarters
from transfer.checkpoints.export.folding import (
    class_position_of_zero,
    relative_index,
    shared_bias_in_blocks,
    without_layer_scale,
)
from transfer.checkpoints.export.library import ConvertedBackbone, initial_norm, named
from transfer.checkpoints.export.properties import fitting, limits
from transfer.checkpoints.export.torchvision import one_window
from transfer.checkpoints.export.vit_positions import interpolation_note, sincos_table
from transfer.checkpoints.keys.rules import Apply, Rename, Rule
from transfer.checkpoints.keys.values import Value, stored

Config = dict[str, Any]

SWIN = limits("OpenMMLab's SwinTransformer", "dim depths heads window last_window patch qkv_bias padding mlp_ratio eps")


def merge_in_openmmlabs_order(tensor: Tensor) -> Tensor:
    """Permute channels `(..., 4 C)` of timm's patch merging to those of OpenMMLab's `nn.Unfold`.

    The inverse is `merge_in_timms_order`.
    """
    patches = tensor.reshape(*tensor.shape[:-1], 4, -1)[..., [0, 2, 1, 3], :]
    return patches.transpose(-1, -2).flatten(-2)


SWIN_RULES: tuple[Rule, ...] = (
    # channels of the merges first: their names move to the end of the stage before
    Apply(r"layers\.\d\.downsample\..*", merge_in_openmmlabs_order, "the order of merged patches"),
    *(Rename(rf"layers\.{stage}\.downsample\.(.*)", rf"stages.{stage - 1}.downsample.\1") for stage in (1, 2, 3)),
    Rename(r"layers\.(\d)\.blocks\.(\d+)\.attn\.(.*)", r"stages.\1.blocks.\2.attn.w_msa.\3"),
    Rename(r"layers\.(\d)\.blocks\.(\d+)\.mlp\.fc1\.(.*)", r"stages.\1.blocks.\2.ffn.layers.0.0.\3"),
    Rename(r"layers\.(\d)\.blocks\.(\d+)\.mlp\.fc2\.(.*)", r"stages.\1.blocks.\2.ffn.layers.1.\3"),
    Rename(r"layers\.(\d)\.(.*)", r"stages.\1.\2"),
    Rename(r"patch_embed\.proj\.(.*)", r"patch_embed.projection.\1"),
    Rename(r"norm\.(.*)", r"norm3.\1"),
)
LEVEL_NORMS = (
    "norm0, norm1 and norm2 are new norms at their initial value, as detectors have them on the first three levels; "
    "for a network that returns the last level only (out_indices=(3,)) leave them out"
)
MMDET_SHIFT = (
    "mmpretrain computes the same at the trained size; mmdet and mmseg shift windows in every second block whatever "
    "the size of the map, classifiers only where a map has several windows"
)


def swin(backbone: ConvertedBackbone) -> tuple[ConvertedBackbone, Config]:
    """Convert Swin transformers: merges are permuted, the index of the bias table is written."""
    reasons = [*one_window(backbone.spec.options), *_fraction(backbone.spec.options.get("mlp_ratio", 4))]
    options = fitting(backbone.spec, SWIN, reasons)
    values = named(backbone.values, SWIN_RULES)
    tables = [name for name in values if name.endswith("relative_position_bias_table")]
    index = relative_index(options["window"])
    values |= {name.replace("bias_table", "index"): index for name in tables}
    for level in range(3):
        values |= initial_norm(f"norm{level}", options["dim"] * 2**level)
    values = {f"backbone.{name}": value for name, value in values.items()}
    config = {
        "type": "SwinTransformer",
        "pretrain_img_size": options["patch"] * 8 * options["window"],
        "embed_dims": options["dim"],
        "patch_size": options["patch"],
        "strides": (options["patch"], 2, 2, 2),
        "window_size": options["window"],
        "mlp_ratio": int(options["mlp_ratio"]),
        "depths": tuple(options["depths"]),
        "num_heads": tuple(options["heads"]),
        "qkv_bias": options["qkv_bias"],
        "norm_cfg": {"type": "LN", "eps": options["eps"]},
        "out_indices": (0, 1, 2, 3),
    }
    notes = (LEVEL_NORMS, *(() if options["padding"] == "mmdet" else (MMDET_SHIFT,)))
    return backbone.with_values(values, *notes), config


def _fraction(ratio: float) -> list[str]:
    return [] if ratio == int(ratio) else [f"the hidden width of MLPs is {ratio:g} times the width, no integer"]


VIT = limits(
    "mmseg's VisionTransformer",
    "image patch dim depth heads mlp_hidden class_token no_embed_class positions position_interpolation "
    "layer_scale pre_norm final_norm eps",
    gelu=("exact", "tanh"),
)
_LAYERS: tuple[Rule, ...] = (
    Rename(r"blocks\.(\d+)\.norm([12])\.(.*)", r"layers.\1.ln\2.\3"),
    Rename(r"blocks\.(\d+)\.mlp\.fc1\.(.*)", r"layers.\1.ffn.layers.0.0.\2"),
    Rename(r"blocks\.(\d+)\.mlp\.fc2\.(.*)", r"layers.\1.ffn.layers.1.\2"),
    Rename(r"norm\.(.*)", r"ln1.\1"),
    Rename(r"patch_embed\.proj\.(.*)", r"patch_embed.projection.\1"),
)
VIT_RULES: tuple[Rule, ...] = (
    *_LAYERS,
    Rename(r"norm_pre\.(.*)", r"ln_pre.\1"),
    Rename(r"blocks\.(\d+)\.attn\.qkv\.(.*)", r"layers.\1.attn.attn.in_proj_\2"),
    Rename(r"blocks\.(\d+)\.attn\.proj\.(.*)", r"layers.\1.attn.attn.out_proj.\2"),
)


def vit(backbone: ConvertedBackbone) -> tuple[ConvertedBackbone, Config]:
    """Convert vision transformers, as mmseg has them."""
    given = backbone.spec.options
    ratio = given.get("mlp_hidden", 4 * given["dim"]) / given["dim"]
    options = fitting(backbone.spec, VIT, _fraction(ratio))
    backbone = _with_a_class_position(without_layer_scale(sincos_table(backbone, options)), options)
    activation = {"type": "GELU"} | ({"approximate": "tanh"} if options["gelu"] == "tanh" else {})
    config = _transformer("mmseg.VisionTransformer", options, ratio) | {
        "act_cfg": activation,
        "patch_bias": not options["pre_norm"],
        "pre_norm": options["pre_norm"],
        "with_cls_token": options["class_token"],
        "interpolate_mode": "bicubic",
    }
    way = options["position_interpolation"] if options["positions"] == "learnt" else "bicubic"
    notes = interpolation_note(way, "bicubic", options["image"], "mmseg")
    return backbone.with_values(named(backbone.values, VIT_RULES), *notes), config


def _with_a_class_position(backbone: ConvertedBackbone, options: Mapping[str, Any]) -> ConvertedBackbone:
    """Add the class token and its position, which mmseg has even where it does not compute with them."""
    if options["class_token"] and not options["no_embed_class"] and options["positions"] == "learnt":
        return backbone
    backbone = class_position_of_zero(backbone)
    if options["class_token"]:
        return backbone
    token = stored(torch.zeros(1, 1, options["dim"]))
    return backbone.with_values(
        {"cls_token": token, **backbone.values}, "mmseg keeps an unused class token: it is of zeros"
    )


def _transformer(kind: str, options: Mapping[str, Any], ratio: float) -> Config:
    return {
        "type": kind,
        "img_size": tuple(options["image"]),
        "patch_size": options["patch"],
        "embed_dims": options["dim"],
        "num_layers": options["depth"],
        "num_heads": options["heads"],
        "mlp_ratio": int(ratio),
        "final_norm": options["final_norm"],
        "norm_cfg": {"type": "LN", "eps": options["eps"]},
        "out_indices": tuple(sorted(set(quarters(options["depth"])))),
    }


BEIT = limits(
    "mmseg's BEiT",
    "image patch dim depth heads mlp_hidden qkv_bias final_norm position_interpolation bias_interpolation eps",
    bias=("blocks", "shared"),
)
BEIT_RULES: tuple[Rule, ...] = (*_LAYERS, Rename(r"blocks\.(\d+)\.(.*)", r"layers.\1.\2"))


def beit(backbone: ConvertedBackbone) -> tuple[ConvertedBackbone, Config]:
    """Convert BEiT and its kin with relative position biases."""
    given = backbone.spec.options
    image, patch = given["image"], given["patch"]
    ratio = given.get("mlp_hidden", 4 * given["dim"]) / given["dim"]
    oblong = [f"images are {image[0]}x{image[1]}, where it has square ones"] if image[0] != image[1] else []
    options = fitting(backbone.spec, BEIT, [*_fraction(ratio), *oblong])
    if options["bias"] == "shared":
        backbone = shared_bias_in_blocks(backbone)
    values = named(backbone.values, BEIT_RULES)
    index = _index_with_class(image[0] // patch)
    tables = [name for name in values if name.endswith("relative_position_bias_table")]
    values |= {name.replace("bias_table", "index"): index for name in tables}
    config = _transformer("mmseg.BEiT", options, ratio) | {"qv_bias": options["qkv_bias"], "init_values": 0.1}
    note = "mmseg's BEiT accepts only images of img_size; its loader stretches the tables for another one"
    return backbone.with_values(values, note), config


def _index_with_class(side: int) -> Value:
    """Return BEiT's rows of the bias table for each pair of tokens, the class token first: its rows end the table."""
    cells, rows = relative_index(side), (2 * side - 1) ** 2

    def load() -> Tensor:
        index = torch.full((side**2 + 1, side**2 + 1), rows + 1, dtype=torch.int64)
        index[0] = rows
        index[0, 0] = rows + 2
        index[1:, 1:] = cells.load()
        return index

    return Value((side**2 + 1, side**2 + 1), torch.int64, load)
