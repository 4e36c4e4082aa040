from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torchvision.models.resnet import Bottleneck

from tests.checkpoints.genuine.files import (
    Genuine,
    State,
    genuine_resnet,
    noisy,
    prefixed,
    randomised,
    small_resnet,
    small_vit,
    without,
)
from tests.checkpoints.genuine.paper_vit import PaperViT


def genuine_dino_vit(tree: Callable[[State], Any], **options: Any) -> Genuine:
    state = without("head", randomised(small_vit(embed_dim=128, num_heads=2, **options)).state_dict())
    vit = PaperViT(state, heads=2, patch=options.get("patch_size", 16))
    return Genuine(tree(state), "dino", vit.levels, vit.features, sizes=((64, 64), (96, 64), (48, 80)))


def dino_tree(teacher: State, student: State, args: Mapping[str, Any]) -> Any:
    head = {"mlp.0.weight": torch.randn(8, 8), "last_layer.weight_g": torch.ones(8, 1)}
    wrapped = "module." if any(name.startswith("bn1") for name in teacher) else ""
    return {
        "student": prefixed("module.backbone.", student) | prefixed("module.head.", head),
        "teacher": prefixed(f"{wrapped}backbone.", teacher) | prefixed(f"{wrapped}head.", head),
        "optimizer": {"state": {}, "param_groups": []},
        "epoch": 100,
        "args": argparse.Namespace(**args),
        "dino_loss": {"center": torch.zeros(1, 8)},
        "fp16_scaler": {"scale": 1.0},
    }


def dino_full_vit() -> Genuine:
    args = {"arch": "vit_unnamed", "patch_size": 16}
    return genuine_dino_vit(lambda state: dino_tree(state, noisy(state), args))


def dino_student() -> Genuine:
    genuine = genuine_dino_vit(lambda state: dino_tree(noisy(state), state, {"arch": "unnamed"}))
    return Genuine(
        genuine.tree, "dino", genuine.levels, genuine.features, sizes=genuine.sizes, options={"which": "student"}
    )


def dino_backbone_vit() -> Genuine:
    return genuine_dino_vit(lambda state: state, patch_size=8, depth=6, img_size=32)


def dino_full_resnet() -> Genuine:
    network = small_resnet(Bottleneck)
    state = without("fc.", network.state_dict())
    return genuine_resnet(dino_tree(state, noisy(state), {"arch": "unnamed"}), network, "dino")


def dino_backbone_resnet() -> Genuine:
    network = small_resnet(Bottleneck)
    return genuine_resnet(without("fc.", network.state_dict()), network, "dino")


LAYOUTS: dict[str, Callable[[], Genuine]] = {
    "dino: full vit": dino_full_vit,
    "dino: student": dino_student,
    "dino: vit backbone": dino_backbone_vit,
    "dino: full resnet": dino_full_resnet,
    "dino: resnet backbone": dino_backbone_resnet,
}
