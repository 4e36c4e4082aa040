"""SimSiam (Chen & He, CVPR 2021; github.com/facebookresearch/simsiam): one encoder, no momentum, no negatives."""

from __future__ import annotations

import re

from transfer.checkpoints.keys.contents import Contents, StateDict
from transfer.checkpoints.keys.family import Claim, Family, FamilyDefaults, Plan, plan_weights
from transfer.checkpoints.keys.layouts import RESNET, layout_of, names_under
from transfer.checkpoints.keys.rules import Drop
from transfer.checkpoints.keys.weights import Weights
from transfer.schemas.checkpoint import IMAGENET_MEAN, IMAGENET_STD, InputContract

ENCODER = "encoder."
REST = (
    Drop(r"encoder\.fc\..*", "projection head of the loss"),
    Drop(r"predictor\..*", "prediction head of the loss"),
)


def _recognise(contents: Contents) -> Claim | None:
    state_dict = contents.first(_is_simsiam)
    return (
        Claim(f"encoder.fc.* of three layers and predictor.* in {state_dict.where}", decisive=True)
        if state_dict
        else None
    )


def _is_simsiam(state_dict: StateDict) -> bool:
    """Look for the projection head in the classifier's place in the encoder; its third layer is `fc.6`."""
    heads = (r"encoder\.fc\.[36]\.", r"predictor\.\d\.")
    return all(any(re.match(rf"(module\.)*{head}", name) for name in state_dict.tensors) for head in heads)


def _plan(contents: Contents, which: str | None) -> Plan | None:
    state_dict = contents.first(_is_simsiam)
    if state_dict is None or layout_of(names_under(state_dict, ENCODER)) != RESNET:
        return None
    networks = {"encoder": Weights(state_dict, ENCODER, REST)}
    return plan_weights(contents, networks, which, FamilyDefaults(InputContract(IMAGENET_MEAN, IMAGENET_STD)))


FAMILY = Family(
    name="simsiam",
    aliases=(),
    description="SimSiam: ResNets trained on pairs of views without negatives",
    layouts=("training file: state_dict with module.encoder.* (its fc three layers), module.predictor.*; epoch, arch",),
    recognise=_recognise,
    plan=_plan,
)
