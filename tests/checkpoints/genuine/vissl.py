from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torchvision
from torch import Tensor
from torchvision.models.resnet import Bottleneck

from tests.checkpoints.genuine.files import (
    Genuine,
    State,
    genuine_resnet,
    genuine_timm,
    heads,
    noisy,
    prefixed,
    randomised,
    small_resnet,
    small_vit,
    without,
)
from tests.checkpoints.genuine.torchvision import tv_vit_levels

BLOCKS = "_feature_blocks."


def vissl_tree(backbone: State, loss: Any = None) -> Any:
    loss = loss or {}
    model = {"trunk": backbone, "heads": heads("0.clf.0")}
    classy = {
        "train": True,
        "base_model": {"model": model, "meta": {"trunk": {}, "heads": []}},
        "meters": [{"name": "accuracy"}],
        "optimizer": {"optim": {}},
        "phase_idx": 99,
        "train_phase_idx": 99,
        "num_updates": 10,
        "losses": [0.5],
        "hooks": {"log_loss_lr_eta": {}},
        "loss": loss,
    }
    outer = {"phase_idx": 99, "iteration": 10, "loss": loss, "iteration_num": 9, "train_phase_idx": 99}
    return {**outer, "classy_state_dict": classy, "type": "consolidated"}


def resnet(prefix: str = BLOCKS) -> Genuine:
    network = small_resnet(Bottleneck)
    state = prefixed(prefix, without("fc.", network.state_dict()))
    return genuine_resnet(vissl_tree(state), network, "vissl", suffix=".torch")


def moco(which: str | None = None) -> Genuine:
    network = small_resnet(Bottleneck)
    state = prefixed(BLOCKS, without("fc.", network.state_dict()))
    query, key = (noisy(state), state) if which else (state, noisy(state))
    loss = prefixed("moco_encoder.", prefixed("trunk.", key) | heads("heads.0.clf.0"))
    loss |= {"queue": torch.randn(4, 16), "queue_ptr": torch.zeros(1, dtype=torch.long)}
    return genuine_resnet(vissl_tree(query, loss), network, "vissl", {"which": which} if which else None, ".torch")


def vit(tree: Callable[[State], Any], which: str | None = None) -> Genuine:
    genuine = genuine_timm(small_vit(), lambda state: tree(without("head.", state)), sizes=((64, 64),), family="vissl")
    options = {"which": which} if which else None
    return Genuine(genuine.tree, "vissl", genuine.levels, genuine.features, genuine.sizes, ".torch", options)


def dino(student: State, teacher: State) -> Any:
    loss = prefixed("momentum_teacher.module.", prefixed("trunk.", teacher) | heads("heads.0.mlp.0"))
    return vissl_tree(student, loss | {"center": torch.zeros(1, 8)})


def ibot(state: State) -> Any:
    masked = {**state, "patch_masking.masked_embed": torch.zeros(1, 64)}
    teacher = prefixed("module.", prefixed("trunk.", noisy(masked)) | heads("heads.0.mlp.0"))
    return vissl_tree(masked, {"criterion": {"center": torch.zeros(1, 8)}, "teacher": teacher})


def old_names(state: State) -> Any:
    names = {"cls_token": "class_token", "pos_embed": "pos_embedding"}
    return vissl_tree({names.get(name, name): tensor for name, tensor in state.items()})


def classy_vit() -> Genuine:
    network = randomised(torchvision.models.VisionTransformer(64, 16, 4, 2, 128, 256))
    state: dict[str, Tensor] = {}
    for name, tensor in without("heads.", network.state_dict()).items():
        name = (
            name.replace("encoder_layer_", "layer_")
            .replace("mlp.0.", "mlp.linear_1.")
            .replace("mlp.3.", "mlp.linear_2.")
        )
        state[f"model.{name}"] = tensor.permute(1, 0, 2) if "pos_embedding" in name else tensor
    levels, features = tv_vit_levels(network)
    return Genuine(vissl_tree(state), "vissl", levels, features, sizes=((64, 64),), suffix=".torch")


LAYOUTS: dict[str, Callable[[], Genuine]] = {
    "vissl: resnet": resnet,
    "vissl: frozen resnet": lambda: resnet("base_model." + BLOCKS),
    "vissl: moco": moco,
    "vissl: moco's key": lambda: moco("key"),
    "vissl: vit": lambda: vit(vissl_tree),
    "vissl: dino": lambda: vit(lambda state: dino(state, noisy(state))),
    "vissl: dino's teacher": lambda: vit(lambda state: dino(noisy(state), state), "teacher"),
    "vissl: ibot": lambda: vit(ibot),
    "vissl: vit, old names": lambda: vit(old_names),
    "vissl: classy vit": classy_vit,
}
