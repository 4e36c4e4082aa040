from __future__ import annotations

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
    without,
)


def simsiam_tree(state: State) -> Any:
    head = heads("fc.0", "fc.3", "fc.6") | norms("fc.1", "fc.4", "fc.7")
    names = prefixed("encoder.", state | head) | heads("predictor.0", "predictor.3") | norms("predictor.1")
    return {"epoch": 100, "arch": "unnamed", "state_dict": prefixed("module.", names), "optimizer": {}}


def genuine_simsiam() -> Genuine:
    network = small_resnet(Bottleneck)
    return genuine_resnet(simsiam_tree(without("fc.", network.state_dict())), network, "simsiam", suffix=".pth.tar")


LAYOUTS: dict[str, Callable[[], Genuine]] = {"simsiam: training": genuine_simsiam}
