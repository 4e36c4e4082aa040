"""Feature pyramids for backbones that have only one resolution."""

from __future__ import annotations

from mmengine.model import BaseModule
from mmengine.registry import MODELS
from timm.layers import LayerNorm2d
from torch import Tensor, nn

MODELS.register_module("LN2d", module=LayerNorm2d)
"""ViTDet's norm of its heads' convolutions, over the channels of each cell, by the name that configs call it."""


@MODELS.register_module()
class SimpleFeaturePyramid(BaseModule):
    """Strides 4 to 32 from one map by (de)convolution (Li et al., ViTDet, ECCV 2022, section 3).

    That map is the last of a plain ViT, or of a backbone for small images.

    `(B, in_channels, H/stride, W/stride)` → `num_outs` (at least 4) maps of `out_channels`; those beyond the fourth
    subsample the one before. H and W are multiples of `stride` and of 32.
    """

    STRIDES = (4, 8, 16, 32)

    def __init__(self, in_channels: int, out_channels: int, stride: int, num_outs: int = 5) -> None:
        super().__init__()
        self.extra = num_outs - len(self.STRIDES)
        self.branches = nn.ModuleList(_branch(in_channels, out_channels, stride / target) for target in self.STRIDES)

    def forward(self, levels: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Use the last of `levels`."""
        maps = [branch(levels[-1]) for branch in self.branches]
        for _ in range(self.extra):
            maps.append(maps[-1][:, :, ::2, ::2])
        return tuple(maps)


def _branch(channels: int, out_channels: int, scale: float) -> nn.Sequential:
    resize, channels = _resize(channels, scale)
    return nn.Sequential(
        *resize,
        nn.Conv2d(channels, out_channels, 1, bias=False),
        LayerNorm2d(out_channels),
        nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False),
        LayerNorm2d(out_channels),
    )


def _resize(channels: int, scale: float) -> tuple[list[nn.Module], int]:
    """Layers that make a map `scale` times as large, and the channels they leave.

    Powers of two as in the paper; what is left of a patch side such as 14 is interpolated, so that a level has the
    stride that anchors and RoI heads believe.
    """
    layers: list[nn.Module] = []
    while scale >= 2:
        between = [LayerNorm2d(channels), nn.GELU()] if layers else []
        layers += [*between, nn.ConvTranspose2d(channels, channels // 2, 2, 2)]
        channels, scale = channels // 2, scale / 2
    while scale <= 0.5:
        layers.append(nn.MaxPool2d(2, 2))
        scale *= 2
    if scale != 1:
        layers.append(nn.Upsample(scale_factor=scale, mode="bilinear"))
    return layers, channels
