from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import torch

from tests.checkpoints.genuine.files import Genuine, State
from tests.checkpoints.genuine.transformers import genuine_transformer, small_state


def pretraining(state: State) -> Any:
    decoder = {
        "mask_token": torch.zeros(1, 1, 8), "decoder_embed.weight": torch.randn(8, 128),
        "decoder_pos_embed": torch.randn(1, 17, 8), "decoder_blocks.0.attn.qkv.weight": torch.randn(24, 8),
        "decoder_norm.weight": torch.ones(8), "decoder_pred.weight": torch.randn(48, 8),
    }  # fmt: skip
    args = argparse.Namespace(model="mae_vit_unnamed_patch16", input_size=64)
    return {"model": state | decoder, "optimizer": {}, "epoch": 799, "scaler": {}, "args": args}


def fine_tuned(state: State) -> Any:
    head = {"head.weight": torch.randn(7, 128), "head.bias": torch.zeros(7)}
    norm = {"fc_norm.weight": torch.ones(128), "fc_norm.bias": torch.zeros(128)}
    args = argparse.Namespace(model="vit_unnamed_patch16", global_pool=True)
    return {"model": state | head | norm, "optimizer": {}, "epoch": 99, "scaler": {}, "args": args}


def mae(tree: Callable[[State], Any], **options: Any) -> Genuine:
    return genuine_transformer("mae", small_state("vit", **options), tree, stretch="bicubic")


LAYOUTS: dict[str, Callable[[], Genuine]] = {
    "mae: pre-training": lambda: mae(pretraining),
    "mae: released encoder": lambda: mae(lambda state: {"model": state}),
    "mae: fine-tuned": lambda: mae(fine_tuned, final_norm=False),
    "mae: released, fine-tuned": lambda: mae(lambda state: {"model": fine_tuned(state)["model"]}, final_norm=False),
}
