"""Properties of networks that another library's may lack: each option's usual value, and its name for people."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from transfer.errors import Inexpressible
from transfer.schemas.checkpoint import BackboneSpec

_STEM = (None, "channels of the stem")
_EPS = "epsilon of the norms"

PROPERTIES: Mapping[str, Mapping[str, tuple[Any, str]]] = {
    "resnet": {
        "block": (None, "kind of block"),
        "depths": (None, "blocks of the stages"),
        "widths": ([64, 128, 256, 512], "widths of the stages"),
        "groups": (1, "groups of the 3x3 convolutions"),
        "base_width": (64, "width of a group where a stage is 64 wide"),
        "stem": ("", "stem (empty: one 7x7 convolution; cifar: one 3x3 without pooling)"),
        "stem_width": (64, "channels of the stem"),
        "avg_down": (False, "average pooling in shortcuts"),
        "projection": (False, "a shortcut convolution that no width asks for"),
        "stride_in": ("3x3", "where a stage strides (last_unit: TF-slim's way)"),
        "padding": ("symmetric", "padding of convolutions (same: TensorFlow's way)"),
        "pool_padding": ("symmetric", "padding of the stem's pooling (same: TensorFlow's way)"),
        "stem_padding": (1, "padding of the 3x3 stem"),
        "antialias": (False, "average pools in the place of strides (CLIP)"),
        "levels": ("after_stride", "levels of a network that strides as stages end"),
        "stem_activation": (True, "an activation after the stem's norm"),
        "output_stride": (32, "stride of the last level"),
        "eps": (1e-5, _EPS),
    },
    "resnetv2": {
        "block": ("bottleneck", "kind of block"),
        "depths": (None, "blocks of the stages"),
        "widths": ([256, 512, 1024, 2048], "widths of the stages"),
        "stem": ("", "stem"),
        "stem_width": (64, "channels of the stem"),
        "avg_down": (False, "average pooling in shortcuts"),
        "norm": ("group", "kind of norm"),
        "bias": (False, "biases of convolutions that no norm follows"),
        "weight_standardised": (False, "standardised kernels (BiT)"),
        "weight_eps": (1e-8, "epsilon of the standardisation"),
        "eps": (1e-5, _EPS),
        "pool_padding": ("symmetric", "padding of the stem's pooling"),
        "stride_in": ("3x3", "where a stage strides (last_unit: TF-slim's way)"),
        "levels": ("after_stride", "levels of a network that strides as stages end"),
    },
    "convnext": {
        "depths": (None, "blocks of the stages"),
        "widths": (None, "widths of the stages"),
        "patch": (4, "side of the stem's patches"),
        "kernel": (7, "side of the depthwise kernels"),
        "response_norm": (False, "global response normalisation (V2)"),
        "layer_scale": (True, "scaled residuals"),
        "final_norm": (False, "a norm before the pooling"),
        "convolutional_mlp": (False, "1x1 convolutions instead of linear layers"),
        "bias": (True, "biases of convolutions"),
        "eps": (1e-6, _EPS),
    },
    "vit": {
        "image": (None, "trained image"),
        "patch": (None, "side of a patch"),
        "dim": (None, "width"),
        "depth": (None, "number of blocks"),
        "heads": (None, "attention heads"),
        "mlp": ("mlp", "kind of MLP"),
        "mlp_hidden": (None, "hidden width of the MLP"),
        "gelu": ("exact", "GELU"),
        "stem": ("patch", "stem (conv: four convolutions, MoCo v3)"),
        "class_token": (True, "class token"),
        "registers": (0, "register tokens"),
        "no_embed_class": (False, "positions of the patches only"),
        "no_embed_registers": (False, "register tokens without positions"),
        "positions": ("learnt", "positions"),
        "position_interpolation": ("timm", "positions at other sizes"),
        "layer_scale": (False, "scaled residuals"),
        "qkv_bias": (True, "biases of queries, keys and values"),
        "proj_bias": (True, "bias of the attention's output"),
        "qk_norm": (False, "normed queries and keys"),
        "pre_norm": (False, "a norm before the blocks (CLIP)"),
        "final_norm": (True, "a norm after the blocks"),
        "eps": (1e-6, _EPS),
    },
    "beit": {
        "image": (None, "trained image"),
        "patch": (None, "side of a patch"),
        "dim": (None, "width"),
        "depth": (None, "number of blocks"),
        "heads": (None, "attention heads"),
        "mlp_hidden": (None, "hidden width of the MLP"),
        "bias": ("blocks", "where relative position biases are"),
        "absolute": (False, "position embeddings"),
        "layer_scale": (True, "scaled residuals"),
        "qkv_bias": (True, "biases of queries and values"),
        "final_norm": (True, "a norm after the blocks"),
        "position_interpolation": ("bicubic", "positions at other sizes"),
        "bias_interpolation": ("beit", "relative position biases at other sizes"),
        "eps": (1e-6, _EPS),
    },
    "dinov3": {
        "patch": (None, "side of a patch"),
        "dim": (None, "width"),
        "depth": (None, "number of blocks"),
        "heads": (None, "attention heads"),
        "mlp": ("mlp", "kind of MLP"),
        "mlp_hidden": (None, "hidden width of the MLP"),
        "registers": (4, "register tokens"),
        "qkv_bias": (True, "biases of queries and values"),
        "k_bias": (False, "biases of keys"),
        "layer_scale": (True, "scaled residuals"),
        "final_norm": (True, "a norm after the blocks"),
        "eps": (1e-5, _EPS),
    },
    "swin": {
        "dim": (None, "width of the first stage"),
        "depths": (None, "blocks of the stages"),
        "heads": (None, "attention heads of the stages"),
        "window": (None, "side of a window"),
        "last_window": (None, "side of the last stage's windows"),
        "patch": (4, "side of a patch"),
        "mlp_ratio": (4.0, "hidden width of an MLP in widths of its stage"),
        "qkv_bias": (True, "biases of queries, keys and values"),
        "ape": (False, "position embeddings"),
        "padding": ("timm", "padding and shift at other sizes"),
        "eps": (1e-5, _EPS),
    },
}
"""Kind of network → option of its builder → its usual value (None: it is always given or follows from others)."""


@dataclass(frozen=True)
class Limits:
    """The networks of one kind that a library has: any value of the options in `takes`, one of some in `only`.

    `network` names it for people.
    """

    network: str
    takes: frozenset[str]
    only: Mapping[str, Collection[Any]]


def limits(network: str, takes: str, **only: Sequence[Any]) -> Limits:
    """Return limits with `takes` as words."""
    return Limits(network, frozenset(takes.split()), only)


def complete(spec: BackboneSpec) -> dict[str, Any]:
    """Fill in the usual values of a network's options. Raises Inexpressible for an option unknown here."""
    known = PROPERTIES[spec.kind]
    unknown = sorted(spec.options.keys() - known.keys())
    if unknown:
        raise Inexpressible(
            f"{spec.arch} has {', '.join(unknown)}, and nothing is known about how other libraries have that. Convert "
            "without --to."
        )
    options = {name: value for name, (value, _) in known.items()} | dict(spec.options)
    if spec.kind in ("vit", "beit", "dinov3"):
        options["mlp_hidden"] = options["mlp_hidden"] or 4 * options["dim"]
    if spec.kind == "swin":
        options["last_window"] = options["last_window"] or options["window"]
    return options


def mlp_ratio(hidden: int, dim: int) -> float:
    """Return the number that libraries multiply `dim` by, and then truncate, to get `hidden`."""
    ratio = hidden / dim
    # the half keeps rounding errors from costing one unit
    return ratio if int(dim * ratio) == hidden else (hidden + 0.5) / dim


def fitting(spec: BackboneSpec, limit: Limits, reasons: Iterable[str] = ()) -> dict[str, Any]:
    """Return the complete options of a network that keeps within `limit`.

    Raises Inexpressible that names every property outside it, and the further `reasons`.
    """
    options = complete(spec)
    outside = [
        f"{text} is {_shown(options[name])}, where {limit.network} has {_only(limit, name)}"
        for name, (_, text) in PROPERTIES[spec.kind].items()
        if name not in limit.takes and options[name] not in limit.only.get(name, (PROPERTIES[spec.kind][name][0],))
    ]
    refuse(spec, limit.network, [*outside, *reasons])
    return options


def refuse(spec: BackboneSpec, network: str, reasons: Sequence[str]) -> None:
    """Raise Inexpressible if there are `reasons`."""
    if reasons:
        raise refusal(spec, network, reasons)


def refusal(spec: BackboneSpec, network: str, reasons: Iterable[str]) -> Inexpressible:
    """Return the error that says why `network` cannot be that of `spec`."""
    return Inexpressible(
        f"{network} cannot be this {spec.arch}:\n"
        + "\n".join(f"  - {reason}" for reason in reasons)
        + "\nIts features would differ. Convert for another library, or without --to for the canonical file."
    )


def _only(limit: Limits, name: str) -> str:
    return " or ".join(map(_shown, limit.only[name])) if name in limit.only else "the usual one only"


def _shown(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else repr(value)
