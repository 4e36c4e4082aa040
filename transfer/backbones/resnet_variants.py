"""Change a timm ResNet into one that differs from torchvision's; its names stay.

Each function changes the network in place.
"""

from __future__ import annotations

from typing import Any

from timm.layers import create_pool2d
from timm.models.resnet import Bottleneck, ResNet
from torch import nn

from transfer.errors import UnsupportedNetwork

STRIDES_IN = ("3x3", "1x1", "last_unit")
PADDINGS = ("symmetric", "same")
LEVELS = ("after_stride", "before_stride")


def _layers(network: ResNet) -> list[Any]:
    return [network.layer1, network.layer2, network.layer3, network.layer4]


def set_stem(network: ResNet, *, small: bool, padding: int) -> None:
    """Make the stem one convolution of the network's width: 7x7, or 3x3 without stride and pooling."""
    width = network.bn1.num_features
    if not small:
        network.conv1 = nn.Conv2d(3, width, 7, stride=2, padding=3, bias=False)
        return
    network.conv1 = nn.Conv2d(3, width, 3, padding=padding, bias=False)
    network.maxpool = nn.Identity()
    for info in network.feature_info:
        info["reduction"] = max(1, info["reduction"] // 4)


def pool_as_tensorflow(network: ResNet) -> None:
    """Give the stem's max-pool SAME padding (TF-slim, SimCLR, BYOL).

    Raises UnsupportedNetwork where there is none.
    """
    if not isinstance(network.maxpool, nn.MaxPool2d):
        raise UnsupportedNetwork("pool_padding: this stem has no max-pool; leave the option out.")
    network.maxpool = create_pool2d("max", 3, stride=2, padding="same")


def project_first_block(network: ResNet) -> None:
    """Add a shortcut convolution to the very first block, whose input has its width already."""
    block: Any = network.layer1[0]
    if block.downsample is not None:
        raise UnsupportedNetwork("projection: layer1.0 of this network has one already; leave the option out.")
    width = network.bn1.num_features
    block.downsample = nn.Sequential(nn.Conv2d(width, width, 1, bias=False), nn.BatchNorm2d(width))


def stride_in_first_convolution(network: ResNet) -> None:
    """Stride in the 1x1 convolution of a stage's first block (He et al., CVPR 2016; Caffe, Detectron)."""
    for layer in _layers(network):
        layer[0].conv1.stride, layer[0].conv2.stride = layer[0].conv2.stride, (1, 1)
        _dilate_alike(layer)


def end_with_strides(network: ResNet, levels: str) -> None:
    """Stride at the end of blocks 1 to 3, as TF-slim does: its last unit strides in the 3x3 convolution.

    That equals subsampling the output of a last unit without stride. Where the output stride forbids a stride, the
    following blocks dilate. `levels` are taken after those strides, or before them.
    """
    for layer, following in zip(_layers(network), _layers(network)[1:], strict=False):
        stride, following[0].conv2.stride = following[0].conv2.stride, (1, 1)
        following[0].downsample[0].stride = (1, 1)
        subsample(layer, following, stride, levels)
        _dilate_alike(following)
    shift_reductions(network.feature_info, levels)


def subsample(stage: nn.Sequential, following: nn.Sequential, stride: tuple[int, int], levels: str) -> None:
    """Take every other row and column between two stages: at the end of one, or at the beginning of the next."""
    if levels == "after_stride":
        stage.append(nn.MaxPool2d(1, stride))
        return
    blocks = list(following.named_children())
    for name, _ in blocks:
        delattr(following, name)
    for name, block in [("subsample", nn.MaxPool2d(1, stride)), *blocks]:
        following.add_module(name, block)


def shift_reductions(features: list[dict[str, Any]], levels: str) -> None:
    """Give each map after the stride the size of its stage's successor; `features` begin with the stem."""
    reductions = [feature["reduction"] for feature in features[2:]]
    for feature, following in zip(features[1:], reductions if levels == "after_stride" else (), strict=False):
        feature["reduction"] = following


def _dilate_alike(layer: Any) -> None:
    """Dilate what comes after a removed stride; timm's first block strides behind its 3x3 convolution."""
    for block in (module for module in layer if isinstance(module, Bottleneck)):
        block.conv2.dilation = block.conv2.padding = (block.dilation, block.dilation)


def average_instead_of_striding(network: ResNet) -> None:
    """Let average pools leave odd rows and columns out, as CLIP's do, in a network built with `avg_down`."""
    for layer in _layers(network):
        pool = layer[0].downsample[0] if layer[0].downsample is not None else None
        if isinstance(pool, nn.AvgPool2d):
            pool.ceil_mode = False
