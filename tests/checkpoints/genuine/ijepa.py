from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from tests.checkpoints.genuine.files import Genuine, State, noisy, prefixed
from tests.checkpoints.genuine.transformers import genuine_transformer, small_state


def training(target: State, encoder: State) -> Any:
    predictor = {
        "predictor_embed.weight": torch.randn(8, 128), "mask_token": torch.zeros(1, 1, 8),
        "predictor_pos_embed": torch.randn(1, 16, 8), "predictor_blocks.0.attn.qkv.weight": torch.randn(24, 8),
    }  # fmt: skip
    return {
        "encoder": prefixed("module.", encoder), "predictor": prefixed("module.", predictor),
        "target_encoder": prefixed("module.", target), "opt": {}, "scaler": {}, "epoch": 300, "loss": 0.1,
        "batch_size": 64, "world_size": 16, "lr": 0.001,
    }  # fmt: skip


def ijepa(tree: Callable[[State], Any], which: str | None = None) -> Genuine:
    state, options = small_state("vit", class_token=False), {"which": which} if which else None
    return genuine_transformer("ijepa", state, tree, stretch="bicubic", options=options, suffix=".pth.tar")


LAYOUTS: dict[str, Callable[[], Genuine]] = {
    "ijepa: training": lambda: ijepa(lambda state: training(state, noisy(state))),
    "ijepa: encoder": lambda: ijepa(lambda state: training(noisy(state), state), "encoder"),
}
