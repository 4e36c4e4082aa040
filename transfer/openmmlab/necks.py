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

    `(B, in_channels, H/stride, W/stride)` → `num_outs` maps of `out_channels`, the first of stride 4 · 2^`start_level`,
    each of half the resolution of the one before. Those beyond stride 32 subsample the one before, or are 3x3
    convolutions of it with `add_extra_convs` (after ReLU with `relu_before_extra_convs`), as in mmdet's FPN. H and W
    are multiples of `stride` and of 32.
    """

    STRIDES = (4, 8, 16, 32)

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int,
        num_outs: int = 5,
        start_level: int = 0,
        add_extra_convs: bool | str = False,
        relu_before_extra_convs: bool = False,
    ) -> None:
        super().__init__()
        strides = self.STRIDES[start_level:]
        self.extra = num_outs - len(strides)
        self.relu = relu_before_extra_convs
        self.branches = nn.ModuleList(_branch(in_channels, out_channels, stride / target) for target in strides)
        if add_extra_convs:
            self.convs = nn.ModuleList(
                nn.Conv2d(out_channels, out_channels, 3, stride=2, padding=1) for _ in range(self.extra)
            )

    def forward(self, levels: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Use the last of `levels`."""
        maps = [branch(levels[-1]) for branch in self.branches]
        for level in range(self.extra):
            maps.append(self._coarser(maps[-1], level))
        return tuple(maps)

    def _coarser(self, finer: Tensor, level: int) -> Tensor:
        if not hasattr(self, "convs"):
            return finer[:, :, ::2, ::2]
        return self.convs[level](finer.relu() if self.relu and level else finer)


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
