from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from tests.checkpoints.genuine.clip import clip_names, clip_state, quick, with_text
from tests.checkpoints.genuine.files import Genuine, State, prefixed
from tests.checkpoints.genuine.transformers import genuine_transformer, small_state


def training(name: str) -> Callable[[State], Any]:
    def tree(state: State) -> Any:
        wrapped = with_text(clip_names(state), "module.")
        return {"epoch": 32, "name": name, "state_dict": wrapped, "optimizer": {}}

    return tree


def timm_tower(state: State) -> Any:
    backbone = prefixed("trunk.", state) | {"head.proj.weight": torch.randn(32, 128)}
    backbone |= {"trunk.attn_pool.latent": torch.randn(1, 1, 128)}
    return with_text(backbone) | {"logit_bias": torch.tensor(-10.0)}


LAYOUTS: dict[str, Callable[[], Genuine]] = {
    "openclip: training": lambda: genuine_transformer("openclip", clip_state(), training("ViT-B-32"), eps=1e-5),
    "openclip: quick": lambda: genuine_transformer(
        "openclip", clip_state(), training("2024-model_ViT-B-32-quickgelu-lr_0.001"), eps=1e-5, act=quick
    ),
    "openclip: published": lambda: genuine_transformer(
        "openclip", clip_state(), lambda state: with_text(clip_names(state)), suffix=".safetensors", eps=1e-5
    ),
    "openclip: timm tower": lambda: genuine_transformer(
        "openclip", small_state("vit", class_token=False), timm_tower, suffix=".safetensors"
    ),
}
