"""MoCo v3 (Chen et al., ICCV 2021; github.com/facebookresearch/moco-v3): ResNets, and ViTs with twelve heads."""

from __future__ import annotations

import re

from transfer.checkpoints.keys.contents import Contents, StateDict
from transfer.checkpoints.keys.family import Claim, Family, FamilyDefaults, Plan, plan_weights
from transfer.checkpoints.keys.layouts import VIT, layout_of, names_under
from transfer.checkpoints.keys.rules import Drop
from transfer.checkpoints.keys.weights import Weights
from transfer.schemas.checkpoint import IMAGENET_MEAN, IMAGENET_STD, InputContract

PREFIXES = {"base": "base_encoder.", "momentum": "momentum_encoder."}
HEADS = 12
"""Attention heads of every ViT, the small one included (facebookresearch/moco-v3#7)."""

PREDICTOR = Drop(r"predictor\..*", "predictor of the contrastive loss")


def _recognise(contents: Contents) -> Claim | None:
    networks = _networks(contents)
    if not networks or contents.by_lightning:  # solo-learn's momentum encoders have the same name
        return None
    where = next(iter(networks.values())).state_dict.where
    evidence = (
        "a ViT under its arch" if "model" in networks else f"{' and '.join(PREFIXES[label] for label in networks)}*"
    )
    return Claim(f"{evidence} in {where}", decisive=True)


def _networks(contents: Contents) -> dict[str, Weights]:
    for state_dict in contents.state_dicts.values():
        present = [label for label in PREFIXES if layout_of(names_under(state_dict, PREFIXES[label]))]
        if present:
            return {label: _weights(state_dict, label) for label in dict.fromkeys(("base", *present))}
    probed = contents.state_dicts.get("state_dict")
    if probed is not None and _is_probed(contents) and layout_of(probed.tensors) == VIT:
        return {"model": Weights(probed)}
    return {}


def _is_probed(contents: Contents) -> bool:
    """Return whether main_lincls.py saved the file: a whole network of MoCo v3's own sizes."""
    named = re.fullmatch(r"vit_(conv_)?(small|base)", contents.arch or "")
    return named is not None and "best_acc1" in contents.keys


def _weights(state_dict: StateDict, label: str) -> Weights:
    other = next(name for name in PREFIXES if name != label)
    return Weights(
        state_dict,
        PREFIXES[label],
        (
            PREDICTOR,
            Drop(re.escape(PREFIXES[other]) + ".*", f"{other} encoder: the {label} encoder was chosen"),
            Drop(re.escape(PREFIXES[label]) + r"(fc|head)\..*", "projection head of the contrastive loss"),
        ),
    )


def _plan(contents: Contents, which: str | None) -> Plan | None:
    networks = _networks(contents)
    if not networks:
        return None
    vit = layout_of(next(iter(networks.values())).names) == VIT
    options = {"position_interpolation": "bicubic"} if vit else {}
    defaults = FamilyDefaults(InputContract(IMAGENET_MEAN, IMAGENET_STD), options, heads=HEADS if vit else None)
    return plan_weights(contents, networks, which, defaults)


FAMILY = Family(
    name="mocov3",
    aliases=("moco-v3",),
    description="MoCo v3: ResNet-50, ViT-S/B with twelve heads, with patches or convolutional stems",
    layouts=(
        "training file: state_dict with module.base_encoder.*, module.momentum_encoder.*, module.predictor.*",
        "linear probe: state_dict, best_acc1, and an arch of vit_small, vit_base, vit_conv_small or vit_conv_base",
    ),
    recognise=_recognise,
    plan=_plan,
)
