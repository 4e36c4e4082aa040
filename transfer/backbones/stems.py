"""How images become patch tokens where one convolution is not all."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from timm.layers import PatchEmbed
from torch import Tensor, nn


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
        """`(B, 3, H, W)` → `(B, H/16, W/16, C)`."""
        x: Tensor = self.proj(images)
        return x.permute(0, 2, 3, 1)
