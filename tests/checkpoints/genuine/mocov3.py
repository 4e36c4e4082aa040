from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torchvision.models.resnet import Bottleneck

from tests.checkpoints.genuine.files import (
    Genuine,
    State,
    genuine_resnet,
    noisy,
    prefixed,
    small_resnet,
    without,
)
from tests.checkpoints.genuine.transformers import genuine_transformer, small_state

WIDE = {"dim": 384, "heads": 12, "depth": 2}


def training(base: State, momentum: State) -> Any:
    head = "head" if "cls_token" in base else "fc"
    heads = {f"{head}.0.weight": torch.randn(8, 8), f"{head}.1.running_mean": torch.zeros(8)}
    state = prefixed("module.base_encoder.", base | heads) | prefixed("module.momentum_encoder.", momentum | heads)
    state |= {"module.predictor.0.weight": torch.randn(8, 8), "module.predictor.1.running_mean": torch.zeros(8)}
    return {"epoch": 300, "arch": "unnamed", "state_dict": state, "optimizer": {}, "scaler": {}}


def probe(state: State) -> Any:
    whole = {**state, "head.weight": torch.randn(7, 384), "head.bias": torch.zeros(7)}
    return {
        "epoch": 90, "arch": "vit_small", "state_dict": prefixed("module.", whole), "best_acc1": torch.tensor(73.2),
        "optimizer": {},
    }  # fmt: skip


def mocov3_vit(tree: Callable[[State], Any], which: str | None = None) -> Genuine:
    options = {"which": which} if which else None
    state = small_state("vit", **WIDE)
    return genuine_transformer("mocov3", state, tree, heads=12, stretch="bicubic", options=options, suffix=".pth.tar")


def mocov3_stem() -> Genuine:
    state = small_state("vit", **WIDE, stem="conv")
    layers: list[nn.Module] = []
    for narrow, wide in ((3, 48), (48, 96), (96, 192), (192, 384)):
        layers += [nn.Conv2d(narrow, wide, 3, 2, 1, bias=False), nn.BatchNorm2d(wide), nn.ReLU()]
    stem, prefix = nn.Sequential(*layers, nn.Conv2d(384, 384, 1)), "patch_embed.proj."
    stem.load_state_dict({name.removeprefix(prefix): t for name, t in state.items() if name.startswith(prefix)})
    return genuine_transformer(
        "mocov3", state, lambda state: training(state, noisy(state)), heads=12, suffix=".pth.tar", stem=stem.eval()
    )


def mocov3_resnet() -> Genuine:
    network = small_resnet(Bottleneck)
    state = without("fc.", network.state_dict())
    return genuine_resnet(training(state, noisy(state)), network, "mocov3", suffix=".pth.tar")


LAYOUTS: dict[str, Callable[[], Genuine]] = {
    "mocov3: vit": lambda: mocov3_vit(lambda state: training(state, noisy(state))),
    "mocov3: momentum": lambda: mocov3_vit(lambda state: training(noisy(state), state), "momentum"),
    "mocov3: convolutional stem": mocov3_stem,
    "mocov3: probe": lambda: mocov3_vit(probe),
    "mocov3: resnet": mocov3_resnet,
}
