"""Export to detectron2: a pickle of arrays for `MODEL.WEIGHTS` of its ResNets and, without class token, its ViTDet."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transfer.checkpoints.export.files import write_pickle
from transfer.checkpoints.export.library import ConvertedBackbone, Export, Library, named, without
from transfer.checkpoints.export.numbered import depth_of, size_reasons
from transfer.checkpoints.export.properties import fitting, limits, mlp_ratio
from transfer.checkpoints.export.statistics import byte_statistics
from transfer.checkpoints.export.vit_positions import interpolation_note, sincos_table
from transfer.checkpoints.keys.rules import Rename, Rule
from transfer.schemas.checkpoint import InputContract

RESNET = limits("detectron2's ResNet", "block depths widths groups base_width stem_width", stride_in=("3x3", "1x1"))
RESNET_RULES: tuple[Rule, ...] = (
    Rename(r"conv1\.(.*)", r"stem.conv1.\1"),
    Rename(r"bn1\.(.*)", r"stem.conv1.norm.\1"),
    *(Rename(rf"layer{stage}\.(.*)", rf"res{stage + 1}.\1") for stage in (1, 2, 3, 4)),
    Rename(r"(res\d\.\d+)\.bn(\d)\.(.*)", r"\1.conv\2.norm.\3"),
    Rename(r"(res\d\.\d+)\.downsample\.0\.(.*)", r"\1.shortcut.\2"),
    Rename(r"(res\d\.\d+)\.downsample\.1\.(.*)", r"\1.shortcut.norm.\2"),
)
COUNTERS = r".*\.num_batches_tracked"


def resnet(backbone: ConvertedBackbone, output: Path) -> Export:
    """Export ResNet, ResNeXt and wide ResNet with frozen batch normalisation, which counts no batches."""
    options = fitting(backbone.spec, RESNET, _reasons(backbone.spec.options))
    depth, width = depth_of(options), options["widths"][0]
    keys: dict[str, Any] = {"DEPTH": depth, "NORM": "FrozenBN", "STEM_OUT_CHANNELS": options["stem_width"]}
    if options["block"] == "basic":
        keys |= {"RES2_OUT_CHANNELS": width}
    else:
        keys |= {
            "RES2_OUT_CHANNELS": 4 * width,
            "STRIDE_IN_1X1": options["stride_in"] == "1x1",
            "NUM_GROUPS": options["groups"],
            "WIDTH_PER_GROUP": options["base_width"] * width // 64,
        }
    note = "counters of batches are left out: detectron2's FrozenBN has none (for BN they start at 0)"
    return Export(
        named(without(backbone.values, COUNTERS), RESNET_RULES),
        _yaml(keys, backbone.input, output),
        (*backbone.notes, note),
    )


def _reasons(options: Mapping[str, Any]) -> list[str]:
    width, per_group = options.get("widths", [64])[0], options.get("base_width", 64)
    basic = ["basic blocks of another width than 64"] if options["block"] == "basic" and width != 64 else []
    return [
        *size_reasons(options),
        *basic,
        *(["a width of groups that is no integer"] if per_group * width % 64 else []),
    ]


def _yaml(keys: Mapping[str, Any], contract: InputContract, output: Path) -> str:
    mean, std = byte_statistics(contract)
    lines = [f"    {key}: {value}" for key, value in keys.items()]
    return "\n".join(
        [
            "MODEL:",
            f'  WEIGHTS: "{output}"',
            f"  PIXEL_MEAN: {list(mean)}",
            f"  PIXEL_STD: {list(std)}",
            "  RESNETS:",
            *lines,
            "INPUT:",
            f'  FORMAT: "{contract.channel_order}"',
        ]
    )


VIT = limits(
    "detectron2's ViT (ViTDet)",
    "image patch dim depth heads mlp_hidden qkv_bias positions position_interpolation final_norm eps",
    class_token=(False,),
)


def vit(backbone: ConvertedBackbone, output: Path) -> Export:
    """Export plain ViTs without class token, with global attention everywhere: the names are timm's."""
    options = fitting(backbone.spec, VIT, _vit_reasons(backbone.spec.options))
    backbone = sincos_table(backbone, options)
    notes = list(backbone.notes)
    if options["final_norm"]:
        notes.append("the norm after the blocks is left out: ViTDet has none")
    way = options["position_interpolation"] if options["positions"] == "learnt" else "bicubic"
    notes += interpolation_note(way, "bicubic", options["image"], "detectron2")
    values = without(backbone.values, r"norm\..*")
    return Export(values, _lazy(options, backbone.input, output), tuple(notes))


def _vit_reasons(options: Mapping[str, Any]) -> list[str]:
    height, width = options["image"]
    return [] if height == width else [f"images are {height}x{width}, where it has square ones"]


def _lazy(options: Mapping[str, Any], contract: InputContract, output: Path) -> str:
    mean, std = byte_statistics(contract)
    size, ratio = options["image"][0], mlp_ratio(options["mlp_hidden"], options["dim"])
    return f"""\
from functools import partial

import torch
from detectron2.config import LazyCall as L
from detectron2.modeling import ViT

net = L(ViT)(
    img_size={size}, pretrain_img_size={size}, patch_size={options["patch"]}, embed_dim={options["dim"]},
    depth={options["depth"]}, num_heads={options["heads"]}, mlp_ratio={ratio!r},
    qkv_bias={options["qkv_bias"]}, norm_layer=partial(torch.nn.LayerNorm, eps={options["eps"]!r}),
    use_rel_pos=False, window_size=0, window_block_indexes=(), pretrain_use_cls_token=False,
    out_feature="last_feat",
)
# model.backbone.net = net; model.pixel_mean, pixel_std = {list(mean)}, {list(std)}
# model.input_format = {contract.channel_order!r}; train.init_checkpoint = {str(output)!r}"""


DETECTRON2 = Library("detectron2", {"resnet": resnet, "vit": vit}, write_pickle)
