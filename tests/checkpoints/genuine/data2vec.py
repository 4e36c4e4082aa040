from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from tests.checkpoints.genuine.beit import pretraining
from tests.checkpoints.genuine.files import Genuine, State, noisy
from tests.checkpoints.genuine.transformers import genuine_transformer, small_state


def training(state: State, average: State) -> Any:
    head = {"lm_head.weight": torch.randn(128, 128), "lm_head.bias": torch.zeros(128)}
    tree = pretraining(state, imagenet_default_mean_and_std=True, target_layers="[6,7,8,9,10,11]")
    return {**tree, "model": tree["model"] | head, "model_ema": pretraining(average)["model"] | head}


def data2vec(tree: Callable[[State], Any], which: str | None = None) -> Genuine:
    state = small_state("beit", bias="shared")
    return genuine_transformer("data2vec", state, tree, options={"which": which} if which else None)


LAYOUTS: dict[str, Callable[[], Genuine]] = {
    "data2vec: training": lambda: data2vec(lambda state: training(state, noisy(state))),
    "data2vec: average": lambda: data2vec(lambda state: training(noisy(state), state), "ema"),
}
