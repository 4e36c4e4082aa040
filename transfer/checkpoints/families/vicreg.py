"""VICReg (Bardes et al., ICLR 2022) and VICRegL (NeurIPS 2022; github.com/facebookresearch/vicreg, VICRegL)."""

from __future__ import annotations

import re

from transfer.checkpoints.keys.contents import Contents, StateDict
from transfer.checkpoints.keys.family import Claim, Family, FamilyDefaults, Plan, plan_weights
from transfer.checkpoints.keys.layouts import ORIGINAL_CONVNEXT, RESNET, Layout, generic_network, layout_of, names_under
from transfer.checkpoints.keys.rules import Drop, Rename
from transfer.checkpoints.keys.weights import KeyMapping, Weights, key_mapping_of
from transfer.schemas.checkpoint import IMAGENET_MEAN, IMAGENET_STD, InputContract

BACKBONE = "backbone."
REST = (
    Drop(r"projector\..*", "projection head of the loss on images"),
    Drop(r"maps_projector\..*", "projection head of the loss on places"),
    Drop(r"classifier\..*", "classifier trained along with the method"),
)
LOCAL = r"maps_projector\.\d+\.|classifier\.(weight|bias)"
LAYOUTS = (RESNET, ORIGINAL_CONVNEXT)


def _recognise(contents: Contents) -> Claim | None:
    state_dict = contents.first(_is_vicreg)
    if state_dict and not contents.by_lightning:  # solo-learn has the same names
        return Claim(f"backbone.* and projector.* in {state_dict.where}", decisive=True)
    found = generic_network(contents, (ORIGINAL_CONVNEXT,))
    if found and not _scales(found[0]):
        return Claim(f"a ConvNeXt without layer scale in {found[0].where}")
    return None


def _is_vicreg(state_dict: StateDict) -> bool:
    """Tell it from Barlow Twins, which has nearly the same names, but no biases in its projector, and a norm `bn`."""
    others = [name for name in state_dict.tensors if not name.startswith(BACKBONE)]
    projector = "projector.0.bias" in others or any(re.match(LOCAL, name) for name in others)
    foreign = any(not re.match(r"(maps_)?projector\.|classifier\.", name) for name in others)
    return projector and not foreign and layout_of(names_under(state_dict, BACKBONE), LAYOUTS) is not None


def _scales(state_dict: StateDict) -> bool:
    return any(name.endswith((".gamma", ".grn.beta")) for name in state_dict.tensors)


def _plan(contents: Contents, which: str | None) -> Plan | None:
    weights = _weights(contents)
    layout = layout_of(weights.names, LAYOUTS) if weights else None
    if weights is None or layout is None:
        return None
    defaults = FamilyDefaults(InputContract(IMAGENET_MEAN, IMAGENET_STD))
    return plan_weights(contents, {"model": weights}, which, defaults, _key_mapping(weights.names, layout))


def _weights(contents: Contents) -> Weights | None:
    if state_dict := contents.first(_is_vicreg):
        return Weights(state_dict, BACKBONE, REST)
    found = generic_network(contents, LAYOUTS)
    return Weights(found[0]) if found else None


def _key_mapping(names: list[str], layout: Layout) -> KeyMapping:
    key_mapping = key_mapping_of(names, layout)
    if layout == RESNET:
        return key_mapping
    # VICRegL's ConvNeXts norm each place before they pool
    return KeyMapping(key_mapping.kind, (Rename(r"norm\.(.*)", r"norm_pre.\1"), *key_mapping.rules))


FAMILY = Family(
    name="vicreg",
    aliases=("vicregl",),
    description="VICReg and VICRegL: ResNets, and ConvNeXts without layer scale",
    layouts=(
        "training file: model with module.backbone.*, module.projector.* (VICRegL: maps_projector, classifier); epoch",
        "the backbone's state dict at the root: a ConvNeXt; a ResNet, whose names are anybody's, with --family",
    ),
    recognise=_recognise,
    plan=_plan,
)
