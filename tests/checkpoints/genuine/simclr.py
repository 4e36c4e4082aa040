from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from torchvision.models.resnet import Bottleneck

from tests.checkpoints.genuine.files import (
    Genuine,
    State,
    genuine_resnet,
    heads,
    norms,
    prefixed,
    small_resnet,
    wide_resnet,
    without,
)

SEPARIUS = (
    (r"^conv1\.", "net.0.0."),
    (r"^bn1\.", "net.0.1.0."),
    (r"^layer(\d)\.(\d)\.", r"net.\1.blocks.\2."),
    (r"(blocks\.\d)\.conv1\.", r"\1.net.0."),
    (r"(blocks\.\d)\.conv2\.", r"\1.net.2."),
    (r"(blocks\.\d)\.conv3\.", r"\1.net.4."),
    (r"(blocks\.\d)\.bn1\.", r"\1.net.1.0."),
    (r"(blocks\.\d)\.bn2\.", r"\1.net.3.0."),
    (r"(blocks\.\d)\.bn3\.", r"\1.net.5.0."),
    (r"downsample\.0\.", "projection.shortcut."),
    (r"downsample\.1\.", "projection.bn.0."),
)


def renamed(state: State, pairs: Any) -> State:
    def name(old: str) -> str:
        for pattern, replacement in pairs:
            old = re.sub(pattern, replacement, old)
        return old

    return {name(old): tensor for old, tensor in state.items()}


def numbered(state: State, first: int = 4) -> State:
    """Names of `nn.Sequential(*resnet.children())`."""
    stages = [(rf"^layer{stage + 1}\.", f"{first + stage}.") for stage in range(4)]
    return renamed(state, [(r"^conv1\.", "0."), (r"^bn1\.", "1."), *stages])


def separius(factor: int) -> Genuine:
    network = wide_resnet(factor)
    head = heads("layers.0", "layers.3", "layers.6") | norms("layers.1", "layers.4", "layers.7")
    return genuine_resnet({"resnet": renamed(network.state_dict(), SEPARIUS), "head": head}, network, "simclr")


def sthalles() -> Genuine:
    network = small_resnet()
    state = prefixed("backbone.", without("fc.", network.state_dict()) | heads("fc.0", "fc.2"))
    tree = {"epoch": 200, "arch": "unnamed", "state_dict": state, "optimizer": {}}
    return genuine_resnet(tree, network, "simclr", suffix=".pth.tar")


def old_sthalles() -> Genuine:
    network = small_resnet()
    state = prefixed("features.", numbered(without("fc.", network.state_dict()))) | heads("l1", "l2")
    return genuine_resnet(state, network, "simclr")


def tonylins() -> Genuine:
    network = small_resnet(Bottleneck)
    return genuine_resnet({"state_dict": network.state_dict()}, network, "simclr", {"family": "simclr"})


LAYOUTS: dict[str, Callable[[], Genuine]] = {
    "simclr: separius": lambda: separius(1),
    "simclr: separius, wide": lambda: separius(2),
    "simclr: sthalles": sthalles,
    "simclr: sthalles before 2021": old_sthalles,
    "simclr: tonylins": tonylins,
}
