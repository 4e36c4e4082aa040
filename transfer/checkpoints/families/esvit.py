"""EsViT (Li et al., ICLR 2022; github.com/microsoft/esvit): self-distillation with a loss between regions."""

from __future__ import annotations

import re

from transfer.checkpoints.families.shared.distillation import (
    refuse_swapped,
    teacher_and_student,
    trained_arch,
    trained_options,
)
from transfer.checkpoints.keys.contents import Contents, StateDict
from transfer.checkpoints.keys.family import Claim, Family, FamilyDefaults, Plan, plan_weights
from transfer.checkpoints.keys.layouts import SWIN, VIT, layout_of, names_under
from transfer.checkpoints.keys.rules import Drop
from transfer.checkpoints.keys.weights import Weights
from transfer.schemas.checkpoint import IMAGENET_MEAN, IMAGENET_STD, InputContract

RESNET_PREFIX = "backbone.backbone."
"""Prefix of a ResNet, which has a wrapper of its own; transformers hold their heads themselves."""

HEADS = (
    Drop(r"head\..*", "projection head of the self-distillation"),
    Drop(r"head_dense\..*", "projection head of the loss between regions"),
)


def _recognise(contents: Contents) -> Claim | None:
    state_dicts = teacher_and_student(contents, _is_esvit)
    if not state_dicts:
        return None
    dense = any(name.startswith("head_dense.") for state_dict in state_dicts.values() for name in state_dict.tensors)
    what = "head_dense.* next to the backbone" if dense else "a backbone with head.* and without backbone.*"
    return Claim(f"{' and '.join(state_dicts)}: {what}", decisive=True)


def _is_esvit(state_dict: StateDict) -> bool:
    if layout_of(names_under(state_dict, RESNET_PREFIX)) is not None:
        return True
    return layout_of(state_dict.tensors, (VIT, SWIN)) is not None and any(
        re.match(r"head(_dense)?\.(mlp|last_layer)\b", name) for name in state_dict.tensors
    )


def _plan(contents: Contents, which: str | None) -> Plan | None:
    state_dicts = teacher_and_student(contents, _is_esvit)
    if not state_dicts:
        return None
    refuse_swapped(contents, "EsViT")
    networks = {label: Weights(state_dict, _prefix(state_dict), HEADS) for label, state_dict in state_dicts.items()}
    layout = layout_of(name for weights in networks.values() for name in weights.names)
    contract = InputContract(IMAGENET_MEAN, IMAGENET_STD)
    return plan_weights(
        contents, networks, which, FamilyDefaults(contract, trained_options(layout), trained_arch(contents))
    )


def _prefix(state_dict: StateDict) -> str:
    return RESNET_PREFIX if names_under(state_dict, RESNET_PREFIX) else ""


FAMILY = Family(
    name="esvit",
    aliases=(),
    description="EsViT: Swin-T/S/B with windows of 7 or 14, ViT and ResNet-50, distilled over views and regions",
    layouts=("training file: student, teacher, optimizer, epoch, args, dino_loss; heads inside the network",),
    recognise=_recognise,
    plan=_plan,
)
