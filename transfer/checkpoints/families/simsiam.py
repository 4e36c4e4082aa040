"""SimSiam (Chen & He, CVPR 2021; github.com/facebookresearch/simsiam): one encoder, no momentum, no negatives."""

from __future__ import annotations

import re

from transfer.checkpoints.keys.contents import Branch, Contents
from transfer.checkpoints.keys.family import Claim, Family, Plan
from transfer.checkpoints.keys.layouts import RESNET, layout_of, names_under
from transfer.checkpoints.keys.rules import Drop
from transfer.checkpoints.keys.weights import Copy, Traits, plan_copy
from transfer.schemas.checkpoint import IMAGENET_MEAN, IMAGENET_STD, InputContract

ENCODER = "encoder."
BESIDE = (
    Drop(r"encoder\.fc\..*", "projection head of the loss"),
    Drop(r"predictor\..*", "prediction head of the loss"),
)


def _recognise(contents: Contents) -> Claim | None:
    branch = _branch(contents)
    return Claim(f"encoder.fc.* of three layers and predictor.* in {branch.where}", decisive=True) if branch else None


def _branch(contents: Contents) -> Branch | None:
    return next((branch for branch in contents.branches.values() if _is_simsiam(branch)), None)


def _is_simsiam(branch: Branch) -> bool:
    """The projection head takes the classifier's place in the encoder; its third layer is `fc.6`."""
    heads = (r"encoder\.fc\.[36]\.", r"predictor\.\d\.")
    return all(any(re.match(rf"(module\.)*{head}", name) for name in branch.tensors) for head in heads)


def _plan(contents: Contents, which: str | None) -> Plan | None:
    branch = _branch(contents)
    if branch is None or layout_of(names_under(branch, ENCODER)) != RESNET:
        return None
    copies = {"encoder": Copy(branch, ENCODER, BESIDE)}
    return plan_copy(contents, copies, which, Traits(InputContract(IMAGENET_MEAN, IMAGENET_STD)))


FAMILY = Family(
    name="simsiam",
    aliases=(),
    description="SimSiam: ResNets trained on pairs of views without negatives",
    layouts=("training file: state_dict with module.encoder.* (its fc three layers), module.predictor.*; epoch, arch",),
    recognise=_recognise,
    plan=_plan,
)
