from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from typing import Any

import timm
from timm.models.convnext import ConvNeXt
from timm.models.resnetv2 import ResNetV2
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


def timm_bit() -> Genuine:
    network = ResNetV2([1, 1, 1, 1], (128, 128, 256, 256), num_classes=7, stem_chs=32, stem_type="fixed")
    return genuine_timm(network, suffix=".safetensors")


def timm_resnetv2() -> Genuine:
    layers: dict[str, Any] = {"norm_layer": timm.layers.BatchNormAct2d, "conv_layer": timm.layers.create_conv2d}
    network = ResNetV2([1, 1, 1, 1], (16, 32, 48, 64), num_classes=7, **layers)
    return genuine_timm(network, suffix=".safetensors")


def timm_convnext(**options: Any) -> Genuine:
    network = ConvNeXt(depths=(1, 1, 2, 1), dims=(8, 16, 24, 32), num_classes=7, **options)
    return genuine_timm(network, sizes=((64, 64), (96, 64)))


AUTHORS = (
    ("stem.", "downsample_layers.0."), ("conv_dw", "dwconv"), ("mlp.fc", "pwconv"), ("head.norm", "norm"),
    ("norm_pre", "norm"), ("mlp.grn.weight", "grn.gamma"), ("mlp.grn.bias", "grn.beta"), ("head.fc", "head"),
    (".blocks.", "."),
)  # fmt: skip


def authors_names(state: State) -> State:
    """timm's ConvNeXt with the names of facebookresearch/ConvNeXt and ConvNeXt-V2."""

    def renamed(name: str) -> str:
        for ours, theirs in AUTHORS:
            name = name.replace(ours, theirs)
        return re.sub(r"stages\.(\d)\.downsample", r"downsample_layers.\1", name)

    names = {renamed(name): tensor for name, tensor in state.items()}
    return {name: tensor.reshape(1, 1, 1, -1) if ".grn." in name else tensor for name, tensor in names.items()}


def original_convnext(version: int) -> Genuine:
    how: dict[str, Any] = {"use_grn": True, "ls_init_value": None} if version == 2 else {}
    network = ConvNeXt(depths=(1, 1, 2, 1), dims=(8, 16, 24, 32), num_classes=7, **how)
    return genuine_timm(network, lambda state: {"model": authors_names(state)})


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
    "timm: bit": timm_bit,
    "timm: resnetv2": timm_resnetv2,
    "timm: convnext": timm_convnext,
    "timm: convnext, small": lambda: timm_convnext(conv_mlp=True),
    "timm: convnext, norm before pooling": lambda: timm_convnext(head_norm_first=True),
    "timm: original convnext": lambda: original_convnext(1),
    "timm: original convnext v2": lambda: original_convnext(2),
}
