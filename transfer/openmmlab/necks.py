"""Feature pyramids for trunks that have only one resolution."""

from __future__ import annotations

import torch
from mmengine.model import BaseModule
from mmengine.registry import MODELS
from timm.layers import LayerNorm2d
from torch import nn


@MODELS.register_module()
class SimpleFeaturePyramid(BaseModule):
    """Strides 4 to 32 from a plain ViT's last map, by (de)convolution (Li et al., ViTDet, ECCV 2022, section 3).

    `(B, in_channels, H/stride, W/stride)` → `num_outs` maps of `out_channels`; a fifth is the coarsest, subsampled.
    """

    STRIDES = (4, 8, 16, 32)

    def __init__(self, in_channels: int, out_channels: int, stride: int, num_outs: int = 5) -> None:
        super().__init__()
        self.extra = num_outs - len(self.STRIDES)
        self.branches = nn.ModuleList(_branch(in_channels, out_channels, stride / target) for target in self.STRIDES)

    def forward(self, levels: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        """Use the last of `levels`."""
        maps = [branch(levels[-1]) for branch in self.branches]
        for _ in range(self.extra):
            maps.append(maps[-1][:, :, ::2, ::2])
        return tuple(maps)


def _branch(channels: int, out_channels: int, scale: float) -> nn.Sequential:
    resize: list[nn.Module] = []
    while scale >= 2:
        narrower = max(channels // 2, out_channels // 2)
        resize += [nn.ConvTranspose2d(channels, narrower, 2, 2), LayerNorm2d(narrower), nn.GELU()]
        channels, scale = narrower, scale / 2
    while scale <= 0.5:
        resize.append(nn.MaxPool2d(2, 2))
        scale *= 2
    return nn.Sequential(
        *resize,
        nn.Conv2d(channels, out_channels, 1, bias=False),
        LayerNorm2d(out_channels),
        nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False),
        LayerNorm2d(out_channels),
    )
