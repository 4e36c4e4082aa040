"""CLIP's ResNets (Radford et al., ICML 2021): names below `visual.` in files of OpenAI and OpenCLIP."""

from __future__ import annotations

from collections.abc import Iterable

from transfer.checkpoints.keys.rules import Drop, Rename
from transfer.checkpoints.keys.weights import KeyMapping

OPTIONS = {"antialias": True}
"""Average pools stand in the place of strides: without it the same names are those of a ResNet-D."""

NAMING = KeyMapping(
    "resnet",
    (
        Drop(r"attnpool\..*", "attention pooling: not part of the backbone"),
        Rename(r"conv1\.(.*)", r"conv1.0.\1"),
        Rename(r"bn1\.(.*)", r"conv1.1.\1"),
        Rename(r"conv2\.(.*)", r"conv1.3.\1"),
        Rename(r"bn2\.(.*)", r"conv1.4.\1"),
        Rename(r"conv3\.(.*)", r"conv1.6.\1"),
        Rename(r"bn3\.(.*)", r"bn1.\1"),
        Rename(r"(layer\d\.\d+)\.downsample\.1\.(.*)", r"\1.downsample.2.\2"),
        Rename(r"(layer\d\.\d+)\.downsample\.0\.(.*)", r"\1.downsample.1.\2"),
    ),
)
"""The pool of a shortcut has the name -1 there and 0 in timm."""


def is_clip_resnet(names: Iterable[str]) -> bool:
    """Whether names (without `visual.`) are those of a ResNet with three stem convolutions side by side."""
    names = set(names)
    return any(name.startswith("layer4.") for name in names) and bool({"conv3.weight", "bn3.weight"} & names)
