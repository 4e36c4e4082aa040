from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import torch

from tests.checkpoints.genuine.files import Genuine, State, prefixed
from tests.checkpoints.genuine.transformers import genuine_transformer, small_state

INDEX = torch.zeros(17, 17, dtype=torch.long)


def pretraining(state: State, **args: Any) -> Any:
    """Return a file as BEiT's trainer saves it."""
    others = {"mask_token": torch.zeros(1, 1, 128), "lm_head.weight": torch.randn(8192, 128)}
    others |= {"lm_head.bias": torch.zeros(8192), "rel_pos_bias.relative_position_index": INDEX}
    options = argparse.Namespace(**{"model": "unnamed", "imagenet_default_mean_and_std": False, **args})
    return {"model": state | others, "optimizer": {}, "epoch": 799, "scaler": {}, "args": options}


def second(state: State) -> Any:
    """BEiT v2: two more blocks read the class token of an earlier one."""
    shallow = {name.replace("blocks.0", "0"): t for name, t in state.items() if name.startswith("blocks.0.")}
    tree = pretraining(state | prefixed("cls_pt_layers.", shallow), imagenet_default_mean_and_std=True)
    return {"model": tree["model"]}


def fine_tuned(state: State) -> Any:
    index = {f"blocks.{block}.attn.relative_position_index": INDEX for block in range(4)}
    others = {"head.weight": torch.randn(7, 128), "head.bias": torch.zeros(7)}
    norm = {"fc_norm.weight": torch.ones(128), "fc_norm.bias": torch.zeros(128)}
    return {"model": state | index | others | norm}


LAYOUTS: dict[str, Callable[[], Genuine]] = {
    "beit: pre-training": lambda: genuine_transformer("beit", small_state("beit", bias="shared"), pretraining),
    "beit: v2": lambda: genuine_transformer("beit", small_state("beit", bias="shared"), second),
    "beit: fine-tuned": lambda: genuine_transformer(
        "beit", small_state("beit", bias="blocks", final_norm=False, heads=4), fine_tuned, heads=4
    ),
}
