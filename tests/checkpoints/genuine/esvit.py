from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from timm.models.swin_transformer import SwinTransformer
from torch import nn
from torchvision.models.resnet import Bottleneck

from tests.checkpoints.genuine.files import (
    Genuine,
    State,
    genuine_resnet,
    noisy,
    old_swin,
    prefixed,
    randomised,
    small_resnet,
    timm_levels,
    without,
)
from tests.checkpoints.genuine.transformers import genuine_transformer, head, small_state


def esvit_tree(teacher: State, student: State, dense: bool = True) -> Any:
    heads = prefixed("head.", head()) | (prefixed("head_dense.", head()) if dense else {})
    wrapper = "module." if any("bn1" in name for name in teacher) else ""
    return {
        "student": prefixed("module.", student | heads),
        "teacher": prefixed(wrapper, teacher | heads),
        "optimizer": {},
        "epoch": 300,
        "args": argparse.Namespace(arch="unnamed", cfg="experiments/imagenet/swin/swin_tiny.yaml"),
        "dino_loss": {"center": torch.zeros(1, 8), "center_grid": torch.zeros(1, 8)},
    }


def esvit_swin(dense: bool) -> Genuine:
    network: Any = SwinTransformer(
        img_size=128, window_size=4, embed_dim=32, depths=(2, 2, 2, 2), num_heads=(1, 2, 4, 8), num_classes=0,
        norm_layer=partial(nn.LayerNorm, eps=1e-6), global_pool="",
    )  # fmt: skip
    randomised(network)
    state = {name: tensor for name, tensor in old_swin(network.state_dict()).items() if "attn_mask" not in name}
    tree = esvit_tree(state, noisy(state), dense)
    return Genuine(tree, "esvit", timm_levels(network), network.forward_features, sizes=((128, 128),))


def esvit_resnet() -> Genuine:
    network = small_resnet(Bottleneck)
    state = prefixed("backbone.backbone.", without("fc.", network.state_dict()))
    return genuine_resnet(esvit_tree(state, noisy(state)), network, "esvit")


LAYOUTS: dict[str, Callable[[], Genuine]] = {
    "esvit: swin": lambda: esvit_swin(dense=True),
    "esvit: swin without regions": lambda: esvit_swin(dense=False),
    "esvit: resnet": esvit_resnet,
    "esvit: vit": lambda: genuine_transformer(
        "esvit", small_state("vit"), lambda state: esvit_tree(state, noisy(state)), stretch="dino"
    ),
}
