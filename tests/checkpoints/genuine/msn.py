from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from tests.checkpoints.genuine.files import Genuine, State, noisy, prefixed
from tests.checkpoints.genuine.transformers import genuine_transformer, small_state


def training(target: State, encoder: State) -> Any:
    head = {"fc.fc1.weight": torch.randn(8, 128), "fc.bn1.running_mean": torch.zeros(8), "fc.fc3.bias": torch.zeros(8)}
    return {
        "encoder": prefixed("module.", encoder | head), "opt": {}, "prototypes": torch.randn(16, 8),
        "target_encoder": prefixed("module.", target | head), "epoch": 800, "loss": 1.0, "batch_size": 64,
        "world_size": 16, "lr": 0.001, "temperature": 0.1,
    }  # fmt: skip


def msn(tree: Callable[[State], Any], which: str | None = None) -> Genuine:
    options = {"which": which} if which else None
    return genuine_transformer("msn", small_state("vit"), tree, stretch="bicubic", options=options, suffix=".pth.tar")


LAYOUTS: dict[str, Callable[[], Genuine]] = {
    "msn: training": lambda: msn(lambda state: training(state, noisy(state))),
    "msn: encoder": lambda: msn(lambda state: training(noisy(state), state), "encoder"),
}
