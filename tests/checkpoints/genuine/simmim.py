from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from timm.models.swin_transformer import SwinTransformer

from tests.checkpoints.genuine.beit import fine_tuned
from tests.checkpoints.genuine.files import Genuine, State, old_swin, prefixed, randomised, timm_levels
from tests.checkpoints.genuine.transformers import genuine_transformer, small_state


def trained(model: State) -> Any:
    """Return a file as SimMIM's trainer saves it; its options are a yacs node, which reads as a dictionary."""
    config = {"MODEL": {"TYPE": "swin", "NAME": "simmim_pretrain"}, "DATA": {"IMG_SIZE": 192}}
    return {
        "model": model, "optimizer": {}, "lr_scheduler": {}, "max_accuracy": 0.0, "epoch": 99, "scaler": {},
        "config": config,
    }  # fmt: skip


def pretraining(state: State) -> Any:
    decoder = {"decoder.0.weight": torch.randn(48, 8, 1, 1), "decoder.0.bias": torch.zeros(48)}
    return trained(prefixed("encoder.", {**state, "mask_token": torch.zeros(1, 1, 128)}) | decoder)


def pretrained_vit(state: State) -> Any:
    index = {"rel_pos_bias.relative_position_index": torch.zeros(17, 17, dtype=torch.long)}
    return pretraining(state | index)


def simmim_swin(window: int) -> Genuine:
    network: Any = SwinTransformer(
        img_size=96, window_size=window, embed_dim=32, depths=(2, 2, 2, 2), num_heads=(1, 2, 4, 8), num_classes=0,
        global_pool="",
    )  # fmt: skip
    randomised(network)
    state = old_swin(network.state_dict())
    return Genuine(pretraining(state), "simmim", timm_levels(network), network.forward_features, sizes=((96, 96),))


def tuned_vit(state: State) -> Any:
    return trained(fine_tuned(state)["model"])


LAYOUTS: dict[str, Callable[[], Genuine]] = {
    "simmim: swin": lambda: simmim_swin(3),
    "simmim: swin, windows larger than the last stage": lambda: simmim_swin(6),
    "simmim: vit": lambda: genuine_transformer("simmim", small_state("beit", bias="shared"), pretrained_vit),
    "simmim: fine-tuned vit": lambda: genuine_transformer(
        "simmim", small_state("beit", bias="blocks", final_norm=False), tuned_vit
    ),
}
