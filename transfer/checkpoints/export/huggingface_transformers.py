"""Convert to Hugging Face's vision transformers: ViT, DINOv2 with and without registers, BEiT, Swin."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from transfer.checkpoints.export.folding import PACKED, class_position_of_zero, register_positions_in_tokens
from transfer.checkpoints.export.library import ConvertedBackbone, named
from transfer.checkpoints.export.properties import complete, fitting, limits
from transfer.checkpoints.export.torchvision import one_window, padding_note
from transfer.checkpoints.export.vit_positions import interpolation_note
from transfer.checkpoints.keys.rules import Rename, Rule, Split
from transfer.checkpoints.keys.values import stored


@dataclass(frozen=True)
class Pretrained:
    """A Hugging Face network without its tensors: class, `config.json`, further arguments of `from_pretrained`."""

    model: str
    config: Mapping[str, Any]
    arguments: Mapping[str, Any] = field(default_factory=dict)


GELUS = {"exact": "gelu", "tanh": "gelu_pytorch_tanh", "quick": "quick_gelu"}
_ATTENTION = r"encoder.layer.\1.attention.attention"
_QKV = tuple(rf"{_ATTENTION}.{part}.\2" for part in ("query", "key", "value"))
_SHARED: tuple[Rule, ...] = (
    Rename(r"cls_token", "embeddings.cls_token"),
    Rename(r"pos_embed", "embeddings.position_embeddings"),
    Rename(r"patch_embed\.proj\.(.*)", r"embeddings.patch_embeddings.projection.\1"),
    Rename(r"norm\.(.*)", r"layernorm.\1"),
    Split(r"blocks\.(\d+)\.attn\.qkv\.(weight|bias)", _QKV),
    Rename(r"blocks\.(\d+)\.attn\.proj\.(.*)", r"encoder.layer.\1.attention.output.dense.\2"),
)
_FIRST: tuple[Rule, ...] = (
    Rename(r"blocks\.(\d+)\.norm1\.(.*)", r"encoder.layer.\1.layernorm_before.\2"),
    Rename(r"blocks\.(\d+)\.norm2\.(.*)", r"encoder.layer.\1.layernorm_after.\2"),
    Rename(r"blocks\.(\d+)\.mlp\.fc1\.(.*)", r"encoder.layer.\1.intermediate.dense.\2"),
    Rename(r"blocks\.(\d+)\.mlp\.fc2\.(.*)", r"encoder.layer.\1.output.dense.\2"),
)
VIT_RULES: tuple[Rule, ...] = (*_SHARED, *_FIRST)
DINOV2_RULES: tuple[Rule, ...] = (
    *_SHARED,
    Rename(r"reg_token", "embeddings.register_tokens"),
    Rename(r"blocks\.(\d+)\.ls([12])\.gamma", r"encoder.layer.\1.layer_scale\2.lambda1"),
    Rename(r"blocks\.(\d+)\.(.*)", r"encoder.layer.\1.\2"),
)
GATED: tuple[Rule, ...] = (
    Rename(r"blocks\.(\d+)\.mlp\.fc1\.(.*)", r"encoder.layer.\1.mlp.weights_in.\2"),
    Rename(r"blocks\.(\d+)\.mlp\.fc2\.(.*)", r"encoder.layer.\1.mlp.weights_out.\2"),
)
VIT = limits(
    "transformers' ViTModel",
    "image patch dim depth heads mlp_hidden gelu no_embed_class position_interpolation qkv_bias eps",
)
DINOV2 = limits(
    "transformers' Dinov2Model",
    "image patch dim depth heads mlp mlp_hidden gelu registers no_embed_class no_embed_registers "
    "position_interpolation layer_scale qkv_bias eps",
)


def vit(backbone: ConvertedBackbone) -> tuple[ConvertedBackbone, Pretrained]:
    """Convert a ViT: to Dinov2Model if it has scaled residuals, registers or gated MLPs, else to ViTModel."""
    options = backbone.spec.options
    if options.get("layer_scale") or options.get("registers") or options.get("mlp", "mlp") != "mlp":
        return _dinov2(backbone)
    options = fitting(backbone.spec, VIT)
    backbone = class_position_of_zero(backbone) if options["no_embed_class"] else backbone
    config = {
        "model_type": "vit",
        **_sizes(options),
        "intermediate_size": options["mlp_hidden"],
        "hidden_act": GELUS[options["gelu"]],
        "qkv_bias": options["qkv_bias"],
    }
    notes = interpolation_note(options["position_interpolation"], "bicubic", options["image"], "transformers")
    network = Pretrained("ViTModel", config, {"add_pooling_layer": False})
    return backbone.with_values(named(backbone.values, VIT_RULES), *notes), network


def _sizes(options: Mapping[str, Any]) -> dict[str, Any]:
    height, width = options["image"]
    return {
        "num_channels": 3,
        "image_size": height if height == width else [height, width],
        "patch_size": options["patch"],
        "hidden_size": options["dim"],
        "num_hidden_layers": options["depth"],
        "num_attention_heads": options["heads"],
        "layer_norm_eps": options["eps"],
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
    }


def _dinov2(backbone: ConvertedBackbone) -> tuple[ConvertedBackbone, Pretrained]:
    options = fitting(backbone.spec, DINOV2, _ratio_reasons(complete(backbone.spec)))
    gated, registers = options["mlp"] != "mlp", options["registers"]
    backbone = _dinov2_values(backbone, options)
    config = {
        "model_type": "dinov2_with_registers" if registers else "dinov2",
        **_sizes(options),
        **({"num_register_tokens": registers} if registers else {}),
        "mlp_ratio": _ratio(options),
        "hidden_act": GELUS[options["gelu"]],
        "layerscale_value": 1.0,
        "use_swiglu_ffn": gated,
        "qkv_bias": options["qkv_bias"],
    }
    way = options["position_interpolation"]
    notes = interpolation_note(way, "timm" if registers else "bicubic", options["image"], "transformers")
    values = named(backbone.values, (*(GATED if gated else ()), *DINOV2_RULES))
    model = "Dinov2WithRegistersModel" if registers else "Dinov2Model"
    return backbone.with_values(values, *notes), Pretrained(model, config)


def _dinov2_values(backbone: ConvertedBackbone, options: Mapping[str, Any]) -> ConvertedBackbone:
    """Return positions of class token and patches only, packed gates, scales everywhere, and a mask token."""
    if options["mlp"] == "swiglu":
        backbone = backbone.with_values(named(backbone.values, PACKED))
    if options["no_embed_class"]:
        backbone = class_position_of_zero(backbone)
    elif options["registers"] and not options["no_embed_registers"]:
        backbone = register_positions_in_tokens(backbone)
    values = dict(backbone.values)
    if not options["layer_scale"]:
        ones = stored(torch.ones(options["dim"]))
        values |= {f"blocks.{block}.ls{k}.gamma": ones for block in range(options["depth"]) for k in (1, 2)}
    values["embeddings.mask_token"] = stored(torch.zeros(1, options["dim"]))
    return backbone.with_values(values, "embeddings.mask_token: zeros, as new; only masked images use it")


def _ratio(options: Mapping[str, Any]) -> int | None:
    """Return the integer from which transformers computes the hidden width; None where there is none."""
    dim, gated = options["dim"], options["mlp"] != "mlp"
    wanted = options["mlp_hidden"] // (2 if options["mlp"] == "swiglu_packed" else 1)
    ratios = range(1, 17)
    return next((r for r in ratios if ((int(r * dim * 2 / 3) + 7) // 8 * 8 if gated else r * dim) == wanted), None)


def _ratio_reasons(options: Mapping[str, Any]) -> list[str]:
    if _ratio(options) is not None:
        return []
    return [f"the hidden width of MLPs is {options['mlp_hidden']}, which follows from no integer ratio"]


BEIT = limits(
    "transformers' BeitModel",
    "image patch dim depth heads mlp_hidden bias absolute layer_scale final_norm position_interpolation "
    "bias_interpolation eps",
)
_TABLE = "relative_position_bias_table"
BEIT_RULES: tuple[Rule, ...] = (
    *VIT_RULES,
    Rename(r"blocks\.(\d+)\.attn\.q_bias", rf"{_ATTENTION}.query.bias"),
    Rename(r"blocks\.(\d+)\.attn\.v_bias", rf"{_ATTENTION}.value.bias"),
    Rename(rf"blocks\.(\d+)\.attn\.{_TABLE}", rf"{_ATTENTION}.relative_position_bias.{_TABLE}"),
    Rename(rf"rel_pos_bias\.{_TABLE}", f"encoder.relative_position_bias.{_TABLE}"),
    Rename(r"blocks\.(\d+)\.gamma_([12])", r"encoder.layer.\1.lambda_\2"),
)


def beit(backbone: ConvertedBackbone) -> tuple[ConvertedBackbone, Pretrained]:
    """Convert BEiT and its kin."""
    options = fitting(backbone.spec, BEIT)
    config = {
        "model_type": "beit",
        **_sizes(options),
        "intermediate_size": options["mlp_hidden"],
        "hidden_act": "gelu",
        "use_mask_token": False,
        "use_absolute_position_embeddings": options["absolute"],
        "use_relative_position_bias": options["bias"] == "blocks",
        "use_shared_relative_position_bias": options["bias"] == "shared",
        "layer_scale_init_value": 0.1 if options["layer_scale"] else 0.0,
        # transformers norms after pooling, and then not before it, where it averages
        "use_mean_pooling": not options["final_norm"],
    }
    same = options["bias"] == "none" or options["bias_interpolation"] == "huggingface"
    notes = () if same else ("at other sizes transformers stretches the tables of biases its own way",)
    network = Pretrained("BeitModel", config, {"add_pooling_layer": False})
    return backbone.with_values(named(backbone.values, BEIT_RULES), *notes), network


SWIN = limits("transformers' SwinModel", "dim depths heads window last_window patch mlp_ratio qkv_bias ape padding eps")
_BLOCK = r"encoder.layers.\1.blocks.\2."
SWIN_RULES: tuple[Rule, ...] = (
    Rename(r"patch_embed\.proj\.(.*)", r"embeddings.patch_embeddings.projection.\1"),
    Rename(r"patch_embed\.norm\.(.*)", r"embeddings.norm.\1"),
    Rename(r"absolute_pos_embed", "embeddings.position_embeddings"),
    Rename(r"norm\.(.*)", r"layernorm.\1"),
    *(
        Rename(rf"layers\.{stage}\.downsample\.(.*)", rf"encoder.layers.{stage - 1}.downsample.\1")
        for stage in (1, 2, 3)
    ),
    Split(
        r"layers\.(\d)\.blocks\.(\d+)\.attn\.qkv\.(weight|bias)",
        tuple(rf"{_BLOCK}attention.self.{part}.\3" for part in ("query", "key", "value")),
    ),
    Rename(r"layers\.(\d)\.blocks\.(\d+)\.attn\.proj\.(.*)", _BLOCK + r"attention.output.dense.\3"),
    Rename(rf"layers\.(\d)\.blocks\.(\d+)\.attn\.{_TABLE}", rf"{_BLOCK}attention.self.{_TABLE}"),
    Rename(r"layers\.(\d)\.blocks\.(\d+)\.norm1\.(.*)", _BLOCK + r"layernorm_before.\3"),
    Rename(r"layers\.(\d)\.blocks\.(\d+)\.norm2\.(.*)", _BLOCK + r"layernorm_after.\3"),
    Rename(r"layers\.(\d)\.blocks\.(\d+)\.mlp\.fc1\.(.*)", _BLOCK + r"intermediate.dense.\3"),
    Rename(r"layers\.(\d)\.blocks\.(\d+)\.mlp\.fc2\.(.*)", _BLOCK + r"output.dense.\3"),
)


def swin(backbone: ConvertedBackbone) -> tuple[ConvertedBackbone, Pretrained]:
    """Convert Swin transformers."""
    options = fitting(backbone.spec, SWIN, one_window(backbone.spec.options))
    config = {
        "model_type": "swin",
        "num_channels": 3,
        "image_size": options["patch"] * 8 * options["window"],
        "patch_size": options["patch"],
        "embed_dim": options["dim"],
        "depths": options["depths"],
        "num_heads": options["heads"],
        "window_size": options["window"],
        "mlp_ratio": float(options["mlp_ratio"]),
        "qkv_bias": options["qkv_bias"],
        "hidden_act": "gelu",
        "use_absolute_embeddings": options["ape"],
        "layer_norm_eps": options["eps"],
    }
    notes = padding_note(options, "huggingface", "transformers")
    network = Pretrained("SwinModel", config, {"add_pooling_layer": False})
    return backbone.with_values(named(backbone.values, SWIN_RULES), *notes), network
