"""Names of transformers' ResNet and ConvNeXt."""

from __future__ import annotations

from transfer.checkpoints.keys.layouts import POOLED_NORM
from transfer.checkpoints.keys.rules import Drop, Rename, Reshape, Rule

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
_BLOCK = _STAGE + r"layers\.(\d+)\."
_PARTS = {"dwconv": "conv_dw", "layernorm": "norm", "pwconv1": "mlp.fc1", "pwconv2": "mlp.fc2", "grn": "mlp.grn"}
CONVNEXT: tuple[Rule, ...] = (
    Drop(r"layernorm\..*", POOLED_NORM),
    Rename(r"embeddings\.patch_embeddings\.(.*)", r"stem.0.\1"),
    Rename(r"embeddings\.layernorm\.(.*)", r"stem.1.\1"),
    Rename(_STAGE + r"downsampling_layer\.(.*)", r"stages.\1.downsample.\2"),
    *(Rename(rf"{_BLOCK}{theirs}\.(.*)", rf"stages.\1.blocks.\2.{ours}.\3") for theirs, ours in _PARTS.items()),
    Rename(_BLOCK + "layer_scale_parameter", r"stages.\1.blocks.\2.gamma"),
    Reshape(r".*\.mlp\.grn\.(weight|bias)", (-1,)),
)
