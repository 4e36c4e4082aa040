"""Export to OpenMMLab: a checkpoint for `init_cfg=Pretrained` of backbones of mmdet, mmseg and mmpretrain."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from transfer.checkpoints.export.files import write_checkpoint
from transfer.checkpoints.export.library import ConvertedBackbone, Export, Library, initial_norm, named
from transfer.checkpoints.export.numbered import depth_of, size_reasons
from transfer.checkpoints.export.openmmlab_transformers import beit, swin, vit
from transfer.checkpoints.export.properties import fitting, limits
from transfer.checkpoints.export.statistics import byte_statistics
from transfer.checkpoints.keys.rules import Rename, Rule
from transfer.schemas.checkpoint import InputContract

Config = dict[str, Any]


def _export(convert: Any, network: ConvertedBackbone, output: Path) -> Export:
    network, backbone = convert(network)
    return Export(network.values, _snippet(backbone, network.input, output), network.notes)


def _snippet(backbone: Config, contract: InputContract, output: Path) -> str:
    mean, std = byte_statistics(contract)
    # mmdet's and mmseg's Swin read names with this prefix, their other backbones with a prefix that is asked for
    prefix = {"prefix": "backbone."} if backbone["type"] in PREFIXED else {}
    init = {"type": "Pretrained", "checkpoint": str(output), **prefix}
    preprocessor = {"mean": list(mean), "std": list(std), "bgr_to_rgb": contract.channel_order == "RGB"}
    return f"backbone = {_dict(backbone | {'init_cfg': init})}\ndata_preprocessor = {_dict(preprocessor)}"


def _dict(config: Mapping[str, Any]) -> str:
    words = (f"{key}={_dict(value) if isinstance(value, Mapping) else repr(value)}" for key, value in config.items())
    return f"dict({', '.join(words)})"


PREFIXED = ("SwinTransformer",)
RESNET = limits(
    "OpenMMLab's ResNet",
    "block depths widths groups base_width stem_width eps",
    stem=("", "deep"),
    avg_down=(False, True),
    stride_in=("3x3", "1x1"),
)
DEEP_STEM: tuple[Rule, ...] = (Rename(r"conv1\.(.*)", r"stem.\1"), Rename(r"bn1\.(.*)", r"stem.7.\1"))


def resnet(network: ConvertedBackbone) -> tuple[ConvertedBackbone, Config]:
    """Convert ResNet, ResNeXt and ResNet-D: OpenMMLab's names are the canonical ones but for deep stems."""
    options = fitting(network.spec, RESNET, [*size_reasons(network.spec.options), *_wider(network.spec.options)])
    deep = options["stem"] == "deep"
    config: Config = {
        "type": "ResNeXt" if options["groups"] > 1 else "ResNetV1d" if deep and options["avg_down"] else "ResNet",
        "depth": depth_of(options),
        "style": "caffe" if options["stride_in"] == "1x1" else "pytorch",
        "norm_cfg": {"type": "BN", "eps": options["eps"], "requires_grad": True},
    }
    if options["groups"] > 1:
        config |= {"groups": options["groups"], "base_width": options["base_width"]}
    if config["type"] != "ResNetV1d":
        config |= {name: True for name, there in (("deep_stem", deep), ("avg_down", options["avg_down"])) if there}
    width = 2 * options["stem_width"] if deep else options["stem_width"]
    if width != 64 or options["widths"][0] != 64:
        config |= {"stem_channels": width, "base_channels": options["widths"][0]}
    return network.with_values(named(network.values, DEEP_STEM)) if deep else network, config


def _wider(options: Mapping[str, Any]) -> list[str]:
    if options.get("groups", 1) == 1 and options.get("base_width", 64) != 64:
        return ["bottlenecks without groups are not a quarter as wide as their stage (a wide ResNet)"]
    return []


CONVNEXT = limits("mmpretrain's ConvNeXt", "depths widths response_norm layer_scale convolutional_mlp eps")
CONVNEXT_RULES: tuple[Rule, ...] = (
    Rename(r"stem\.(.*)", r"downsample_layers.0.\1"),
    Rename(r"stages\.(\d)\.downsample\.(.*)", r"downsample_layers.\1.\2"),
    Rename(r"stages\.(\d)\.blocks\.(\d+)\.conv_dw\.(.*)", r"stages.\1.\2.depthwise_conv.\3"),
    Rename(r"stages\.(\d)\.blocks\.(\d+)\.mlp\.fc([12])\.(.*)", r"stages.\1.\2.pointwise_conv\3.\4"),
    Rename(r"stages\.(\d)\.blocks\.(\d+)\.mlp\.grn\.weight", r"stages.\1.\2.grn.gamma"),
    Rename(r"stages\.(\d)\.blocks\.(\d+)\.mlp\.grn\.bias", r"stages.\1.\2.grn.beta"),
    Rename(r"stages\.(\d)\.blocks\.(.*)", r"stages.\1.\2"),
)
CONVNEXT_NORMS = "norm0 to norm3 are new norms at their initial value, as detectors have them on every level"


def convnext(network: ConvertedBackbone) -> tuple[ConvertedBackbone, Config]:
    """Convert ConvNeXt and ConvNeXt V2, as mmpretrain has them."""
    options = fitting(network.spec, CONVNEXT)
    values = named(network.values, CONVNEXT_RULES)
    for level, width in enumerate(options["widths"]):
        values |= initial_norm(f"norm{level}", width)
    config = {
        "type": "mmpretrain.ConvNeXt",
        "arch": {"depths": options["depths"], "channels": options["widths"]},
        "stem_patch_size": options["patch"],
        "linear_pw_conv": not options["convolutional_mlp"],
        "use_grn": options["response_norm"],
        "layer_scale_init_value": 1e-6 if options["layer_scale"] else 0.0,
        "norm_cfg": {"type": "LN2d", "eps": options["eps"]},
        "out_indices": [0, 1, 2, 3],
        "gap_before_final_norm": False,
    }
    return network.with_values(values, CONVNEXT_NORMS), config


CONVERTERS = {"resnet": resnet, "swin": swin, "vit": vit, "beit": beit, "convnext": convnext}
OPENMMLAB = Library(
    "openmmlab", {kind: partial(_export, convert) for kind, convert in CONVERTERS.items()}, write_checkpoint
)
