"""Barlow Twins (Zbontar et al., ICML 2021; github.com/facebookresearch/barlowtwins): redundancy reduction."""

from __future__ import annotations

import re

from transfer.checkpoints.keys.contents import Contents, StateDict
from transfer.checkpoints.keys.family import Claim, Family, FamilyDefaults, Plan, plan_weights
from transfer.checkpoints.keys.layouts import RESNET, generic_network, layout_of, names_under
from transfer.checkpoints.keys.rules import Drop
from transfer.checkpoints.keys.weights import Weights
from transfer.schemas.checkpoint import IMAGENET_MEAN, IMAGENET_STD, InputContract

BACKBONE = "backbone."
REST = (
    Drop(r"projector\..*", "projection head of the loss"),
    Drop(r"bn\.(running_mean|running_var|num_batches_tracked)", "norm of the projections in the loss"),
)
BARE = (
    "a ResNet without classifier at the root may also be VICReg's or DINO's, which publish the same names: they "
    "normalise alike, with ImageNet's mean and standard deviation."
)


def _recognise(contents: Contents) -> Claim | None:
    state_dict = contents.first(_is_barlow_twins)
    evidence = "backbone.*, projector.* and a norm bn without weights in"
    return Claim(f"{evidence} {state_dict.where}", decisive=True) if state_dict else None


def _is_barlow_twins(state_dict: StateDict) -> bool:
    """Tell it from VICReg, which writes nearly the same names, but has no norm in its loss."""
    evidence = (r"projector\.\d\.", r"bn\.(running_mean|running_var)")
    heads = all(any(re.match(rf"(module\.)*{part}", name) for name in state_dict.tensors) for part in evidence)
    return heads and any(re.match(r"(module\.)*backbone\.", name) for name in state_dict.tensors)


def _plan(contents: Contents, which: str | None) -> Plan | None:
    imagenet = InputContract(IMAGENET_MEAN, IMAGENET_STD)
    if state_dict := contents.first(_is_barlow_twins):
        networks = {"backbone": Weights(state_dict, BACKBONE, REST)}
        known = layout_of(names_under(state_dict, BACKBONE)) == RESNET
        return plan_weights(contents, networks, which, FamilyDefaults(imagenet)) if known else None
    found = generic_network(contents, (RESNET,))
    if found is None:
        return None
    return plan_weights(contents, {"backbone": Weights(found[0])}, which, FamilyDefaults(imagenet, warnings=(BARE,)))


FAMILY = Family(
    name="barlow_twins",
    aliases=("barlowtwins", "barlow-twins"),
    description="Barlow Twins: ResNet-50s trained to decorrelate features",
    layouts=(
        "training file: model with module.backbone.*, module.projector.*, module.bn.*; epoch, optimizer",
        "the backbone's state dict at the root (resnet50.pth), whose names are anybody's, with --family",
    ),
    recognise=_recognise,
    plan=_plan,
)
