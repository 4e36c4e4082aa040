"""DeepLab-ASPP-L: atrous spatial pyramid pooling whose branches are the classifiers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.registry import MODELS
from torch import Tensor, nn

RATES = (6, 12, 18, 24)
"""Of the large variant (Chen et al., DeepLab, TPAMI 2018), in cells of the last map."""


@MODELS.register_module()
class DeepLabASPPLHead(BaseDecodeHead):
    """Class scores by parallel 3x3 atrous convolutions, one for each rate, summed (Sun et al., ICCV 2017, section 5.3).

    `(B, in_channels, H, W)`, the last of the levels → `(B, num_classes, H, W)`. There is no hidden layer, norm or
    dropout: weights are drawn with deviation 0.01 and biases are zero, as DeepLab's last layers are.
    """

    def __init__(self, dilations: Sequence[int] = RATES, **kwargs: Any) -> None:
        initial = {"type": "Normal", "layer": "Conv2d", "std": 0.01}
        super().__init__(channels=1, dropout_ratio=0.0, init_cfg=initial, **kwargs)
        del self.conv_seg  # mmseg's classifier of hidden features: distributed training would wait for its gradient
        self.branches = nn.ModuleList(
            nn.Conv2d(self.in_channels, self.out_channels, 3, padding=rate, dilation=rate) for rate in dilations
        )

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Scores of the last level's cells."""
        features = self._transform_inputs(inputs)
        first, *others = (branch(features) for branch in self.branches)
        return sum(others, first)
