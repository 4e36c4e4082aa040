from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import torch
from timm.models.convnext import ConvNeXt

from tests.checkpoints.genuine.files import Genuine, State, prefixed, randomised, timm_levels
from tests.checkpoints.genuine.transformers import genuine_transformer, head, small_state

RENAMED = (
    ("gamma_1", "ls1.gamma"), ("gamma_2", "ls2.gamma"), ("rope.", "rope_embed."), ("reg_token", "storage_tokens"),
    ("mlp.fc1_g", "mlp.w1"), ("mlp.fc1_x", "mlp.w2"),
)  # fmt: skip


def dinov3_names(state: State, *, masked: bool = True) -> State:
    """The names of DINOv3's own network, whose bias for keys is there and is masked away."""
    gated = "blocks.0.mlp.fc1_g.weight" in state
    names = {"mask_token": torch.zeros(1, 128)}
    for name, tensor in state.items():
        if name.endswith(("q_bias", "k_bias", "v_bias")):
            continue
        for old, new in (*RENAMED, *([("mlp.fc2", "mlp.w3")] if gated else [])):
            name = name.replace(old, new)
        names[name] = tensor
    for block in range(4):
        attention = f"blocks.{block}.attn"
        q, v = state[f"{attention}.q_bias"], state[f"{attention}.v_bias"]
        k = state.get(f"{attention}.k_bias", torch.randn(128))
        names[f"{attention}.qkv.bias"] = torch.cat([q, k, v])
        if masked:
            names[f"{attention}.qkv.bias_mask"] = torch.cat([torch.ones(128), torch.zeros(128), torch.ones(128)])
    return names


def satellite(state: State) -> State:
    return {**dinov3_names(state), "local_cls_norm.weight": torch.ones(128), "local_cls_norm.bias": torch.zeros(128)}


def teacher_file(state: State) -> Any:
    heads = prefixed("dino_head.", head()) | prefixed("ibot_head.", head())
    return {"teacher": prefixed("backbone.", dinov3_names(state)) | heads}


def dinov3(tree: Callable[[State], Any], **options: Any) -> Genuine:
    return genuine_transformer("dinov3", small_state("dinov3", **options), tree, eps=1e-5)


def convnext() -> Genuine:
    """timm's ConvNeXt, whose weights DINOv3 writes under the original names, the last norm twice."""
    network: Any = randomised(ConvNeXt(depths=(1, 1, 2, 1), dims=(16, 24, 32, 48), num_classes=0))
    names = {}
    for name, tensor in network.state_dict().items():
        name = re.sub(r"stem\.(\d)", r"downsample_layers.0.\1", name)
        name = re.sub(r"stages\.(\d)\.downsample", r"downsample_layers.\1", name)
        name = re.sub(r"stages\.(\d)\.blocks", r"stages.\1", name)
        for old, new in (("conv_dw", "dwconv"), ("mlp.fc1", "pwconv1"), ("mlp.fc2", "pwconv2"), ("head.norm", "norm")):
            name = name.replace(old, new)
        names[name] = tensor
    names |= {f"norms.3.{kind}": names[f"norm.{kind}"] for kind in ("weight", "bias")}
    return Genuine(names, "dinov3", timm_levels(network), network.forward_features)


LAYOUTS: dict[str, Callable[[], Genuine]] = {
    "dinov3: backbone": lambda: dinov3(dinov3_names),
    "dinov3: gated": lambda: dinov3(dinov3_names, mlp="swiglu", mlp_hidden=192),
    "dinov3: satellite": lambda: dinov3(satellite),
    "dinov3: teacher": lambda: dinov3(teacher_file),
    "dinov3: convnext": convnext,
    "dinov3: biased keys": lambda: dinov3(lambda state: dinov3_names(state, masked=False), k_bias=True),
}
