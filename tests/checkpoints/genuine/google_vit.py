from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import gelu

from tests.checkpoints.genuine.files import Genuine, State
from tests.checkpoints.genuine.transformers import genuine_transformer, small_state

TANH = partial(gelu, approximate="tanh")
RELEASED = {"norm2": "LayerNorm_2", "attn": "MultiHeadDotProductAttention_1", "mlp": "MlpBlock_3"}
LINEN = {"norm2": "LayerNorm_1", "attn": "MultiHeadDotProductAttention_0", "mlp": "MlpBlock_0"}


def flax_names(state: State, modules: Mapping[str, str], positions: str) -> State:
    """The names and shapes of flax's ViT with two heads; linear kernels have inputs first."""
    names: State = {}
    for name, tensor in state.items():
        if block := re.fullmatch(r"blocks\.(\d+)\.(\w+)\.?(\w*)\.(weight|bias)", name):
            names |= _in_block(f"Transformer/encoderblock_{block[1]}/", block[2], block[3], block[4], tensor, modules)
        elif name.startswith("patch_embed"):
            kernel = name.endswith("weight")
            names[f"embedding/{'kernel' if kernel else 'bias'}"] = tensor.permute(2, 3, 1, 0) if kernel else tensor
        elif name.startswith("norm."):
            names[f"Transformer/encoder_norm/{'scale' if name.endswith('weight') else 'bias'}"] = tensor
        else:
            names[{"cls_token": "cls", "pos_embed": positions}[name]] = tensor
    return names | {"head/kernel": torch.randn(128, 7), "head/bias": torch.zeros(7)}


def _in_block(
    start: str, module: str, part: str, kind: str, tensor: Tensor, modules: Mapping[str, str]
) -> dict[str, Tensor]:
    if module.startswith("norm"):
        name = "LayerNorm_0" if module == "norm1" else modules["norm2"]
        return {f"{start}{name}/{'scale' if kind == 'weight' else 'bias'}": tensor}
    kernel = "kernel" if kind == "weight" else "bias"
    if part == "qkv":
        chunks = zip(("query", "key", "value"), tensor.chunk(3), strict=True)
        shape = (128, 2, 64) if kind == "weight" else (2, 64)
        return {f"{start}{modules['attn']}/{name}/{kernel}": chunk.T.reshape(shape) if kind == "weight" else
                chunk.reshape(shape) for name, chunk in chunks}  # fmt: skip
    if module == "attn":
        return {f"{start}{modules['attn']}/out/{kernel}": tensor.T.reshape(2, 64, 128) if kind == "weight" else tensor}
    dense = "Dense_0" if part == "fc1" else "Dense_1"
    return {f"{start}{modules['mlp']}/{dense}/{kernel}": tensor.T if kind == "weight" else tensor}


def google_vit(modules: Mapping[str, str], prefix: str = "") -> Genuine:
    def tree(state: State) -> State:
        names = flax_names(state, modules, "Transformer/posembed_input/pos_embedding")
        return {prefix + name: tensor for name, tensor in names.items()}

    return flax_genuine("google_vit", small_state("vit"), tree)


def flax_genuine(family: str, state: State, tree: Callable[[State], State], **paper: object) -> Genuine:
    return genuine_transformer(family, state, tree, stretch="flax", suffix=".npz", act=TANH, **paper)


LAYOUTS: dict[str, Callable[[], Genuine]] = {
    "google_vit: released": lambda: google_vit(RELEASED),
    "google_vit: linen": lambda: google_vit(LINEN),
    "google_vit: optimiser": lambda: google_vit(LINEN, "opt/target/"),
}
