"""CLIP (Radford et al., ICML 2021; github.com/openai/CLIP): the image towers, ViTs with QuickGELU and ResNets."""

from __future__ import annotations

import re

import torch

from transfer.checkpoints.keys.contents import Contents, StateDict
from transfer.checkpoints.keys.family import Claim, Family, FamilyDefaults, Plan, plan_weights
from transfer.checkpoints.keys.layouts import RESNET, layout_of, legacy_batchnorm, names_under
from transfer.checkpoints.keys.rules import Apply, Drop, Rename, Reshape, Rule
from transfer.checkpoints.keys.weights import KeyMapping, Weights
from transfer.schemas.checkpoint import InputContract

STATISTICS = InputContract((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
PREFIX = "visual."
TEXT = Drop(r"(?!visual\.).*", "text tower, or the temperature of the contrastive loss")
POOLS = Drop(r"visual\.(proj|attnpool\..*|attn_pool\..*|ln_post_pool\..*)", "projection into the space of texts")
SCALARS = {"input_resolution", "context_length", "vocab_size"}
"""Entries of the released archives that OpenAI's own loader drops."""

_BLOCK = r"transformer\.resblocks\.(\d+)\."
VIT_RULES: tuple[Rule, ...] = (
    Reshape(r"class_embedding", (1, 1, -1)),
    Apply(r"positional_embedding", lambda tensor: tensor.unsqueeze(0), "a first dimension"),
    Rename(r"class_embedding", "cls_token"),
    Rename(r"positional_embedding", "pos_embed"),
    Rename(r"conv1\.(.*)", r"patch_embed.proj.\1"),
    Rename(r"ln_pre\.(.*)", r"norm_pre.\1"),
    Rename(r"ln_post\.(.*)", r"norm.\1"),
    Rename(_BLOCK + r"ln_([12])\.(.*)", r"blocks.\1.norm\2.\3"),
    Rename(_BLOCK + r"attn\.in_proj_(weight|bias)", r"blocks.\1.attn.qkv.\2"),
    Rename(_BLOCK + r"attn\.out_proj\.(.*)", r"blocks.\1.attn.proj.\2"),
    Rename(_BLOCK + r"mlp\.c_fc\.(.*)", r"blocks.\1.mlp.fc1.\2"),
    Rename(_BLOCK + r"mlp\.c_proj\.(.*)", r"blocks.\1.mlp.fc2.\2"),
    Rename(_BLOCK + r"ls_([12])\.gamma", r"blocks.\1.ls\2.gamma"),
)
RESNET_RULES: tuple[Rule, ...] = (
    Rename(r"bn3\.(.*)", r"bn0.\1"),  # the names bn1 and conv1 are timm's for the last norm and the whole stem
    Rename(r"conv3\.(.*)", r"conv1.6.\1"),
    Rename(r"bn2\.(.*)", r"conv1.4.\1"),
    Rename(r"conv2\.(.*)", r"conv1.3.\1"),
    Rename(r"bn1\.(.*)", r"conv1.1.\1"),
    Rename(r"conv1\.weight", r"conv1.0.weight"),
    Rename(r"bn0\.(.*)", r"bn1.\1"),
    Rename(r"(layer\d\.\d+\.downsample)\.1\.(.*)", r"\1.2.\2"),
    Rename(r"(layer\d\.\d+\.downsample)\.0\.(.*)", r"\1.1.\2"),
)
UNSURE = (
    "CLIP's names, but neither half precision nor the entries of OpenAI's archives: QuickGELU is assumed, as OpenAI's "
    "networks have it; OpenCLIP's usually have an exact GELU (pass --family openclip)."
)


def _recognise(contents: Contents) -> Claim | None:
    state_dict = visual_tower(contents)
    if state_dict is None or is_openclip(contents, state_dict):
        return None
    return Claim(f"{PREFIX}* of CLIP in {state_dict.where}", decisive=True)


def visual_tower(contents: Contents) -> StateDict | None:
    """Return the state dict with an image tower in OpenAI's names, or in timm's under `backbone`."""
    return next(
        (state_dict for state_dict in contents.state_dicts.values() if _has_tower(names_under(state_dict, PREFIX))),
        None,
    )


def _has_tower(names: list[str]) -> bool:
    resnet = any(name.startswith("attnpool.") for name in names) and layout_of(names, (RESNET,)) is not None
    return resnet or any(re.match(rf"{_BLOCK}|trunk\.", name) for name in names)


def is_openclip(contents: Contents, state_dict: StateDict) -> bool:
    """Return whether OpenCLIP wrote the file: its trainer's keys, its containers, or names that only it has."""
    trainers = {"epoch", "name", "state_dict"} <= contents.keys
    published = contents.raw.container.endswith("safetensors") or "open_clip" in contents.raw.config
    own = any(re.match(r"visual\.(trunk|head)\.|text\.|logit_bias$", name) for name in state_dict.tensors)
    return trainers or published or own


def tower_key_mapping(state_dict: StateDict) -> tuple[KeyMapping, dict[str, str | float | bool]]:
    """Return the rules of an image tower in OpenAI's names, and the options that they do not tell (but the GELU)."""
    names = names_under(state_dict, PREFIX)
    if any(re.match(_BLOCK, name) for name in names):
        return KeyMapping("vit", VIT_RULES), {"eps": 1e-5, "pre_norm": True}
    return KeyMapping("resnet", RESNET_RULES, legacy_batchnorm(names)), {"antialias": True}


def _plan(contents: Contents, which: str | None) -> Plan | None:
    state_dict = visual_tower(contents)
    if state_dict is None:
        return None
    key_mapping, options = tower_key_mapping(state_dict)
    if key_mapping.kind == "vit":
        options["gelu"] = "quick"
    sure = bool(SCALARS & state_dict.tensors.keys()) or contents.raw.container == "torchscript" or _half(state_dict)
    warnings = () if sure or key_mapping.kind != "vit" else (UNSURE,)
    defaults = FamilyDefaults(STATISTICS, options, heads=heads_of(state_dict), warnings=warnings)
    return plan_weights(contents, {"visual": Weights(state_dict, PREFIX, (TEXT, POOLS))}, which, defaults, key_mapping)


def _half(state_dict: StateDict) -> bool:
    return any(tensor.dtype == torch.float16 for tensor in state_dict.tensors.values())


def heads_of(state_dict: StateDict) -> int | None:
    """Return one head for 64 channels, as OpenAI's networks have them; None for widths with other published numbers."""
    width = state_dict.tensors.get(PREFIX + "class_embedding")
    return None if width is None or len(width) > 1024 else len(width) // 64


FAMILY = Family(
    name="clip",
    aliases=("openai-clip",),
    description="OpenAI's CLIP: ViT-B/32, B/16, L/14 and ResNet-50 to 50x64, the image towers",
    layouts=(
        "released TorchScript archive (ViT-B-32.pt, RN50.pt)",
        "state dict with visual.*, transformer.*, token_embedding.weight, logit_scale",
    ),
    recognise=_recognise,
    plan=_plan,
)
