"""The ResNets of google-research/simclr, and the names of their tensors in TensorFlow 1 and 2."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from transfer.checkpoints.keys.rules import Rename, Rule
from transfer.checkpoints.keys.variables import (
    CONVOLUTION,
    COUNTERS,
    NORM,
    count_created,
    created,
    kernels,
    layer_variables,
)
from transfer.checkpoints.keys.weights import KeyMapping

DEPTHS: tuple[tuple[str, tuple[int, ...]], ...] = (
    ("basic", (2, 2, 2, 2)),
    ("basic", (3, 4, 6, 3)),
    ("bottleneck", (3, 4, 6, 3)),
    ("bottleneck", (3, 4, 23, 3)),
    ("bottleneck", (3, 8, 36, 3)),
    ("bottleneck", (3, 24, 36, 3)),
)
"""ResNet-18, 34, 50, 101, 152, 200: kind of block and blocks of a group."""

CONVOLUTIONS = {"basic": 2, "bottleneck": 3}
LISTS = {"basic": ("conv2d_bn_layers", 2), "bottleneck": ("conv_relu_dropblock_layers", 3)}
"""Kind of block → its list of layers, and how many (convolution, norm, drop-block) belong to one convolution."""

VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"
"""The end that TensorFlow 2 gives to a variable's path through the objects."""


def ordered_network(names: Iterable[str]) -> tuple[str, tuple[int, ...]]:
    """Return block and depths of the smallest network with as many layers as TensorFlow 1 has numbered."""
    names = list(names)
    found = max(count_created("conv2d", names), count_created("batch_normalization", names))
    fitting = (network for network in DEPTHS if len(_places(*network)) >= found)
    return next(fitting, DEPTHS[-1])


def ordered_key_mapping(block: str, depths: Sequence[int]) -> KeyMapping:
    """Return the mapping from layers in the order of creation to canonical names."""
    places = _places(block, depths)
    norms = [place.replace("conv", "bn").replace("downsample.0", "downsample.1") for place in places]
    rules = (
        kernels(r".*/kernel"),
        *layer_variables("conv2d", CONVOLUTION),
        *layer_variables("batch_normalization", NORM),
        *created("conv2d", places),
        *created("batch_normalization", norms),
    )
    return KeyMapping("resnet", rules, COUNTERS)


def _places(block: str, depths: Sequence[int]) -> list[str]:
    """Return canonical names of the convolutions in the order of creation: shortcuts come first in a group."""
    places = ["conv1"]
    for layer, unit in ((layer, unit) for layer, depth in enumerate(depths, 1) for unit in range(depth)):
        places += [] if unit else [f"layer{layer}.0.downsample.0"]
        places += [f"layer{layer}.{unit}.conv{number}" for number in range(1, CONVOLUTIONS[block] + 1)]
    return places


def object_network(names: Iterable[str]) -> tuple[str, tuple[int, ...]]:
    """Return block and depths of the smallest network that has all blocks which TensorFlow 2's names count."""
    names = list(names)
    kind = "basic" if any(f"/{LISTS['basic'][0]}/" in name for name in names) else "bottleneck"
    numbers = [(int(n[1]), int(n[2])) for name in names if (n := re.match(r"block_groups/(\d)/layers/(\d+)/", name))]
    fitting = (
        (block, depths) for block, depths in DEPTHS if block == kind and all(u < depths[g] for g, u in numbers if g < 4)
    )
    return next(fitting, DEPTHS[-1])


def object_key_mapping(block: str) -> KeyMapping:
    """Return the mapping from paths through the objects of a network to canonical names."""
    rules = (
        Rename(rf"(.*){re.escape(VALUE)}", r"\1"),
        kernels(r".*/kernel"),
        *layer_variables("/conv2d", CONVOLUTION),
        *layer_variables("/bn", NORM),
        Rename(r"initial_conv_relu_max_pool/0/conv2d\.(.*)", r"conv1.\1"),
        Rename(r"initial_conv_relu_max_pool/2/bn\.(.*)", r"bn1.\1"),
        *(rule for group in range(4) for rule in _group_rules(group, block)),
    )
    return KeyMapping("resnet", rules, COUNTERS)


def _group_rules(group: int, block: str) -> list[Rule]:
    found, place = rf"block_groups/{group}/layers/(\d+)", rf"layer{group + 1}.\1"
    layers, step = LISTS[block]
    shortcut = "shortcut_layers" if block == "basic" else "projection_layers"
    rules: list[Rule] = [
        Rename(rf"{found}/{shortcut}/0/conv2d\.(.*)", rf"{place}.downsample.0.\2"),
        Rename(rf"{found}/{shortcut}/1/bn\.(.*)", rf"{place}.downsample.1.\2"),
    ]
    for number in range(CONVOLUTIONS[block]):
        at = step * number
        rules.append(Rename(rf"{found}/{layers}/{at}/conv2d\.(.*)", rf"{place}.conv{number + 1}.\2"))
        rules.append(Rename(rf"{found}/{layers}/{at + 1}/bn\.(.*)", rf"{place}.bn{number + 1}.\2"))
    return rules
