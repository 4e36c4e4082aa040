"""Wide residual networks for small images (Zagoruyko & Komodakis, BMVC 2016), as semi-supervised learning uses them.

timm has none: canonical names are those of the PyTorch ports (`conv1`, `block1.layer.0.bn1`, ..., `bn1`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from transfer.backbones.kind import Kind, Level, choice
from transfer.backbones.layers import pad_as_tensorflow, set_eps
from transfer.errors import UnsupportedNetwork

BIASES = ("none", "stem", "all")
PADDINGS = ("symmetric", "same")
TRANSITIONS = ("both", "residual", "none")
SLOPE = 0.1
STRIDES = (1, 2, 2)
STEM_WIDTH = 16


class Unit(nn.Module):
    """Two times norm, activation and 3x3 convolution; a 1x1 shortcut where the width changes.

    `activate_residual` and `activate_shortcut` say which branch gets the activated input: the norm exists anyway.
    """

    def __init__(
        self, inputs: int, outputs: int, *, stride: int = 1, activate_residual: bool = True, activate_shortcut: bool
    ) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.convShortcut = None if inputs == outputs else nn.Conv2d(inputs, outputs, 1, stride=stride)
        self.activation = nn.LeakyReLU(SLOPE)
        self.activate_residual = activate_residual
        self.activate_shortcut = activate_shortcut
        # distributed training waits for every gradient
        self.bn1.requires_grad_(activate_residual or activate_shortcut)

    def forward(self, x: Tensor) -> Tensor:
        """Return `(B, outputs, H/stride, W/stride)` of `(B, inputs, H, W)`."""
        active = self.activation(self.bn1(x))
        shortcut = active if self.activate_shortcut else x
        residual = self.conv1(active if self.activate_residual else x)
        residual = self.conv2(self.activation(self.bn2(residual)))
        shortcut = shortcut if self.convShortcut is None else self.convShortcut(shortcut)
        return residual + shortcut  # type: ignore[no-any-return]


class Block(nn.Module):
    """Units of one width; the first one strides."""

    def __init__(self, *units: Unit) -> None:
        super().__init__()
        self.layer = nn.Sequential(*units)

    def forward(self, x: Tensor) -> Tensor:
        """Return `(B, outputs, H/stride, W/stride)` of `(B, inputs, H, W)`."""
        return self.layer(x)  # type: ignore[no-any-return]


class WideResNet(nn.Module):
    """The backbone: stem, three blocks, final norm."""

    def __init__(self, *blocks: Block, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, STEM_WIDTH, 3, padding=1)
        self.block1, self.block2, self.block3 = blocks
        self.bn1 = nn.BatchNorm2d(width)
        self.activation = nn.LeakyReLU(SLOPE)

    def forward_features(self, images: Tensor) -> Tensor:
        """Return `(B, C, H/4, W/4)` of images `(B, 3, H, W)`, normed and activated: what the classifier averages."""
        x = self.block3(self.block2(self.block1(self.conv1(images))))
        return self.activation(self.bn1(x))  # type: ignore[no-any-return]


def build_wide_resnet(options: Mapping[str, Any], output_stride: int = 32) -> nn.Module:
    """Build a wide ResNet without classifier for images of about 32 pixels: levels have strides 1, 2 and 4.

    Options that shapes show: `units` of a block (WRN-28: 4), `widths` of the three blocks (WRN-28-2: 32, 64, 128),
    `bias` of the convolutions (none: kekmodel; stem; all: ReMixMatch, FixMatch, TorchSSL).

    Options that leave no trace: `eps` of the norms in units (1e-5) and `final_eps` of the last one (like `eps`),
    `padding` (symmetric; same: TensorFlow's), `transition`, the branches of the first unit of blocks 2 and 3 that get
    the activated input (both: the paper; residual: ReMixMatch and FixMatch; none: kekmodel, USB,
    TorchSSL). In block 1 both do. Leaky activations have slope 0.1.

    Raises UnsupportedNetwork for an output stride below 4.
    """
    if output_stride < STRIDES[1] * STRIDES[2]:
        raise UnsupportedNetwork(
            f"output stride {output_stride}: a wide ResNet for small images has 4; leave the option out."
        )
    transition = choice(options, "transition", TRANSITIONS)
    inputs, blocks = STEM_WIDTH, []
    for number, (width, stride) in enumerate(zip(options["widths"], STRIDES, strict=True), 1):
        blocks.append(_block(inputs, width, stride, options["units"], "both" if number == 1 else transition))
        inputs = width
    network = WideResNet(*blocks, width=inputs)
    _set_biases(network, choice(options, "bias", BIASES))
    set_eps(network, options.get("eps", 1e-5))
    network.bn1.eps = options.get("final_eps", network.bn1.eps)
    if choice(options, "padding", PADDINGS) == "same":
        pad_as_tensorflow(network)
    return network


def _block(inputs: int, width: int, stride: int, units: int, transition: str) -> Block:
    first = Unit(
        inputs,
        width,
        stride=stride,
        activate_residual=transition != "none",
        activate_shortcut=transition == "both",
    )
    return Block(first, *(Unit(width, width, activate_shortcut=False) for _ in range(units - 1)))


def _set_biases(network: WideResNet, which: str) -> None:
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d) and which != "all" and (which == "none" or name != "conv1"):
            module.bias = None


def _levels(network: Any) -> tuple[Level, ...]:
    channels = [block.layer[-1].conv2.out_channels for block in (network.block1, network.block2, network.block3)]
    return tuple(Level(stride, width) for stride, width in zip((1, 2, 4), channels, strict=True))


def _maps(network: Any, images: Tensor) -> list[Tensor]:
    maps, x = [], network.conv1(images)
    for block in (network.block1, network.block2, network.block3):
        x = block(x)
        maps.append(x)
    return maps


def _stages(network: Any) -> list[list[nn.Module]]:
    return [[network.conv1], [network.block1], [network.block2], [network.block3, network.bn1]]


WIDE_RESNET = Kind("wide_resnet", build_wide_resnet, _levels, _maps, _stages, after_levels=("bn1",))
