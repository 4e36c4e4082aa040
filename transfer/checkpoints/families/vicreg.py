"""VICReg (Bardes et al., ICLR 2022) and VICRegL (NeurIPS 2022; github.com/facebookresearch/vicreg, VICRegL)."""

from __future__ import annotations

import re

from transfer.checkpoints.keys.contents import Branch, Contents
from transfer.checkpoints.keys.family import Claim, Family, Plan
from transfer.checkpoints.keys.layouts import ORIGINAL_CONVNEXT, RESNET, Layout, layout_of, names_under, plain_network
from transfer.checkpoints.keys.rules import Drop, Rename
from transfer.checkpoints.keys.weights import Copy, Naming, Traits, naming_of, plan_copy
from transfer.schemas.checkpoint import IMAGENET_MEAN, IMAGENET_STD, InputContract

BACKBONE = "backbone."
BESIDE = (
    Drop(r"projector\..*", "projection head of the loss on images"),
    Drop(r"maps_projector\..*", "projection head of the loss on places"),
    Drop(r"classifier\..*", "classifier trained beside the method"),
)
LOCAL = r"maps_projector\.\d+\.|classifier\.(weight|bias)"
LAYOUTS = (RESNET, ORIGINAL_CONVNEXT)


def _recognise(contents: Contents) -> Claim | None:
    branch = _training(contents)
    if branch and not contents.by_lightning:  # solo-learn has the same names
        return Claim(f"backbone.* and projector.* in {branch.where}", decisive=True)
    found = plain_network(contents, (ORIGINAL_CONVNEXT,))
    if found and not _scales(found[0]):
        return Claim(f"a ConvNeXt without layer scale in {found[0].where}")
    return None


def _training(contents: Contents) -> Branch | None:
    """Barlow Twins writes nearly the same names, but its projector has no biases and a norm `bn` follows."""
    return next((branch for branch in contents.branches.values() if _is_vicreg(branch)), None)


def _is_vicreg(branch: Branch) -> bool:
    beside = [name for name in branch.tensors if not name.startswith(BACKBONE)]
    projector = "projector.0.bias" in beside or any(re.match(LOCAL, name) for name in beside)
    foreign = any(not re.match(r"(maps_)?projector\.|classifier\.", name) for name in beside)
    return projector and not foreign and layout_of(names_under(branch, BACKBONE), LAYOUTS) is not None


def _scales(branch: Branch) -> bool:
    return any(name.endswith((".gamma", ".grn.beta")) for name in branch.tensors)


def _plan(contents: Contents, which: str | None) -> Plan | None:
    copy = _copy(contents)
    layout = layout_of(copy.names, LAYOUTS) if copy else None
    if copy is None or layout is None:
        return None
    traits = Traits(InputContract(IMAGENET_MEAN, IMAGENET_STD))
    return plan_copy(contents, {"model": copy}, which, traits, _naming(copy.names, layout))


def _copy(contents: Contents) -> Copy | None:
    if branch := _training(contents):
        return Copy(branch, BACKBONE, BESIDE)
    found = plain_network(contents, LAYOUTS)
    return Copy(found[0]) if found else None


def _naming(names: list[str], layout: Layout) -> Naming:
    naming = naming_of(names, layout)
    if layout == RESNET:
        return naming
    # VICRegL's ConvNeXts norm each place before they pool
    return Naming(naming.kind, (Rename(r"norm\.(.*)", r"norm_pre.\1"), *naming.rules))


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
