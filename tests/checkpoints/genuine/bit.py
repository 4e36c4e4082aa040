from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial

import torch
from timm.layers import StdConv2d
from timm.models.resnetv2 import ResNetV2
from torch import Tensor

from tests.checkpoints.genuine.files import Genuine, State, randomised, timm_levels

PARTS = {"1": "a", "2": "b", "3": "c"}


def googles_name(name: str) -> str:
    """timm's names as google-research/big_transfer has them."""
    name = name.replace("stem.conv.weight", "root_block/standardized_conv2d/kernel")
    name = re.sub(r"stages\.(\d)\.blocks\.(\d+)\.", lambda m: f"block{int(m[1]) + 1}/unit{int(m[2]) + 1:02d}/", name)
    name = name.replace("downsample.conv.weight", "a/proj/standardized_conv2d/kernel")
    name = re.sub(r"conv(\d)\.weight", lambda m: f"{PARTS[m[1]]}/standardized_conv2d/kernel", name)
    name = re.sub(r"norm(\d)\.", lambda m: f"{PARTS[m[1]]}/group_norm/", name)
    name = re.sub(r"^norm\.", "group_norm/", name)
    name = re.sub(r"group_norm/weight", "group_norm/gamma", re.sub(r"group_norm/bias", "group_norm/beta", name))
    return "resnet/" + name


def bit_tree(state: State) -> State:
    def kernel(tensor: Tensor) -> Tensor:
        return tensor.permute(2, 3, 1, 0).contiguous() if tensor.ndim == 4 else tensor

    tree = {googles_name(name): kernel(tensor) for name, tensor in state.items()}
    return tree | {"resnet/head/conv2d/kernel": torch.randn(1, 1, 256, 7), "resnet/head/conv2d/bias": torch.randn(7)}


def small_bit() -> Genuine:
    network = ResNetV2(
        [1, 2, 1, 1],
        (128, 128, 256, 256),
        num_classes=0,
        stem_chs=32,
        stem_type="fixed",
        conv_layer=partial(StdConv2d, eps=1e-10),
    )
    randomised(network)
    for parameter in network.parameters():
        parameter.data *= 1e-3 if parameter.ndim == 4 else 1  # so small that the variance's epsilon counts
    tree = bit_tree(network.state_dict())
    return Genuine(tree, "bit", timm_levels(network), network.forward_features, suffix=".npz")


LAYOUTS: dict[str, Callable[[], Genuine]] = {"bit: npz": small_bit}
