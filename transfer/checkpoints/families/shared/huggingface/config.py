"""Read `config.json` of transformers as options of our networks; keys that it lacks are left to shapes.

Sizes that both tell are taken from the config: the exact match then names the tensors that contradict it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from transfer.backbones.resnet import STANDARD_WIDTHS
from transfer.errors import UnsupportedNetwork

Config = Mapping[str, Any]
Options = dict[str, Any]

GELUS = {"gelu": "exact", "gelu_python": "exact", "quick_gelu": "quick"}
GELUS |= dict.fromkeys(("gelu_new", "gelu_fast", "gelu_pytorch_tanh", "gelu_python_tanh", "gelu_accurate"), "tanh")
"""transformers' names (activations.py) → ours."""


def refuse(key: str, value: Any, expected: str) -> UnsupportedNetwork:
    """Return the error for a network that has no canonical form."""
    return UnsupportedNetwork(
        f"config.json says {key} {value!r}; a canonical network has {expected}. Other networks cannot be evaluated; if "
        "the config does not belong to these weights, put theirs next to them."
    )


def picked(config: Config, **keys: str) -> Options:
    """Return options from `option=key`, for the keys that the config has."""
    return {option: config[key] for option, key in keys.items() if config.get(key) is not None}


def vit_options(config: Config) -> Options:
    """Return options of ViT, DeiT, MAE, MSN, I-JEPA, CLIP and SigLIP."""
    return _transformer(config) | _hidden(config) | picked(config, eps="layer_norm_eps") | _gelu(config)


def dinov2_options(config: Config) -> Options:
    """Return options of DINOv2 with or without registers; the gated MLP's width is rounded up to eights."""
    options = _transformer(config) | picked(config, eps="layer_norm_eps", registers="num_register_tokens")
    dim, ratio = config.get("hidden_size"), config.get("mlp_ratio")
    if config.get("use_swiglu_ffn"):
        wide = int(dim * ratio) if dim and ratio else 0
        return options | ({"mlp": "swiglu_packed", "mlp_hidden": 2 * ((wide * 2 // 3 + 7) // 8 * 8)} if wide else {})
    return options | ({"mlp_hidden": _unusual(int(dim * ratio), 4 * dim)} if dim and ratio else {}) | _gelu(config)


def beit_options(config: Config) -> Options:
    """Return options of BEiT and data2vec."""
    _refuse_activation(config)
    options = _transformer(config) | _hidden(config) | picked(config, eps="layer_norm_eps")
    if "use_absolute_position_embeddings" in config:
        options["absolute"] = config["use_absolute_position_embeddings"] or None
    if "layer_scale_init_value" in config:
        options["layer_scale"] = None if config["layer_scale_init_value"] > 0 else False
    if config.get("use_relative_position_bias") and config.get("use_shared_relative_position_bias"):
        raise refuse("use_relative_position_bias", "with use_shared_relative_position_bias", "one of them")
    return options


def dinov3_options(config: Config) -> Options:
    """Return options of DINOv3, with rotary positions as the paper has them."""
    _refuse_activation(config, "silu" if config.get("use_gated_mlp") else "gelu")
    if config.get("rope_theta", 100) != 100:
        raise refuse("rope_theta", config["rope_theta"], "100")
    options = picked(
        config, dim="hidden_size", depth="num_hidden_layers", heads="num_attention_heads", patch="patch_size"
    )
    return options | picked(config, registers="num_register_tokens", eps="layer_norm_eps") | _hidden(config)


def swin_options(config: Config) -> Options:
    """Return options of Swin."""
    _refuse_activation(config)
    options = picked(config, dim="embed_dim", depths="depths", heads="num_heads", window="window_size")
    options |= picked(config, patch="patch_size", eps="layer_norm_eps") | {"last_window": None}
    if "mlp_ratio" in config:
        options["mlp_ratio"] = _unusual(float(config["mlp_ratio"]), 4.0)
    return options | ({"ape": config["use_absolute_embeddings"] or None} if "use_absolute_embeddings" in config else {})


def convnext_options(config: Config) -> Options:
    """Return options of ConvNeXt; `layer_norm_eps` is the pooled norm's, that of the backbone's norms is fixed."""
    _refuse_activation(config)
    options = picked(config, depths="depths", widths="hidden_sizes")
    if "patch_size" in config:
        options["patch"] = _unusual(config["patch_size"], 4)
    if "layer_scale_init_value" in config:
        options["layer_scale"] = None if config["layer_scale_init_value"] > 0 else False
    return options


def resnet_options(config: Config) -> Options:
    """Return options of ResNet; `downsample_in_bottleneck` puts the stride into the 1x1 convolution."""
    _refuse_activation(config, "relu")
    if config.get("downsample_in_first_stage"):
        raise refuse("downsample_in_first_stage", True, "no stride in its first stage")
    options = picked(config, block="layer_type", depths="depths")
    sizes, bottleneck = config.get("hidden_sizes"), config.get("layer_type", "bottleneck") == "bottleneck"
    if sizes:
        widths = [size // 4 for size in sizes] if bottleneck else list(sizes)
        options["widths"] = None if tuple(widths) == STANDARD_WIDTHS else widths
    if "embedding_size" in config:
        options["stem_width"] = _unusual(config["embedding_size"], 64)
    return options | ({"stride_in": "1x1"} if bottleneck and config.get("downsample_in_bottleneck") else {})


def _transformer(config: Config) -> Options:
    options = picked(config, dim="hidden_size", depth="num_hidden_layers", heads="num_attention_heads")
    if "qkv_bias" in config:
        options["qkv_bias"] = None if config["qkv_bias"] else False
    patch = config.get("patch_size")
    if isinstance(patch, list):
        if len(set(patch)) != 1:
            raise refuse("patch_size", patch, "square patches")
        patch = patch[0]
    return options | ({} if patch is None else {"patch": patch}) | _image(config)


def _image(config: Config) -> Options:
    size = config.get("image_size")
    return {} if size is None else {"image": list(size) if isinstance(size, list) else [size, size]}


def _hidden(config: Config) -> Options:
    dim, hidden = config.get("hidden_size"), config.get("intermediate_size")
    return {"mlp_hidden": _unusual(hidden, 4 * dim)} if dim and hidden else {}


def _gelu(config: Config) -> Options:
    activation = config.get("hidden_act", "gelu")
    if activation not in GELUS:
        raise refuse("hidden_act", activation, f"one of {', '.join(GELUS)}")
    return {"gelu": GELUS[activation]} if "hidden_act" in config else {}


def _refuse_activation(config: Config, expected: str = "gelu") -> None:
    activation = config.get("hidden_act", expected)
    if GELUS.get(activation, activation) != GELUS.get(expected, expected):
        raise refuse("hidden_act", activation, expected)


def _unusual(value: Any, usual: Any) -> Any:
    """Return `value`, None where it is the builder's default."""
    return None if value == usual else value
