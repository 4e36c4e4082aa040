"""Properties of a network that leave no trace in the names and shapes of its weights, and the value assumed for each.

A family declares them as options of its network; what it does not declare has the value that the field's reference
implementation of that kind of network has. Each family's tests compare features, which these properties decide.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from transfer.schemas.checkpoint import BackboneSpec

ASSUMED: Mapping[str, Mapping[str, tuple[Any, str]]] = {
    "resnet": {
        "stride_in": ("3x3", "convolution with the stride"),
        "eps": (1e-5, "batch-norm epsilon"),
        "padding": ("symmetric", "padding of convolutions"),
        "pool_padding": ("symmetric", "padding of the stem's pooling"),
        "stem_padding": ("half the kernel", "padding of the stem's convolution"),
        "stem_activation": (True, "activation after the stem's norm"),
        "antialias": (False, "average pools instead of strides"),
        "output_stride": (32, "stride of the last level; others see the same at more or fewer places"),
    },
    "resnetv2": {
        "stride_in": ("3x3", "convolution with the stride"),
        "eps": (1e-5, "norm epsilon"),
        "weight_standardised": (False, "kernels of zero mean and unit variance"),
        "weight_eps": (1e-8, "epsilon of the kernels' variance"),
        "pool_padding": ("symmetric", "padding of the stem's pooling"),
    },
    "wide_resnet": {
        "eps": (1e-5, "batch-norm epsilon"),
        "final_eps": ("as in the units", "epsilon of the last batch norm"),
        "padding": ("symmetric", "padding of convolutions"),
        "transition": ("both", "branches that get the activated input where blocks 2 and 3 begin"),
    },
    "convnext": {
        "eps": (1e-6, "layer-norm epsilon"),
        "gelu": ("exact", "GELU"),
    },
    "vit": {
        "heads": (None, "attention heads"),
        "gelu": ("exact", "GELU"),
        "eps": (1e-6, "layer-norm epsilon"),
        "position_interpolation": ("timm", "positions at other sizes"),
        "qkv_order": ("q, k, v", "order of queries, keys and values"),
    },
    "beit": {
        "gelu": ("exact", "GELU"),
        "eps": (1e-6, "layer-norm epsilon"),
        "position_interpolation": ("bicubic", "positions at other sizes"),
        "qkv_order": ("q, k, v", "order of queries, keys and values"),
    },
    "dinov3": {
        "gelu": ("exact", "GELU"),
        "eps": (1e-5, "layer-norm epsilon"),
        "rope": ("each side from -1 to 1", "rotary coordinates"),
        "qkv_order": ("q, k, v", "order of queries, keys and values"),
    },
    "swin": {
        "padding": ("timm", "padding and shift at other sizes"),
        "eps": (1e-5, "layer-norm epsilon"),
        "qkv_order": ("q, k, v", "order of queries, keys and values"),
    },
}
"""Kind of network → option → its value where no family says otherwise, and its name for people."""


NOT_BICUBIC = {"flax": "linear"}
"""Ways to stretch positions that are not bicubic, and their interpolation."""


def assumptions_of(spec: BackboneSpec) -> dict[str, str]:
    """Return property → assumed value, for the properties of this kind of network."""
    assumed = ASSUMED.get(spec.kind, {})
    return {text: _value(spec.options.get(option, default)) for option, (default, text) in assumed.items()}


def _value(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def resizing_of(spec: BackboneSpec, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, str]:
    """Return the tensors that image sizes other than the trained one stretch, with the trained grid and the way."""
    if spec.kind not in ("vit", "beit"):
        return {}
    height, width = (side // spec.options["patch"] for side in spec.options["image"])
    way = spec.options.get("position_interpolation", ASSUMED[spec.kind]["position_interpolation"][0])
    ways = {
        "pos_embed": f"{NOT_BICUBIC.get(way, 'bicubic')} interpolation, {way}'s way",
        "relative_position_bias_table": "a spline through distances that grow geometrically, BEiT's way",
    }
    stretched = {name: ways[last] for name in shapes if (last := name.rpartition(".")[2]) in ways}
    return {name: f"{height}x{width} cells as trained; other grids by {how}" for name, how in stretched.items()}
