from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import torch

from tests.checkpoints.genuine.files import Genuine, State, noisy, prefixed
from tests.checkpoints.genuine.transformers import genuine_transformer, small_state


def pretraining(encoder: State, teacher: State) -> Any:
    neck = {"pretext_neck.norm.weight": torch.ones(8), "mask_token": torch.zeros(1, 1, 8)}
    neck |= {"encoder_to_decoder.weight": torch.randn(8, 128), "encoder_to_decoder_norm.weight": torch.ones(8)}
    model = prefixed("encoder.", encoder) | prefixed("teacher.", teacher) | neck
    args = argparse.Namespace(model="cae_unnamed", imagenet_default_mean_and_std=1)
    return {"model": model, "optimizer": {}, "epoch": 799, "scaler": {}, "args": args}


def fine_tuned(state: State) -> Any:
    head = {"head.weight": torch.randn(7, 128), "head.bias": torch.zeros(7)}
    norm = {"fc_norm.weight": torch.ones(128), "fc_norm.bias": torch.zeros(128)}
    return {"model": state | head | norm, "args": argparse.Namespace(model="cae_base_patch16_224")}


def cae(tree: Callable[[State], Any], which: str | None = None, **options: Any) -> Genuine:
    state = small_state("beit", bias="none", absolute=True, **options)
    chosen = {"which": which} if which else None
    return genuine_transformer("cae", state, tree, heads=options.get("heads", 2), stretch="bicubic", options=chosen)


LAYOUTS: dict[str, Callable[[], Genuine]] = {
    "cae: pre-training": lambda: cae(lambda state: pretraining(state, noisy(state))),
    "cae: teacher": lambda: cae(lambda state: pretraining(noisy(state), state), "teacher"),
    "cae: small has twelve heads": lambda: cae(
        lambda state: pretraining(state, noisy(state)), dim=384, heads=12, depth=2
    ),
    "cae: fine-tuned": lambda: cae(fine_tuned, final_norm=False),
}
