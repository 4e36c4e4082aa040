from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from tests.checkpoints.genuine.files import Genuine, State, noisy, prefixed
from tests.checkpoints.genuine.transformers import genuine_transformer, head, small_state


def dinov2_names(state: State, chunks: int = 0) -> State:
    """The names of DINOv2's own network; blocks in chunks count through."""
    names = {"mask_token": torch.zeros(1, 128)}
    for name, tensor in state.items():
        if name.startswith("blocks.") and chunks:
            block = int(name.split(".")[1])
            name = f"blocks.{block * chunks // 4}.{name.removeprefix('blocks.')}"
        names["register_tokens" if name == "reg_token" else name] = tensor
    return names


def gated(state: State) -> State:
    names = {}
    for name, tensor in dinov2_names(state).items():
        names[name.replace("mlp.fc1", "mlp.w12").replace("mlp.fc2", "mlp.w3")] = tensor
    return names


def teacher_file(state: State) -> Any:
    heads = prefixed("dino_head.", head()) | prefixed("ibot_head.", head())
    return {"teacher": prefixed("backbone.", dinov2_names(state, chunks=2)) | heads}


def whole_training(state: State) -> Any:
    both = {}
    for label, weights in (("student", noisy(state)), ("teacher", state)):
        both |= prefixed(f"{label}.backbone.", dinov2_names(weights, chunks=4))
        both |= prefixed(f"{label}.dino_head.", head()) | prefixed(f"{label}.ibot_head.", head())
    return {"model": both | {"dino_loss.center": torch.zeros(1, 8), "ibot_patch_loss.center": torch.zeros(1, 8)}}


def dinov2(tree: Callable[[State], Any], stretch: str | None = "dino", **options: Any) -> Genuine:
    return genuine_transformer("dinov2", small_state("vit", layer_scale=True, **options), tree, stretch=stretch)


LAYOUTS: dict[str, Callable[[], Genuine]] = {
    "dinov2: backbone": lambda: dinov2(dinov2_names),
    "dinov2: registers": lambda: dinov2(dinov2_names, None, registers=4, no_embed_registers=True),
    "dinov2: gated": lambda: dinov2(gated, mlp="swiglu_packed", mlp_hidden=176),
    "dinov2: teacher": lambda: dinov2(teacher_file),
    "dinov2: whole training": lambda: dinov2(whole_training),
}
