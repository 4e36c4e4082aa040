"""The plainest segmenter: what a backbone's last map knows without another layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.registry import MODELS
from torch import Tensor, nn


@MODELS.register_module()
class LinearHead(BaseDecodeHead):
    """Class scores by a 1x1 convolution on normalised features (Oquab et al., DINOv2, 2023).

    `(B, in_channels, H, W)`, the last of the levels → `(B, num_classes, H, W)`. The batch normalisation makes backbones
    of all feature magnitudes learn at one rate; after training it is part of the linear map.
    """

    def __init__(self, in_channels: int, **kwargs: Any) -> None:
        super().__init__(in_channels=in_channels, channels=in_channels, dropout_ratio=0.0, **kwargs)
        self.norm = nn.BatchNorm2d(in_channels)

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Scores of the last level's cells."""
        return self.cls_seg(self.norm(self._transform_inputs(inputs)))
