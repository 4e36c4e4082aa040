"""Layers and changes to layers that several kinds of network share."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from timm.layers import Conv2dSame, PatchEmbed
from torch import Tensor, nn


def set_eps(network: nn.Module, eps: float) -> None:
    """Set the number that every norm adds to the variance, in place: weights show no trace of it."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d | nn.GroupNorm | nn.LayerNorm):
            module.eps = eps


def pad_as_tensorflow(network: nn.Module) -> None:
    """Give every strided convolution of `network` SAME padding, in place: parameters and names stay.

    TensorFlow's SAME padding has as many zeros as the stride needs, and of an odd number the larger half at the end. It
    equals symmetric padding where a convolution has stride 1 or the side is odd; at stride 2 and even sides it sees
    another grid of pixels, which moves the features of a whole network by tens of percent.
    """
    for module in network.modules():
        if type(module) is nn.Conv2d and module.stride != (1, 1):
            module.__class__ = Conv2dSame


class ConvStem(PatchEmbed):  # type: ignore[misc]
    """Four 3x3 convolutions of stride 2, each normalised over the batch, then a 1x1 (Xiao et al., 2021; MoCo v3).

    In timm's place of the patch embedding: `proj.0` to `proj.12`.
    """

    def __init__(self, *, patch_size: int, in_chans: int, embed_dim: int, bias: bool = True, **options: Any) -> None:
        super().__init__(patch_size=patch_size, in_chans=in_chans, embed_dim=embed_dim, bias=bias, **options)
        widths = [in_chans, *(embed_dim // 8 * 2**layer for layer in range(4))]
        layers: list[nn.Module] = []
        for narrow, wide in pairwise(widths):
            convolution = nn.Conv2d(narrow, wide, kernel_size=3, stride=2, padding=1, bias=False)
            layers += [convolution, nn.BatchNorm2d(wide), nn.ReLU(inplace=True)]
        self.proj = nn.Sequential(*layers, nn.Conv2d(widths[-1], embed_dim, kernel_size=1, bias=bias))

    def forward(self, images: Tensor) -> Tensor:
        """Return `(B, H/16, W/16, C)` of images `(B, 3, H, W)`."""
        x: Tensor = self.proj(images)
        return x.permute(0, 2, 3, 1)
