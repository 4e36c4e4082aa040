"""Export to torchvision: a state dict for its networks, whose classifier becomes an identity, loaded strictly."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from transfer.checkpoints.export.files import write_pth
from transfer.checkpoints.export.folding import class_position_of_zero, relative_index, without_layer_scale
from transfer.checkpoints.export.library import ConvertedBackbone, Export, Library, named
from transfer.checkpoints.export.properties import fitting, limits
from transfer.checkpoints.export.statistics import scaled_range_note, seeing_rgb, unit_statistics
from transfer.checkpoints.export.vit_positions import interpolation_note
from transfer.checkpoints.keys.rules import Apply, Rename, Reshape, Rule
from transfer.schemas.checkpoint import InputContract

Network = tuple[str, str]
"""An expression that builds a network of torchvision, and its attribute that is the classifier."""


def _export(convert: Any, backbone: ConvertedBackbone, output: Path) -> Export:
    backbone, (network, head) = convert(seeing_rgb(backbone.noting(*scaled_range_note(backbone.input))))
    return Export(backbone.values, _snippet(network, head, backbone.input, output), backbone.notes)


def _snippet(network: str, head: str, contract: InputContract, output: Path) -> str:
    mean, std = unit_statistics(contract)
    return f"""\
import torch
import torchvision

model = {network}
model.{head} = torch.nn.Identity()
model.load_state_dict(torch.load({str(output)!r}), strict=True)
model.eval()
normalize = torchvision.transforms.Normalize(mean={list(mean)}, std={list(std)})  # of images between 0 and 1"""


def _called(function: str, *values: Any, **arguments: Any) -> str:
    words = [*map(repr, values), *(f"{name}={value!r}" for name, value in arguments.items())]
    return f"torchvision.models.{function}({', '.join(words)})"


RESNET = limits("torchvision's ResNet", "block depths groups base_width")
RESNETS = {
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "resnet152",
    "resnext50_32x4d",
    "resnext101_32x8d",
    "resnext101_64x4d",
    "wide_resnet50_2",
    "wide_resnet101_2",
}
BLOCKS = {"basic": "BasicBlock", "bottleneck": "Bottleneck"}


def resnet(backbone: ConvertedBackbone) -> tuple[ConvertedBackbone, Network]:
    """Convert ResNet, ResNeXt, wide ResNet: torchvision's names are the canonical ones."""
    options = fitting(backbone.spec, RESNET)
    if backbone.spec.arch in RESNETS:
        return backbone, (_called(backbone.spec.arch, weights=None), "fc")
    block = f"torchvision.models.resnet.{BLOCKS[options['block']]}"
    sizes = f"groups={options['groups']}, width_per_group={options['base_width']}"
    return backbone, (f"torchvision.models.ResNet({block}, {options['depths']}, {sizes})", "fc")


VIT = limits(
    "torchvision's VisionTransformer",
    "image patch dim depth heads mlp_hidden no_embed_class layer_scale position_interpolation",
)
_LAYER = r"encoder.layers.encoder_layer_\1."
VIT_RULES: tuple[Rule, ...] = (
    Rename(r"cls_token", "class_token"),
    Rename(r"patch_embed\.proj\.(.*)", r"conv_proj.\1"),
    Rename(r"pos_embed", "encoder.pos_embedding"),
    Rename(r"norm\.(.*)", r"encoder.ln.\1"),
    Rename(r"blocks\.(\d+)\.norm([12])\.(.*)", _LAYER + r"ln_\2.\3"),
    Rename(r"blocks\.(\d+)\.attn\.qkv\.(.*)", _LAYER + r"self_attention.in_proj_\2"),
    Rename(r"blocks\.(\d+)\.attn\.proj\.(.*)", _LAYER + r"self_attention.out_proj.\2"),
    Rename(r"blocks\.(\d+)\.mlp\.fc1\.(.*)", _LAYER + r"mlp.0.\2"),
    Rename(r"blocks\.(\d+)\.mlp\.fc2\.(.*)", _LAYER + r"mlp.3.\2"),
)


def vit(backbone: ConvertedBackbone) -> tuple[ConvertedBackbone, Network]:
    """Convert vision transformers with a class token."""
    image, patch = backbone.spec.options["image"], backbone.spec.options["patch"]
    oblong = [f"images are {image[0]}x{image[1]}, where it has square ones"] if image[0] != image[1] else []
    options = fitting(backbone.spec, VIT, oblong)
    backbone = without_layer_scale(class_position_of_zero(backbone) if options["no_embed_class"] else backbone)
    sizes = (options[name] for name in ("depth", "heads", "dim", "mlp_hidden"))
    notes = interpolation_note(options["position_interpolation"], "torchvision", image, "torchvision")
    notes = (*notes, f"torchvision's VisionTransformer accepts only {image[0]}x{image[1]} pixels")
    network = _called("VisionTransformer", image[0], patch, *sizes)
    return backbone.with_values(named(backbone.values, VIT_RULES), *notes), (network, "heads")


SWIN = limits("torchvision's SwinTransformer", "dim depths heads window last_window patch mlp_ratio padding")
SWIN_RULES: tuple[Rule, ...] = (
    Rename(r"patch_embed\.proj\.(.*)", r"features.0.0.\1"),
    Rename(r"patch_embed\.norm\.(.*)", r"features.0.2.\1"),
    *(Rename(rf"layers\.{stage}\.downsample\.(.*)", rf"features.{2 * stage}.\1") for stage in (1, 2, 3)),
    *(Rename(rf"layers\.{stage}\.blocks\.(.*)", rf"features.{2 * stage + 1}.\1") for stage in range(4)),
    Rename(r"(features\..*)\.mlp\.fc1\.(.*)", r"\1.mlp.0.\2"),
    Rename(r"(features\..*)\.mlp\.fc2\.(.*)", r"\1.mlp.3.\2"),
)


def swin(backbone: ConvertedBackbone) -> tuple[ConvertedBackbone, Network]:
    """Convert Swin transformers, with the index that torchvision has in its state dicts."""
    reasons = one_window(backbone.spec.options)
    options = fitting(backbone.spec, SWIN, reasons)
    values = named(backbone.values, SWIN_RULES)
    index = relative_index(options["window"]).then(lambda index: index.flatten(), "flattening")
    tables = [name for name in values if name.endswith("relative_position_bias_table")]
    values |= {name.replace("bias_table", "index"): index for name in tables}
    window = [options["window"]] * 2
    network = _called(
        "SwinTransformer", [options["patch"]] * 2, options["dim"], options["depths"], options["heads"], window,
        mlp_ratio=options["mlp_ratio"],
    )  # fmt: skip
    return backbone.with_values(values, *padding_note(options, "torchvision", "torchvision")), (network, "head")


def one_window(options: Mapping[str, Any]) -> list[str]:
    """Return the reason against a library whose windows are as large in the last stage as before."""
    last = options.get("last_window", options["window"])
    return [] if last == options["window"] else [f"windows of the last stage have a side of {last}, not of all stages"]


def padding_note(options: Mapping[str, Any], theirs: str, library: str) -> tuple[str, ...]:
    """Return a note if `library` pads and shifts in another way (`theirs`) than the network's own project."""
    if options["padding"] == theirs:
        return ()
    side = options["patch"] * 8 * options["window"]
    return (
        f"features are the same at {side}x{side} pixels; at other sizes {library} pads and shifts windows its own way, "
        f"not the {options['padding']} way of the network's project",
    )


CONVNEXT = limits("torchvision's ConvNeXt", "depths widths convolutional_mlp")
_PARTS = (("conv_dw", "0"), ("norm", "2"), (r"mlp\.fc1", "3"), (r"mlp\.fc2", "5"))
CONVNEXT_RULES: tuple[Rule, ...] = (
    Rename(r"stem\.(.*)", r"features.0.\1"),
    *(Rename(rf"stages\.{stage}\.downsample\.(.*)", rf"features.{2 * stage}.\1") for stage in (1, 2, 3)),
    *(Rename(rf"stages\.{stage}\.blocks\.(.*)", rf"features.{2 * stage + 1}.\1") for stage in range(4)),
    Reshape(r"features\..*\.gamma", (-1, 1, 1)),
    Apply(r".*\.mlp\.fc[12]\.weight", lambda kernel: kernel.flatten(1), "1x1 kernels as matrices"),
    Rename(r"(features\..*)\.gamma", r"\1.layer_scale"),
    *(Rename(rf"(features\.\d+\.\d+)\.{ours}\.(.*)", rf"\1.block.{theirs}.\2") for ours, theirs in _PARTS),
)


def convnext(backbone: ConvertedBackbone) -> tuple[ConvertedBackbone, Network]:
    """Convert ConvNeXt of the first version."""
    options = fitting(backbone.spec, CONVNEXT)
    widths, depths = options["widths"], options["depths"]
    stages = [(width, after, depth) for width, after, depth in zip(widths, [*widths[1:], None], depths, strict=True)]
    configs = ", ".join(f"torchvision.models.convnext.CNBlockConfig{stage}" for stage in stages)
    network = f"torchvision.models.ConvNeXt([{configs}])"
    return backbone.with_values(named(backbone.values, CONVNEXT_RULES)), (network, "classifier")


CONVERTERS = {"resnet": resnet, "vit": vit, "swin": swin, "convnext": convnext}
TORCHVISION = Library(
    "torchvision", {kind: partial(_export, convert) for kind, convert in CONVERTERS.items()}, write_pth
)
