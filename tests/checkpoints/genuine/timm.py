from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import timm
from torch import nn

from tests.checkpoints.genuine.files import Genuine, State, genuine_timm, old_swin, prefixed, small_swin, small_vit


def timm_vit() -> Genuine:
    return genuine_timm(small_vit())


def timm_safetensors() -> Genuine:
    return genuine_timm(small_vit(num_classes=0), suffix=".safetensors")


def timm_registers() -> Genuine:
    network = small_vit(num_classes=0, reg_tokens=4, no_embed_class=True, init_values=0.1)
    return genuine_timm(network, suffix=".safetensors")


def timm_swiglu() -> Genuine:
    return genuine_timm(small_vit(mlp_layer=timm.layers.SwiGLUPacked, act_layer=nn.SiLU, mlp_ratio=5.375))


def timm_distilled() -> Genuine:
    network = timm.create_model(
        "deit_tiny_distilled_patch16_224", img_size=64, depth=4, embed_dim=64, num_heads=1, num_classes=7
    )
    return genuine_timm(network, lambda state: {"model": state}, sizes=((64, 64),))


def timm_training() -> Genuine:
    def tree(state: State) -> Any:
        wrapped = prefixed("_orig_mod.module.", state)
        args = argparse.Namespace(model="unnamed", mean=None, std=None)
        return {
            "epoch": 1, "arch": "unnamed", "state_dict": wrapped, "optimizer": {}, "version": 2, "args": args,
            "state_dict_ema": prefixed("module.", state), "metric": 71.5,
        }  # fmt: skip

    return genuine_timm(small_vit(), tree)


def timm_resnet_d() -> Genuine:
    return genuine_timm(timm.create_model("resnet18d", num_classes=7), suffix=".safetensors")


def timm_swin() -> Genuine:
    return genuine_timm(small_swin(), sizes=((224, 224), (96, 160)))


def timm_old_swin() -> Genuine:
    return genuine_timm(small_swin(), lambda state: {"model": old_swin(state)}, sizes=((224, 224),))


LAYOUTS: dict[str, Callable[[], Genuine]] = {
    "timm: vit": timm_vit,
    "timm: safetensors": timm_safetensors,
    "timm: registers": timm_registers,
    "timm: swiglu": timm_swiglu,
    "timm: distilled": timm_distilled,
    "timm: training": timm_training,
    "timm: resnet-d": timm_resnet_d,
    "timm: swin": timm_swin,
    "timm: old swin": timm_old_swin,
}
