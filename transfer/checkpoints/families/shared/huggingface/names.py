"""Rules from the names of transformers' models to canonical ones; vision transformers in both generations.

transformers up to 4 and every `save_pretrained` write `encoder.layer.0.attention.attention.query`; the state dict in
the memory of transformers 5 has `layers.0.attention.q_proj`.
"""

from __future__ import annotations

from torch import Tensor

from transfer.checkpoints.keys.layouts import BUFFER, CLASSIFIER, POOLED_NORM
from transfer.checkpoints.keys.rules import Apply, Drop, Join, Rename, Reshape, Rule

MASK = Drop(r"embeddings\.mask_token", "stands for masked patches in pre-training")
OLD = ("query", "key", "value")
NEW = ("q_proj", "k_proj", "v_proj")

_EMBEDDINGS: tuple[Rule, ...] = (
    MASK,
    Rename(r"embeddings\.cls_token", "cls_token"),
    Rename(r"embeddings\.(?:distillation_token|register_tokens)", "reg_token"),
    Rename(r"embeddings\.position_embeddings", "pos_embed"),
    Rename(r"embeddings\.patch_embeddings\.projection\.(.*)", r"patch_embed.proj.\1"),
    Rename(r"layernorm\.(.*)", r"norm.\1"),
)


def _attention(block: str, attention: str, parts: tuple[str, ...], projection: str) -> tuple[Rule, ...]:
    q, k, v = parts
    return (
        Join(rf"{block}{attention}(?P<part>{q}|{k}|{v})\.(weight|bias)", parts, r"blocks.\1.attn.qkv.\3"),
        Rename(rf"{block}{projection}\.(.*)", r"blocks.\1.attn.proj.\2"),
    )


def _biased_attention(block: str, attention: str, parts: tuple[str, ...], projection: str) -> tuple[Rule, ...]:
    """Return rules of BEiT's attention: keys have no bias, queries and values have tensors of their own."""
    q, k, v = parts
    return (
        Join(rf"{block}{attention}(?P<part>{q}|{k}|{v})\.weight", parts, r"blocks.\1.attn.qkv.weight"),
        Rename(rf"{block}{attention}{q}\.bias", r"blocks.\1.attn.q_bias"),
        Rename(rf"{block}{attention}{k}\.bias", r"blocks.\1.attn.k_bias"),
        Rename(rf"{block}{attention}{v}\.bias", r"blocks.\1.attn.v_bias"),
        Rename(rf"{block}{projection}\.(.*)", r"blocks.\1.attn.proj.\2"),
    )


def _renamed(block: str, **names: str) -> tuple[Rule, ...]:
    """Return rules from `ours=theirs` within a block."""
    return tuple(
        Rename(rf"{block}{theirs}\.(.*)", rf"blocks.\1.{ours.replace('__', '.')}.\2") for ours, theirs in names.items()
    )


_OLD_BLOCK = r"encoder\.layer\.(\d+)\."
_NEW_BLOCK = r"layers\.(\d+)\."
_OLD_ATTENTION = (_OLD_BLOCK, r"attention\.attention\.", OLD, r"attention\.output\.dense")
_NEW_ATTENTION = (_NEW_BLOCK, r"attention\.", NEW, r"attention\.o_proj")
_OLD_MLP = _renamed(_OLD_BLOCK, mlp__fc1=r"intermediate\.dense", mlp__fc2=r"output\.dense")
_NEW_MLP = _renamed(_NEW_BLOCK, mlp__fc1=r"mlp\.fc1", mlp__fc2=r"mlp\.fc2")
_POOLER = Drop(r"pooler\.dense\..*", CLASSIFIER)


def _beside_attention(block: str) -> tuple[Rule, ...]:
    return _renamed(block, norm1="layernorm_before", norm2="layernorm_after")


OLD_VIT = (_POOLER, *_EMBEDDINGS, *_attention(*_OLD_ATTENTION), *_OLD_MLP, *_beside_attention(_OLD_BLOCK))
NEW_VIT = (_POOLER, *_EMBEDDINGS, *_attention(*_NEW_ATTENTION), *_NEW_MLP, *_beside_attention(_NEW_BLOCK))

_SCALES = (
    Rename(_OLD_BLOCK + r"layer_scale([12])\.lambda1", r"blocks.\1.ls\2.gamma"),
    *_renamed(_OLD_BLOCK, norm1="norm1", norm2="norm2", mlp__fc1=r"mlp\.fc1", mlp__fc2=r"mlp\.fc2"),
)
OLD_DINOV2 = (
    *_EMBEDDINGS,
    *_attention(*_OLD_ATTENTION),
    *_SCALES,
    *_renamed(_OLD_BLOCK, mlp__fc1=r"mlp\.weights_in", mlp__fc2=r"mlp\.weights_out"),
)
NEW_DINOV2 = (
    *_EMBEDDINGS,
    *_attention(_OLD_BLOCK, *_NEW_ATTENTION[1:]),
    *_SCALES,
    Join(
        _OLD_BLOCK + r"mlp\.(?P<part>gate_proj|up_proj)\.(weight|bias)",
        ("gate_proj", "up_proj"),
        r"blocks.\1.mlp.fc1.\3",
    ),
    *_renamed(_OLD_BLOCK, mlp__fc2=r"mlp\.down_proj"),
)

TABLE = "relative_position_bias_table"
_POOLED = Drop(r"pooler\.layernorm\..*", POOLED_NORM)
_INDEX = Drop(r".*\.relative_position_index", BUFFER)


def _scaled(block: str) -> tuple[Rule, ...]:
    return (Rename(block + r"lambda_([12])", r"blocks.\1.gamma_\2"), *_beside_attention(block))


OLD_BEIT = (
    _POOLED,
    _INDEX,
    *_EMBEDDINGS,
    *_biased_attention(*_OLD_ATTENTION),
    *_OLD_MLP,
    *_scaled(_OLD_BLOCK),
    Rename(rf"{_OLD_BLOCK}attention\.attention\.relative_position_bias\.{TABLE}", rf"blocks.\1.attn.{TABLE}"),
    Rename(rf"encoder\.relative_position_bias\.{TABLE}", f"rel_pos_bias.{TABLE}"),
)
NEW_BEIT = (
    _POOLED,
    _INDEX,
    *_EMBEDDINGS,
    *_biased_attention(*_NEW_ATTENTION),
    *_NEW_MLP,
    *_scaled(_NEW_BLOCK),
    Rename(rf"{_NEW_BLOCK}relative_position_bias\.{TABLE}", rf"blocks.\1.attn.{TABLE}"),
    Rename(rf"shared_position_bias\.{TABLE}", f"rel_pos_bias.{TABLE}"),
)


def _batched(dimensions: int) -> Rule:
    """Return the rule that adds leading dimensions of length 1, which CLIP's own embeddings lack."""

    def function(tensor: Tensor) -> Tensor:
        return tensor[(None,) * dimensions]

    pattern = "cls_token" if dimensions == 2 else "pos_embed"
    return Apply(pattern, function, f"{dimensions} more dimensions")


_CLIP_BLOCK = r"encoder\.layers\.(\d+)\."
CLIP = (
    Drop(r"embeddings\.position_ids", "indices of the positions"),
    Drop(r"head\..*", "pooling by attention: belongs to the classifier"),
    Rename(r"embeddings\.class_embedding", "cls_token"),
    Rename(r"embeddings\.position_embedding\.weight", "pos_embed"),
    _batched(2),
    _batched(1),
    Rename(r"embeddings\.patch_embedding\.(.*)", r"patch_embed.proj.\1"),
    Rename(r"pre_layrnorm\.(.*)", r"norm_pre.\1"),
    Rename(r"post_layernorm\.(.*)", r"norm.\1"),
    *_attention(_CLIP_BLOCK, r"self_attn\.", NEW, r"self_attn\.out_proj"),
    *_renamed(_CLIP_BLOCK, norm1="layer_norm1", norm2="layer_norm2", mlp__fc1=r"mlp\.fc1", mlp__fc2=r"mlp\.fc2"),
)


def _dinov3(up: str) -> tuple[Rule, ...]:
    """Return DINOv3's rules; `up` is where the MLP's first layer, or the value next to its gate, goes."""
    block = r"layer\.(\d+)\."
    return (
        MASK,
        Rename(r"model\.(layer\..*)", r"\1"),
        Rename(r"embeddings\.cls_token", "cls_token"),
        Rename(r"embeddings\.register_tokens", "reg_token"),
        Rename(r"embeddings\.patch_embeddings\.(.*)", r"patch_embed.proj.\1"),
        *_biased_attention(block, *_NEW_ATTENTION[1:]),
        Rename(block + r"layer_scale([12])\.lambda1", r"blocks.\1.gamma_\2"),
        *_renamed(block, norm1="norm1", norm2="norm2", mlp__fc1_g=r"mlp\.gate_proj", mlp__fc2=r"mlp\.down_proj"),
        Rename(block + r"mlp\.up_proj\.(.*)", rf"blocks.\1.mlp.{up}.\2"),
    )


DINOV3, GATED_DINOV3 = _dinov3("fc1"), _dinov3("fc1_x")


def _swin(attention: str, parts: tuple[str, ...], projection: str, table: str, fc1: str, fc2: str) -> tuple[Rule, ...]:
    """Return Swin's rules: a block is `layers.S.blocks.B` already; the merge that ends a stage begins timm's next."""
    block, (q, k, v) = r"encoder\.layers\.(\d+)\.blocks\.(\d+)\.", parts
    names = {projection: "attn.proj", fc1: "mlp.fc1", fc2: "mlp.fc2"}
    names |= {"layernorm_before": "norm1", "layernorm_after": "norm2"}
    return (
        MASK,
        Drop(r".*\.relative_position_index", BUFFER),
        Rename(r"embeddings\.patch_embeddings\.projection\.(.*)", r"patch_embed.proj.\1"),
        Rename(r"embeddings\.norm\.(.*)", r"patch_embed.norm.\1"),
        Rename(r"embeddings\.position_embeddings", "absolute_pos_embed"),
        Rename(r"layernorm\.(.*)", r"norm.\1"),
        *(Rename(rf"encoder\.layers\.{s}\.downsample\.(.*)", rf"layers.{s + 1}.downsample.\1") for s in range(3)),
        Join(rf"{block}{attention}(?P<part>{q}|{k}|{v})\.(weight|bias)", parts, r"layers.\1.blocks.\2.attn.qkv.\4"),
        Rename(rf"{block}{table}{TABLE}", rf"layers.\1.blocks.\2.attn.{TABLE}"),
        *(Rename(rf"{block}{old}\.(.*)", rf"layers.\1.blocks.\2.{new}.\3") for old, new in names.items()),
    )


OLD_SWIN = _swin(
    r"attention\.self\.",
    OLD,
    r"attention\.output\.dense",
    r"attention\.self\.",
    r"intermediate\.dense",
    r"output\.dense",
)
NEW_SWIN = _swin(
    r"attention\.", NEW, r"attention\.o_proj", r"attention\.relative_position_bias\.", r"mlp\.fc1", r"mlp\.fc2"
)

_UNIT = r"(layer\d\.\d+)\."
RESNET: tuple[Rule, ...] = (
    Rename(r"embedder\.embedder\.convolution\.(.*)", r"conv1.\1"),
    Rename(r"embedder\.embedder\.normalization\.(.*)", r"bn1.\1"),
    *(Rename(rf"encoder\.stages\.{stage}\.layers\.(\d+)\.(.*)", rf"layer{stage + 1}.\1.\2") for stage in range(4)),
    *(Rename(rf"{_UNIT}layer\.{k}\.convolution\.(.*)", rf"\1.conv{k + 1}.\2") for k in range(3)),
    *(Rename(rf"{_UNIT}layer\.{k}\.normalization\.(.*)", rf"\1.bn{k + 1}.\2") for k in range(3)),
    Rename(_UNIT + r"shortcut\.convolution\.(.*)", r"\1.downsample.0.\2"),
    Rename(_UNIT + r"shortcut\.normalization\.(.*)", r"\1.downsample.1.\2"),
)

_STAGE = r"encoder\.stages\.(\d+)\."
_STAGE_BLOCK = _STAGE + r"layers\.(\d+)\."
_CONVNEXT_PARTS = {
    "dwconv": "conv_dw",
    "layernorm": "norm",
    "pwconv1": "mlp.fc1",
    "pwconv2": "mlp.fc2",
    "grn": "mlp.grn",
}
CONVNEXT: tuple[Rule, ...] = (
    Drop(r"layernorm\..*", POOLED_NORM),
    Rename(r"embeddings\.patch_embeddings\.(.*)", r"stem.0.\1"),
    Rename(r"embeddings\.layernorm\.(.*)", r"stem.1.\1"),
    Rename(_STAGE + r"downsampling_layer\.(.*)", r"stages.\1.downsample.\2"),
    *(
        Rename(rf"{_STAGE_BLOCK}{theirs}\.(.*)", rf"stages.\1.blocks.\2.{ours}.\3")
        for theirs, ours in _CONVNEXT_PARTS.items()
    ),
    Rename(_STAGE_BLOCK + "layer_scale_parameter", r"stages.\1.blocks.\2.gamma"),
    Reshape(r".*\.mlp\.grn\.(weight|bias)", (-1,)),
)
