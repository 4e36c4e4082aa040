"""A kind of network: how it is built, read out and cut into stages."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from transfer.errors import UnknownName


@dataclass(frozen=True)
class Level:
    """A feature map's place in the pyramid: one cell covers `stride` pixels and has `channels` values."""

    stride: int
    channels: int


@dataclass(frozen=True)
class Kind:
    """Functions of one kind of network.

    `build(options, output_stride)` makes the backbone; `levels(network)` names its feature levels; `maps(network,
    images)` computes them, `(B, C, H/stride, W/stride)` each; `stages(network)` cuts it into stem, stage 1, stage 2,
    ... in the order of the forward pass, one stage for each level. `dilates` says whether an output stride of 8 or 16
    trades strides for dilation; `after_levels` names the modules that work on the last level only in
    `forward_features`.
    """

    name: str
    build: Callable[[Mapping[str, Any], int], nn.Module]
    levels: Callable[[nn.Module], tuple[Level, ...]]
    maps: Callable[[nn.Module, Tensor], list[Tensor]]
    stages: Callable[[nn.Module], list[list[nn.Module]]]
    dilates: bool = False
    after_levels: tuple[str, ...] = ()


def choice(options: Mapping[str, Any], option: str, known: Sequence[str]) -> str:
    """Return the value of `option`, the first of `known` where it is not given. Raises UnknownName for another."""
    value = options.get(option, known[0])
    if value not in known:
        raise UnknownName.among(option.replace("_", " "), value, known)
    return str(value)
