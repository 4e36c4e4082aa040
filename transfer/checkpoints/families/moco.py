"""MoCo v1 and v2 (He et al., CVPR 2020; github.com/facebookresearch/moco): momentum contrast with a queue."""

from __future__ import annotations

import re

from transfer.checkpoints.keys.contents import Contents, StateDict
from transfer.checkpoints.keys.family import Claim, Family, FamilyDefaults, Plan, plan_weights
from transfer.checkpoints.keys.layouts import RESNET, layout_of
from transfer.checkpoints.keys.rules import Drop
from transfer.checkpoints.keys.weights import Weights
from transfer.schemas.checkpoint import IMAGENET_MEAN, IMAGENET_STD, InputContract

ENCODERS = {"query": "encoder_q.", "key": "encoder_k."}
QUEUE = Drop(r"queue(_ptr)?", "queue of negative examples")


def _recognise(contents: Contents) -> Claim | None:
    state_dict = contents.first(_is_moco)
    return Claim(f"encoder_q.* and queue in {state_dict.where}", decisive=True) if state_dict else None


def _is_moco(state_dict: StateDict) -> bool:
    """Tell it from OpenSelfSup and VISSL, whose encoders have other names, and PixPro, which has no queue."""
    encoders = (r"(module\.)*encoder_q\.(conv1|bn1|layer\d|fc)\.", r"(module\.)*encoder_k\.(conv1|bn1|layer\d|fc)\.")
    query, key = (any(re.match(encoder, name) for name in state_dict.tensors) for encoder in encoders)
    queue = any(re.fullmatch(r"(module\.)*queue(_ptr)?", name) for name in state_dict.tensors)
    return query or (key and queue)


def _plan(contents: Contents, which: str | None) -> Plan | None:
    state_dict = contents.first(_is_moco)
    if state_dict is None:
        return None
    present = tuple(name for name, prefix in ENCODERS.items() if any(n.startswith(prefix) for n in state_dict.tensors))
    if not present or layout_of(name.partition(".")[2] for name in state_dict.tensors) != RESNET:
        return None
    networks = {name: _weights(state_dict, name) for name in dict.fromkeys(("query", *present))}
    return plan_weights(contents, networks, which, FamilyDefaults(InputContract(IMAGENET_MEAN, IMAGENET_STD)))


def _weights(state_dict: StateDict, which: str) -> Weights:
    prefix, other = ENCODERS[which], next(name for name in ENCODERS if name != which)
    unused = Drop(re.escape(ENCODERS[other]) + ".*", f"{other} encoder: the {which} encoder was chosen")
    head = Drop(re.escape(prefix) + r"fc\..*", "projection head of the contrastive loss")
    return Weights(state_dict, prefix, (QUEUE, unused, head))


FAMILY = Family(
    name="moco",
    aliases=("mocov1", "mocov2", "moco-v1", "moco-v2"),
    description="MoCo v1 and v2: contrastive ResNets with a queue and a momentum encoder",
    layouts=("training file: state_dict with module.encoder_q.*, module.encoder_k.*, module.queue; epoch, arch",),
    recognise=_recognise,
    plan=_plan,
)
