from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torchvision.models.resnet import Bottleneck

from tests.checkpoints.genuine.files import Genuine, State, genuine_resnet, noisy, prefixed, small_resnet, without


def moco_tree(query: State, key: State, version: int) -> Any:
    head = {"fc.weight": torch.randn(4, 4), "fc.bias": torch.zeros(4)}
    if version == 2:
        head = {f"fc.{layer}.{kind}": tensor for layer in (0, 2) for kind, tensor in
                (("weight", torch.randn(4, 4)), ("bias", torch.zeros(4)))}  # fmt: skip
    state = prefixed("module.encoder_q.", query | head) | prefixed("module.encoder_k.", key | head)
    state |= {"module.queue": torch.randn(4, 16), "module.queue_ptr": torch.zeros(1, dtype=torch.long)}
    return {"epoch": 200, "arch": "unnamed", "state_dict": state, "optimizer": {}}


def genuine_moco(version: int, which: str | None = None) -> Genuine:
    network = small_resnet(Bottleneck)
    state = without("fc.", network.state_dict())
    pair = (noisy(state), state) if which == "key" else (state, noisy(state))
    tree = moco_tree(*pair, version)
    return genuine_resnet(tree, network, "moco", {"which": which} if which else None, suffix=".pth.tar")


LAYOUTS: dict[str, Callable[[], Genuine]] = {
    "moco: v1": lambda: genuine_moco(1),
    "moco: v2": lambda: genuine_moco(2),
    "moco: key": lambda: genuine_moco(2, "key"),
}
