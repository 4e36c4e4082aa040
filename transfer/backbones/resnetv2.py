"""Pre-activation residual networks: BiT, and those of timm and TF-slim with batch normalisation."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from timm.layers import BatchNormAct2d, GroupNormAct, StdConv2d, create_conv2d
from timm.models.resnetv2 import ResNetV2
from torch import Tensor, nn

from transfer.backbones.kind import Kind, Level, choice
from transfer.backbones.resnet_variants import LEVELS, shift_reductions, subsample
from transfer.errors import UnsupportedNetwork

NORMS = ("group", "batch")
BLOCKS = ("bottleneck", "basic")
STEMS = ("", "deep", "tiered")
POOL_PADDINGS = {"symmetric": "", "zeros": "fixed", "same": "same"}
STRIDES_IN = ("3x3", "last_unit")
STANDARD_WIDTHS = (256, 512, 1024, 2048)


def build_resnetv2(options: Mapping[str, Any], output_stride: int = 32) -> nn.Module:
    """Build a timm ResNetV2 without classifier; `output_stride` 8 or 16 trades the last strides for dilation.

    Options that shapes show: `block` (bottleneck, basic), `depths`, `widths` (channels that a stage returns),
    `stem` ("" 7x7, deep, tiered), `stem_width`, `avg_down`, `norm` (group: 32 groups; batch), `bias` (convolutions
    that no norm follows have one, as in TF-slim).

    Options that leave no trace: `weight_standardised` (kernels of zero mean and unit variance, Qiao et al.,
    arXiv:1903.10520; BiT) and the number `weight_eps` added to their variance (1e-10 in google-research/big_transfer,
    1e-8 in timm), `eps` of the norms, `pool_padding` (symmetric; zeros: BiT; same: TensorFlow), `stride_in`
    (3x3; last_unit: TF-slim, whose blocks stride as they end) and its `levels` (after_stride, before_stride: see
    `build_resnet`).

    The last level is the last stage's output; the final norm and activation follow in `forward_features`.
    """
    if output_stride not in (8, 16, 32):
        raise UnsupportedNetwork(f"output stride {output_stride}: a ResNetV2 has 8, 16 or 32.")
    stem, pool = choice(options, "stem", STEMS), choice(options, "pool_padding", tuple(POOL_PADDINGS))
    if stem == "tiered" and pool != "symmetric":
        raise UnsupportedNetwork(f"pool_padding {pool}: a tiered stem pools symmetrically; leave the option out.")
    network = ResNetV2(
        list(options["depths"]),
        channels=tuple(options.get("widths", STANDARD_WIDTHS)),
        num_classes=0,
        global_pool="",
        output_stride=output_stride,
        stem_chs=options.get("stem_width", 64),
        stem_type="_".join(part for part in (stem, POOL_PADDINGS[pool]) if part),
        avg_down=options.get("avg_down", False),
        basic=choice(options, "block", BLOCKS) == "basic",
        bottle_ratio=1.0 if options.get("block") == "basic" else 0.25,
        norm_layer=_norm(options),
        conv_layer=_convolution(options),
    )
    if options.get("bias"):
        _add_biases(network)
    if choice(options, "stride_in", STRIDES_IN) == "last_unit":
        _end_with_strides(network, options)
    return network  # type: ignore[no-any-return]


def _norm(options: Mapping[str, Any]) -> Any:
    if choice(options, "norm", NORMS) == "batch":
        return partial(BatchNormAct2d, eps=options.get("eps", 1e-5))
    return partial(GroupNormAct, num_groups=32, eps=options.get("eps", 1e-5))


def _convolution(options: Mapping[str, Any]) -> Any:
    if options.get("weight_standardised", False):
        return partial(StdConv2d, eps=options.get("weight_eps", 1e-8))
    return create_conv2d


def _blocks(network: Any) -> list[Any]:
    return [block for stage in network.stages for block in stage.blocks]


def _add_biases(network: Any) -> None:
    """Add a bias to convolutions that no batch normalisation follows, as TF-slim does."""
    shortcuts = [block.downsample.conv for block in _blocks(network) if block.downsample is not None]
    for convolution in (network.stem.conv, *(block.conv3 for block in _blocks(network)), *shortcuts):
        convolution.bias = nn.Parameter(convolution.weight.new_zeros(convolution.out_channels))


def _end_with_strides(network: Any, options: Mapping[str, Any]) -> None:
    """Stride at the end of blocks 1 to 3: see `resnet_variants.end_with_strides`."""
    if options.get("block") == "basic" or options.get("avg_down"):
        raise UnsupportedNetwork(
            "stride_in last_unit: only bottleneck blocks without average pooling have it; leave the option out."
        )
    levels = choice(options, "levels", LEVELS)
    for number, (stage, following) in enumerate(zip(network.stages, network.stages[1:], strict=False), 1):
        first = following.get_submodule("blocks.0")
        subsample(stage.blocks, following.blocks, first.conv2.stride, levels)
        first.conv2.stride = first.downsample.conv.stride = (1, 1)
        dilation = 4 * 2**number // network.feature_info[number + 1]["reduction"]
        first.conv2.dilation = first.conv2.padding = (dilation, dilation)
    shift_reductions(network.feature_info, levels)


def _levels(network: Any) -> tuple[Level, ...]:
    return tuple(Level(info["reduction"], info["num_chs"]) for info in network.feature_info[1:])


def _maps(network: Any, images: Tensor) -> list[Tensor]:
    maps, x = [], network.stem(images)
    for stage in network.stages:
        x = stage(x)
        maps.append(x)
    return maps


def _stages(network: Any) -> list[list[nn.Module]]:
    *stages, last = ([stage] for stage in network.stages)
    return [[network.stem], *stages, [*last, network.norm]]


RESNETV2 = Kind("resnetv2", build_resnetv2, _levels, _maps, _stages, dilates=True, after_levels=("norm",))
