"""Vision transformers of flax: names with slashes, kernels with inputs first, heads as a dimension of their own."""

from __future__ import annotations

import re
from collections import Counter

from torch import Tensor

from transfer.checkpoints.keys.contents import Contents, StateDict
from transfer.checkpoints.keys.layouts import CLASSIFIER
from transfer.checkpoints.keys.rules import Apply, Drop, Join, Permute, Rename, Reshape, Rule, Split

BLOCK = r"Transformer/encoderblock_\d+/"
STACKED = "Transformer/encoderblock/"
"""Prefix of blocks in one, with the depth as the first dimension (big_vision's scan)."""

_ATTENTION = r"MultiHeadDotProductAttention_[01]"
_PARTS = r"(?P<part>query|key|value)"
_QKV = rf"(blocks\.\d+)/{_ATTENTION}/{_PARTS}/"


def _out_first(kernel: Tensor) -> Tensor:
    """Reshape `(C, heads, channels)` to `(heads * channels, C)`."""
    return kernel.flatten(1).T


def _merged(kernel: Tensor) -> Tensor:
    """Reshape `(heads, channels, C)` to `(C, heads * channels)`."""
    return kernel.flatten(0, 1).T


VIT_RULES: tuple[Rule, ...] = (
    Drop(r"(head|pre_logits)/.*", CLASSIFIER),
    Drop(r"MAPHead_0/.*", "attention pooling: not part of the backbone"),
    Permute(r"embedding/kernel", (3, 2, 0, 1)),
    Apply(rf"{BLOCK}{_ATTENTION}/(query|key|value)/kernel", _out_first, "joining heads"),
    Reshape(rf"{BLOCK}{_ATTENTION}/(query|key|value)/bias", (-1,)),
    Apply(rf"{BLOCK}{_ATTENTION}/out/kernel", _merged, "joining heads"),
    Permute(rf"{BLOCK}MlpBlock_[03]/Dense_[01]/kernel", (1, 0)),
    Rename(r"cls", "cls_token"),
    Rename(r"(?:Transformer/posembed_input/)?pos_embedding", "pos_embed"),
    Rename(r"embedding/kernel", "patch_embed.proj.weight"),
    Rename(r"embedding/bias", "patch_embed.proj.bias"),
    Rename(r"Transformer/encoder_norm/(.*)", r"norm.\1"),
    Rename(r"Transformer/encoderblock_(\d+)/(.*)", r"blocks.\1/\2"),
    Rename(r"(blocks\.\d+)/LayerNorm_0/(.*)", r"\1.norm1.\2"),
    Rename(r"(blocks\.\d+)/LayerNorm_[12]/(.*)", r"\1.norm2.\2"),
    Join(_QKV + "kernel", ("query", "key", "value"), r"\1.attn.qkv.weight"),
    Join(_QKV + "bias", ("query", "key", "value"), r"\1.attn.qkv.bias"),
    Rename(rf"(blocks\.\d+)/{_ATTENTION}/out/kernel", r"\1.attn.proj.weight"),
    Rename(rf"(blocks\.\d+)/{_ATTENTION}/out/bias", r"\1.attn.proj.bias"),
    Rename(r"(blocks\.\d+)/MlpBlock_[03]/Dense_0/kernel", r"\1.mlp.fc1.weight"),
    Rename(r"(blocks\.\d+)/MlpBlock_[03]/Dense_0/bias", r"\1.mlp.fc1.bias"),
    Rename(r"(blocks\.\d+)/MlpBlock_[03]/Dense_1/kernel", r"\1.mlp.fc2.weight"),
    Rename(r"(blocks\.\d+)/MlpBlock_[03]/Dense_1/bias", r"\1.mlp.fc2.bias"),
    Rename(r"(.*norm\d?)\.scale", r"\1.weight"),
)


def flax_vit(contents: Contents) -> tuple[StateDict, str] | None:
    """Return the state dict with a flax ViT, and the prefix of its names; the image tower where there are two."""
    for state_dict in contents.state_dicts.values():
        found = (re.match(rf"((?:\w+/)*?)(?:{BLOCK}|{STACKED})", name) for name in state_dict.tensors)
        prefixes = Counter(match[1] for match in found if match)
        towers = [prefix for prefix in prefixes if any(_embeds(name, prefix) for name in state_dict.tensors)]
        if towers:
            return state_dict, max(towers, key=lambda prefix: ("img" in prefix, prefixes[prefix]))
    return None


def _embeds(name: str, prefix: str) -> bool:
    """Return whether the tensor embeds patches, which a text tower does not."""
    return name.startswith(f"{prefix}embedding/") or name.startswith(f"{prefix}cls")


def other_towers(prefix: str) -> tuple[Rule, ...]:
    """Return rules that drop what else a file holds: the text tower, the state of the optimiser."""
    return (Drop(rf"(?!{re.escape(prefix)}).*", "not the image tower"),) if prefix else ()


def unstacked(state_dict: StateDict, prefix: str) -> tuple[Rule, ...]:
    """Return rules that take stacked blocks apart, for names without prefix."""
    start = prefix + STACKED
    stacks = Counter(tensor.shape[0] for name, tensor in state_dict.tensors.items() if name.startswith(start))
    if not stacks:
        return ()
    depth = stacks.most_common(1)[0][0]
    names = tuple(rf"Transformer/encoderblock_{block}/\1" for block in range(depth))
    chunk = Apply(BLOCK + ".*", lambda tensor: tensor.squeeze(0), "dropping the dimension of blocks")
    return (Split(rf"{STACKED}(.*)", names), chunk)


def heads_of(state_dict: StateDict, prefix: str) -> int | None:
    """Return the number of heads, a dimension of flax's kernels, by majority."""
    stacked = any(name.startswith(prefix + STACKED) for name in state_dict.tensors)
    rank, place = (4, 2) if stacked else (3, 1)
    kernels = (
        t for name, t in state_dict.tensors.items() if re.search(rf"{_ATTENTION}/(query|key|value)/kernel$", name)
    )
    votes = Counter(t.shape[place] for t in kernels if t.ndim == rank)
    return votes.most_common(1)[0][0] if votes else None
