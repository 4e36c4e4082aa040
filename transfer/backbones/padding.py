"""TensorFlow's SAME padding: as many zeros as the stride needs, the odd one at the end.

It equals symmetric padding where a convolution has stride 1 or the side is odd; at stride 2 and even sides it sees
another grid of pixels, which moves the features of a whole network by tens of percent.
"""

from __future__ import annotations

from timm.layers import Conv2dSame
from torch import nn


def pad_as_tensorflow(network: nn.Module) -> None:
    """Give every strided convolution of `network` SAME padding, in place: parameters and names stay."""
    for module in network.modules():
        if type(module) is nn.Conv2d and module.stride != (1, 1):
            module.__class__ = Conv2dSame
