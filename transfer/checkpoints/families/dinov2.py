"""DINOv2 (Oquab et al., 2023; github.com/facebookresearch/dinov2): ViTs with LayerScale, later with registers."""

from __future__ import annotations

import re

from transfer.checkpoints.keys.contents import Contents, StateDict
from transfer.checkpoints.keys.family import Claim, Family, FamilyDefaults, Plan, plan_weights
from transfer.checkpoints.keys.layouts import CLASSIFIER
from transfer.checkpoints.keys.rules import Drop, Rename, Rule
from transfer.checkpoints.keys.weights import KeyMapping, Weights
from transfer.schemas.checkpoint import IMAGENET_MEAN, IMAGENET_STD, InputContract

BODY = r"blocks\.\d+\.(\d+\.)?ls1\.gamma"
PREFIX = "backbone."
STUDENT = "student.backbone."
"""Prefix of the other network, after `teacher.backbone.`, in the state of a whole training."""

HEADS = Drop(r"(dino|ibot)_head\..*", "projection head of the self-distillation")
RULES: tuple[Rule, ...] = (
    Drop(r"mask_token", "token that stands in for masked patches in pre-training"),
    Drop(r"head\..*", CLASSIFIER),
    Rename(r"blocks\.\d+\.(\d+)\.(.*)", r"blocks.\1.\2"),  # blocks come in chunks, but count through
    Rename(r"register_tokens", "reg_token"),
    Rename(r"(blocks\.\d+\.mlp)\.w12\.(.*)", r"\1.fc1.\2"),
    Rename(r"(blocks\.\d+\.mlp)\.w3\.(.*)", r"\1.fc2.\2"),
)


def _recognise(contents: Contents) -> Claim | None:
    networks = _networks(contents)
    if not networks:
        return None
    weights = next(iter(networks.values()))
    return Claim(f"ls1.gamma and mask_token in {weights.state_dict.where}", decisive=True)


def _networks(contents: Contents) -> dict[str, Weights]:
    """Return the teacher, or a whole training's two networks, or a backbone alone."""
    for state_dict in contents.state_dicts.values():
        both = {label: Weights(state_dict, f"{label}.{PREFIX}", _others(label)) for label in ("teacher", "student")}
        if any(_is_dinov2(weights.names) for weights in both.values()):
            return both
        for prefix in (PREFIX, ""):
            weights = Weights(state_dict, prefix, (HEADS,) if prefix else ())
            if _is_dinov2(weights.names):
                return {_label(state_dict): weights}
    return {}


def _others(label: str) -> tuple[Drop, ...]:
    other = {"teacher": "student", "student": "teacher"}[label]
    return (
        Drop(rf"{other}\..*", f"{other}: the {label} was chosen"),
        Drop(rf"{label}\.(dino|ibot)_head\..*", HEADS.reason),
        Drop(r"(dino|ibot|koleo)\w*_loss\..*", "state of the losses"),
    )


def _label(state_dict: StateDict) -> str:
    return state_dict.path if state_dict.path in ("teacher", "student") else "backbone"


def _is_dinov2(names: list[str]) -> bool:
    chunked = any(re.match(r"blocks\.\d+\.\d+\.", name) for name in names)
    own = chunked or bool({"mask_token", "register_tokens"} & set(names))
    foreign = any(re.match(r"storage_tokens|rope_embed\.", name) for name in names)
    return own and not foreign and any(re.match(BODY, name) for name in names)


def _plan(contents: Contents, which: str | None) -> Plan | None:
    networks = _networks(contents)
    if not networks:
        return None
    registers = any("register_tokens" in weights.names for weights in networks.values())
    # models with registers stretch positions to a size with antialiasing, the first ones by a factor without
    options = {"position_interpolation": "timm" if registers else "dino"}
    defaults = FamilyDefaults(InputContract(IMAGENET_MEAN, IMAGENET_STD), options, _arch(contents))
    return plan_weights(contents, networks, which, defaults, KeyMapping("vit", RULES))


def _arch(contents: Contents) -> str | None:
    """Return the architecture, if need be from a released file's name: it counts registers that may be missing."""
    return contents.arch or next(iter(re.findall(r"dinov2_vit\w+", contents.raw.path.stem)), None)


FAMILY = Family(
    name="dinov2",
    aliases=(),
    description="DINOv2: ViT-S/B/L/g with patches of 14 and LayerScale, with or without registers",
    layouts=(
        "the backbone's state dict at the root, with mask_token and ls1.gamma (dinov2_vits14_reg4_pretrain.pth)",
        "teacher_checkpoint.pth: teacher with backbone.*, dino_head.*, ibot_head.*; blocks in chunks",
    ),
    recognise=_recognise,
    plan=_plan,
)
