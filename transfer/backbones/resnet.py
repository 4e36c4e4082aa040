"""Residual networks: ResNet, ResNeXt, wide ResNet, ResNet-D, those of Caffe, TensorFlow, CLIP and for small images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from timm.models.resnet import BasicBlock, Bottleneck, ResNet
from torch import Tensor, nn

from transfer.backbones.kind import Kind, Level, choice
from transfer.backbones.layers import pad_as_tensorflow, set_eps
from transfer.backbones.resnet_variants import (
    LEVELS,
    PADDINGS,
    STRIDES_IN,
    average_instead_of_striding,
    end_with_strides,
    pool_as_tensorflow,
    project_first_block,
    set_stem,
    stride_in_first_convolution,
)
from transfer.errors import UnsupportedNetwork

BLOCKS = {"basic": BasicBlock, "bottleneck": Bottleneck}
STEMS = ("", "deep", "deep_tiered", "cifar")
STANDARD_WIDTHS = (64, 128, 256, 512)


def build_resnet(options: Mapping[str, Any], output_stride: int = 32) -> nn.Module:
    """Build a timm ResNet without classifier; `output_stride` 8 or 16 trades the last strides for dilation.

    Options that shapes show: `block` (basic, bottleneck), `depths`, `widths`, `groups`, `base_width`,
    `stem` ("" 7x7, deep, deep_tiered, cifar: 3x3 of stride 1 without pooling), `stem_width` (channels of the stem, of
    its first convolutions where it is deep), `avg_down`, `projection` (layer1.0 of basic blocks has a shortcut
    convolution, as in haiku and google-research/simclr).

    Options that leave no trace in shapes: `stride_in` (3x3: torchvision; 1x1: Caffe, MSRA; last_unit: TF-slim, whose
    blocks stride as they end), `levels` of such a network (after_stride: 8, 16, 32, 32; before_stride: 4, 8, 16, 32,
    which tensorflow/models calls non-strided activations and builds feature pyramids on), `padding` and `pool_padding`
    (symmetric, same: TensorFlow's), `stem_padding` of a cifar stem (1; solo-learn 2), `stem_activation` (whether one
    follows the first norm; not in lightly's sequences), `eps` of the norms, `antialias` (CLIP: average pools instead of
    strides, sides rounded down), `output_stride` of the source network (32; DeepLab 8).

    Raises UnsupportedNetwork for what cannot go together, UnknownName for values that do not exist.
    """
    if output_stride not in (8, 16, 32):
        raise UnsupportedNetwork(f"output stride {output_stride}: a ResNet has 8, 16 or 32.")
    small = choice(options, "stem", STEMS) == "cifar"
    network = _timm_resnet(options, output_stride=min(32, 4 * output_stride) if small else output_stride)
    if small or _stem_width(options) != 64:
        set_stem(network, small=small, padding=options.get("stem_padding", 1))
    _set_variant(network, options)
    return network  # type: ignore[no-any-return]


def _timm_resnet(options: Mapping[str, Any], output_stride: int) -> ResNet:
    single = options.get("stem", "") in ("", "cifar")
    # only timm's deep stems have a width: a single convolution of another width is exchanged for one of them
    standard = single and _stem_width(options) == 64
    return ResNet(
        BLOCKS[options["block"]],
        tuple(options["depths"]),
        num_classes=0,
        global_pool="",
        output_stride=output_stride,
        cardinality=options.get("groups", 1),
        base_width=options.get("base_width", 64),
        stem_width=_stem_width(options) // 2 if single else options.get("stem_width", 64),
        stem_type="" if standard else "deep" if single else options["stem"],
        avg_down=options.get("avg_down", False),
        aa_layer=nn.AvgPool2d if options.get("antialias") else None,
        channels=tuple(options.get("widths", STANDARD_WIDTHS)),
    )


def _stem_width(options: Mapping[str, Any]) -> int:
    """Return the channels of a stem of one convolution; 64 for deep ones, which timm builds itself."""
    return int(options.get("stem_width", 64)) if options.get("stem", "") in ("", "cifar") else 64


def _set_variant(network: ResNet, options: Mapping[str, Any]) -> None:
    stride_in = choice(options, "stride_in", STRIDES_IN)
    if stride_in != "3x3" and (options["block"] == "basic" or options.get("antialias") or options.get("avg_down")):
        raise UnsupportedNetwork(
            f"stride_in {stride_in}: only bottleneck blocks without average pooling have it; leave the option out."
        )
    if stride_in == "1x1":
        stride_in_first_convolution(network)
    elif stride_in == "last_unit":
        end_with_strides(network, choice(options, "levels", LEVELS))
    if options.get("projection"):
        project_first_block(network)
    if options.get("antialias"):
        average_instead_of_striding(network)
    if choice(options, "padding", PADDINGS) == "same":
        pad_as_tensorflow(network)
    if choice(options, "pool_padding", PADDINGS) == "same":
        pool_as_tensorflow(network)
    if "eps" in options:
        set_eps(network, options["eps"])
    if not options.get("stem_activation", True):
        network.act1 = nn.Identity()


def _levels(network: nn.Module) -> tuple[Level, ...]:
    features: Any = network.feature_info
    return tuple(Level(info["reduction"], info["num_chs"]) for info in features[1:])


def _maps(network: nn.Module, images: Tensor) -> list[Tensor]:
    maps, x = [], images
    for stage, modules in enumerate(_stages(network)):
        for module in modules:
            x = module(x)
        if stage:
            maps.append(x)
    return maps


def _stages(network: nn.Module) -> list[list[nn.Module]]:
    stem = ("conv1", "bn1", "act1", "maxpool")
    stages = (stem, ("layer1",), ("layer2",), ("layer3",), ("layer4",))
    return [[network.get_submodule(name) for name in names] for names in stages]


RESNET = Kind("resnet", build_resnet, _levels, _maps, _stages, dilates=True)
