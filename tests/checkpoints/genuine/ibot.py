from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from timm.models.swin_transformer import SwinTransformer
from torch import Tensor, nn

from tests.checkpoints.genuine.files import Genuine, State, noisy, old_swin, prefixed, randomised, timm_levels
from tests.checkpoints.genuine.transformers import genuine_transformer, head, small_state


def ibot_tree(teacher: State, student: State) -> Any:
    masked = {"masked_embed": torch.randn(1, 96)}
    return {
        "student": prefixed("module.backbone.", student | masked) | prefixed("module.head.", head()),
        "teacher": prefixed("backbone.", teacher) | prefixed("head.", head()),
        "optimizer": {"state": {}, "param_groups": []},
        "epoch": 100,
        "args": argparse.Namespace(arch="unnamed", patch_size=16),
        "ibot_loss": {"center": torch.zeros(1, 8), "center2": torch.zeros(1, 1, 8)},
        "fp16_scaler": {"scale": 1.0},
    }


def ibot_vit(tree: Callable[[State], Any], which: str | None = None) -> Genuine:
    options = {"which": which} if which else None
    return genuine_transformer("ibot", small_state("vit"), tree, stretch="dino", options=options)


def ibot_swin() -> Genuine:
    """At the size that timm's network is exact for."""
    network: Any = SwinTransformer(
        img_size=128, window_size=4, embed_dim=32, depths=(2, 2, 2, 2), num_heads=(1, 2, 4, 8), num_classes=0,
        norm_layer=partial(nn.LayerNorm, eps=1e-6), global_pool="",
    )  # fmt: skip
    randomised(network)
    state = {name: tensor for name, tensor in old_swin(network.state_dict()).items() if "attn_mask" not in name}
    tree = ibot_tree(state, noisy(state))

    def levels(images: Tensor) -> list[Tensor]:
        return timm_levels(network)(images)

    return Genuine(tree, "ibot", levels, network.forward_features, sizes=((128, 128),))


LAYOUTS: dict[str, Callable[[], Genuine]] = {
    "ibot: full vit": lambda: ibot_vit(lambda state: ibot_tree(state, noisy(state))),
    "ibot: student": lambda: ibot_vit(lambda state: ibot_tree(noisy(state), state), "student"),
    "ibot: extracted teacher": lambda: ibot_vit(lambda state: {"state_dict": state}),
    "ibot: extracted student": lambda: ibot_vit(
        lambda state: {"state_dict": {**state, "masked_embed": torch.randn(1, 128)}}, "student"
    ),
    "ibot: swin": ibot_swin,
}
