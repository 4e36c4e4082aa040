"""Build each kind of network by timm: registered names to start from and keyword arguments."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from timm.layers.pos_embed_sincos import RotaryEmbeddingDinoV3

from transfer.checkpoints.export.folding import PACKED, class_position_in_token, with_kernels_times
from transfer.checkpoints.export.library import ConvertedBackbone, named, without
from transfer.checkpoints.export.properties import fitting, limits, mlp_ratio, refuse
from transfer.checkpoints.export.vit_positions import interpolation_note, sincos_table


@dataclass(frozen=True)
class BuilderSpec:
    """Registered names to try in turn, keyword arguments, and timm's name of the classifier.

    `image` is the trained size, (height, width); `fixed` says whether the network is built for it.
    """

    names: Sequence[str]
    args: Mapping[str, Any]
    classifier: str
    image: tuple[int, int] = (224, 224)
    fixed: bool = False


Builder = Callable[[ConvertedBackbone], tuple[ConvertedBackbone, BuilderSpec]]

RESNET = limits(
    "timm's ResNet",
    "block depths widths groups base_width stem_width avg_down antialias output_stride",
    stem=("", "deep", "deep_tiered"),
)


def resnet(backbone: ConvertedBackbone) -> tuple[ConvertedBackbone, BuilderSpec]:
    """Build ResNet, ResNeXt, wide ResNet, ResNet-D, CLIP's."""
    wide_stem = backbone.spec.options.get("stem", "") == "" and backbone.spec.options.get("stem_width", 64) != 64
    reasons = ["its stem of one 7x7 convolution has 64 channels"] if wide_stem else []
    options = fitting(backbone.spec, RESNET, reasons)
    args: dict[str, Any] = {
        "layers": options["depths"],
        "channels": options["widths"],
        "cardinality": options["groups"],
        "base_width": options["base_width"],
        "avg_down": options["avg_down"],
    }
    if options["output_stride"] != 32:
        args["output_stride"] = options["output_stride"]
    if options["stem"] or options["antialias"]:
        args |= {"stem_type": options["stem"], "stem_width": options["stem_width"]}
    names = ["resnet18"] if options["block"] == "basic" else ["resnet50"]
    if options["antialias"]:
        names = ["resnetaa34d"] if options["block"] == "basic" else ["resnetaa50d"]
        backbone = backbone.noting(
            "at sizes with odd feature maps timm's average pools see their last row, CLIP's do not"
        )
    return backbone, BuilderSpec(names, args, "fc")


CONVNEXT = limits(
    "timm's ConvNeXt",
    "depths widths patch kernel response_norm layer_scale final_norm convolutional_mlp bias eps",
)


def convnext(backbone: ConvertedBackbone) -> tuple[ConvertedBackbone, BuilderSpec]:
    """Build ConvNeXt and ConvNeXt V2."""
    options = fitting(backbone.spec, CONVNEXT)
    args = {
        "depths": options["depths"],
        "dims": options["widths"],
        "patch_size": options["patch"],
        "kernel_sizes": options["kernel"],
        "use_grn": options["response_norm"],
        "ls_init_value": 1e-6 if options["layer_scale"] else None,
        "head_norm_first": options["final_norm"],
        "conv_mlp": options["convolutional_mlp"],
        "conv_bias": options["bias"],
        "norm_eps": options["eps"],
    }
    return backbone, BuilderSpec(["convnext_tiny"], args, "head.fc")


VIT = limits(
    "timm's VisionTransformer",
    "image patch dim depth heads mlp mlp_hidden gelu class_token registers no_embed_class no_embed_registers positions "
    "position_interpolation layer_scale qkv_bias proj_bias qk_norm pre_norm final_norm eps",
)
ACTIVATIONS = {"tanh": "gelu_tanh", "quick": "quick_gelu"}
UNGATED_NAMES = ("vit_base_patch16_224", "vit_base_patch16_clip_224")
"""Names whose norms have epsilon 1e-6 and 1e-5."""
GATED_NAMES = ("vit_giant_patch14_dinov2",)


def vit(backbone: ConvertedBackbone) -> tuple[ConvertedBackbone, BuilderSpec]:
    """Build vision transformers."""
    options = fitting(backbone.spec, VIT)
    unembedded = options["no_embed_class"] or options["positions"] != "learnt"
    if options["registers"] and options["no_embed_registers"] and options["class_token"] and not unembedded:
        backbone, unembedded = class_position_in_token(backbone), True
    backbone, gated, hidden = _packed(sincos_table(backbone, options), options)
    args = {
        "img_size": options["image"],
        **_transformer(options, hidden),
        "qkv_bias": options["qkv_bias"],
        "proj_bias": options["proj_bias"],
        "qk_norm": options["qk_norm"],
        "init_values": 1e-5 if options["layer_scale"] else None,
        "class_token": options["class_token"],
        "no_embed_class": unembedded,
        "reg_tokens": options["registers"],
        "pre_norm": options["pre_norm"],
        "final_norm": options["final_norm"],
        "fc_norm": False,
        "global_pool": "token" if options["class_token"] else "avg",
    }
    if options["gelu"] in ACTIVATIONS and not gated:
        args["act_layer"] = ACTIVATIONS[options["gelu"]]
    if options["positions"] == "learnt":
        backbone = backbone.noting(
            *interpolation_note(options["position_interpolation"], "timm", options["image"], "timm")
        )
    image = (options["image"][0], options["image"][1])
    return backbone, BuilderSpec(GATED_NAMES if gated else UNGATED_NAMES, args, "head", image, fixed=True)


def _packed(backbone: ConvertedBackbone, options: Mapping[str, Any]) -> tuple[ConvertedBackbone, bool, int]:
    """Return the backbone with gates and values in one layer, whether it has gates, and the width of that layer."""
    if options["mlp"] == "swiglu":
        return backbone.with_values(named(backbone.values, PACKED)), True, 2 * options["mlp_hidden"]
    return backbone, options["mlp"] == "swiglu_packed", options["mlp_hidden"]


def _transformer(options: Mapping[str, Any], hidden: int) -> dict[str, Any]:
    return {
        "patch_size": options["patch"],
        "embed_dim": options["dim"],
        "depth": options["depth"],
        "num_heads": options["heads"],
        "mlp_ratio": mlp_ratio(hidden, options["dim"]),
    }


BEIT = limits(
    "timm's Beit",
    "image patch dim depth heads mlp_hidden bias absolute layer_scale qkv_bias final_norm position_interpolation "
    "bias_interpolation",
)


def beit(backbone: ConvertedBackbone) -> tuple[ConvertedBackbone, BuilderSpec]:
    """Build BEiT and its kin."""
    options = fitting(backbone.spec, BEIT)
    args = {
        "img_size": options["image"],
        **_transformer(options, options["mlp_hidden"]),
        "qkv_bias": options["qkv_bias"],
        "init_values": 0.1 if options["layer_scale"] else None,
        "use_abs_pos_emb": options["absolute"],
        "use_rel_pos_bias": options["bias"] == "blocks",
        "use_shared_rel_pos_bias": options["bias"] == "shared",
        # timm norms after pooling, and then not before it, where it averages
        "global_pool": "token" if options["final_norm"] else "avg",
    }
    height, width = options["image"]
    backbone = backbone.noting(f"timm's Beit is built for {height}x{width} pixels: other sizes need img_size=")
    return backbone, BuilderSpec(["beit_base_patch16_224"], args, "head", (height, width), fixed=True)


DINOV3 = limits("timm's Eva", "patch dim depth heads mlp mlp_hidden registers qkv_bias layer_scale final_norm")
PERIODS = "rope.periods"


def dinov3(backbone: ConvertedBackbone) -> tuple[ConvertedBackbone, BuilderSpec]:
    """Build DINOv3's vision transformers, if their rotary periods are those that timm computes."""
    options = fitting(backbone.spec, DINOV3, _period_reasons(backbone))
    backbone = backbone.with_values(without(backbone.values, PERIODS))
    args = {
        **_transformer(options, options["mlp_hidden"]),
        "qkv_bias": options["qkv_bias"],
        "init_values": 1e-5 if options["layer_scale"] else None,
        "num_reg_tokens": options["registers"],
        "swiglu_mlp": options["mlp"] == "swiglu",
        "swiglu_align_to": 1,
        "use_post_transformer_norm": options["final_norm"],
    }
    name = "vit_base_patch16_dinov3_qkvb" if options["qkv_bias"] else "vit_base_patch16_dinov3"
    return backbone, BuilderSpec([name], args, "head", (16 * options["patch"],) * 2)


def _period_reasons(backbone: ConvertedBackbone) -> list[str]:
    stored = backbone.values[PERIODS].load().double()
    computed = RotaryEmbeddingDinoV3(4 * len(stored), temperature=100.0).periods.double()
    error = float(((stored - computed) / computed).abs().max())
    if error < 1e-6:
        return []
    return [f"it computes the rotary periods, and those of the file differ by up to {100 * error:.2g}% (bfloat16)"]


SWIN = limits("timm's SwinTransformer", "dim depths heads window last_window patch mlp_ratio qkv_bias padding")


def swin(backbone: ConvertedBackbone) -> tuple[ConvertedBackbone, BuilderSpec]:
    """Build Swin transformers."""
    options = fitting(backbone.spec, SWIN)
    # a last stage of one window, as the canonical network is built: timm shrinks windows to the map of the image
    side = options["patch"] * 8 * options["last_window"]
    args = {
        "img_size": side,
        "patch_size": options["patch"],
        "embed_dim": options["dim"],
        "depths": options["depths"],
        "num_heads": options["heads"],
        "window_size": options["window"],
        "mlp_ratio": options["mlp_ratio"],
        "qkv_bias": options["qkv_bias"],
    }
    if options["padding"] != "timm":
        note = f"features are the same at {side}x{side} pixels; at other sizes timm pads and shifts its own way"
        backbone = backbone.noting(f"{note}, not the {options['padding']} way of the network's project")
    return backbone, BuilderSpec(["swin_tiny_patch4_window7_224"], args, "head.fc", (side, side), fixed=True)


RESNETV2 = limits(
    "timm's ResNetV2",
    "block depths widths stem stem_width avg_down norm weight_standardised weight_eps pool_padding",
)
STEM_SUFFIX = {"symmetric": "", "zeros": "fixed", "same": "same"}
STANDARDISED_EPS = 1e-8
"""The number that timm adds to the variance of BiT's kernels."""


def resnetv2(backbone: ConvertedBackbone) -> tuple[ConvertedBackbone, BuilderSpec]:
    """Build pre-activation ResNets: BiT and those with batch normalisation."""
    options = fitting(backbone.spec, RESNETV2)
    bit = options["weight_standardised"]
    if bit:
        wanted = {"norm": "group", "pool_padding": "zeros", "stem": "", "avg_down": False}
        reasons = [
            f"{name} is {options[name]!r}, BiT's is {value!r}"
            for name, value in wanted.items()
            if options[name] != value
        ]
        refuse(backbone.spec, "timm's BiT, its only network with standardised kernels,", reasons)
    if bit:  # their sizes are part of their names
        return _timms_standardisation(backbone, options["weight_eps"]), BuilderSpec(
            ["resnetv2_50x1_bit"], {}, "head.fc"
        )
    args = {
        "layers": options["depths"],
        "channels": options["widths"],
        "width_factor": 1,
        "stem_chs": options["stem_width"],
        "basic": options["block"] == "basic",
        "bottle_ratio": 1.0 if options["block"] == "basic" else 0.25,
    }
    args["stem_type"] = "_".join(part for part in (options["stem"], STEM_SUFFIX[options["pool_padding"]]) if part)
    args["avg_down"] = options["avg_down"]
    name = "resnetv2_50" if options["norm"] == "batch" else "resnetv2_50d_gn"
    return backbone, BuilderSpec([name], args, "head.fc")


def _timms_standardisation(backbone: ConvertedBackbone, eps: float) -> ConvertedBackbone:
    """Enlarge kernels so that timm's epsilon does what the network's own did: k W / sqrt(k² v + e')."""
    if eps == STANDARDISED_EPS:
        return backbone
    factor = (STANDARDISED_EPS / eps) ** 0.5
    note = (
        f"standardised kernels are multiplied by {factor:g}: timm adds {STANDARDISED_EPS:g} to their variance, the "
        f"network's project {eps:g}; features are the same, learning rates of kernels mean less"
    )
    return with_kernels_times(backbone, factor, note)


BUILDERS: Mapping[str, Builder] = {
    "resnet": resnet,
    "resnetv2": resnetv2,
    "convnext": convnext,
    "vit": vit,
    "beit": beit,
    "dinov3": dinov3,
    "swin": swin,
}
