"""EsViT (Li et al., ICLR 2022; github.com/microsoft/esvit): self-distillation with a loss between regions."""

from __future__ import annotations

import re

from transfer.checkpoints.families.shared.distillation import (
    refuse_swapped,
    teacher_and_student,
    trained_arch,
    trained_options,
)
from transfer.checkpoints.keys.contents import Branch, Contents
from transfer.checkpoints.keys.family import Claim, Family, Plan
from transfer.checkpoints.keys.layouts import SWIN, VIT, layout_of, names_under
from transfer.checkpoints.keys.rules import Drop
from transfer.checkpoints.keys.weights import Copy, Traits, plan_copy
from transfer.schemas.checkpoint import IMAGENET_MEAN, IMAGENET_STD, InputContract

RESNET_PREFIX = "backbone.backbone."
"""A ResNet stands in a wrapper of its own; transformers hold their heads themselves."""

HEADS = (
    Drop(r"head\..*", "projection head of the self-distillation"),
    Drop(r"head_dense\..*", "projection head of the loss between regions"),
)


def _recognise(contents: Contents) -> Claim | None:
    copies = teacher_and_student(contents, _is_esvit)
    if not copies:
        return None
    dense = any(name.startswith("head_dense.") for branch in copies.values() for name in branch.tensors)
    what = "head_dense.* beside the trunk" if dense else "a trunk with head.* and without backbone.*"
    return Claim(f"{' and '.join(copies)}: {what}", decisive=True)


def _is_esvit(branch: Branch) -> bool:
    if layout_of(names_under(branch, RESNET_PREFIX)) is not None:
        return True
    return layout_of(branch.tensors, (VIT, SWIN)) is not None and any(
        re.match(r"head(_dense)?\.(mlp|last_layer)\b", name) for name in branch.tensors
    )


def _plan(contents: Contents, which: str | None) -> Plan | None:
    branches = teacher_and_student(contents, _is_esvit)
    if not branches:
        return None
    refuse_swapped(contents, "EsViT")
    copies = {label: Copy(branch, _prefix(branch), HEADS) for label, branch in branches.items()}
    layout = layout_of(name for copy in copies.values() for name in copy.names)
    contract = InputContract(IMAGENET_MEAN, IMAGENET_STD)
    return plan_copy(contents, copies, which, Traits(contract, trained_options(layout), trained_arch(contents)))


def _prefix(branch: Branch) -> str:
    return RESNET_PREFIX if names_under(branch, RESNET_PREFIX) else ""


FAMILY = Family(
    name="esvit",
    aliases=(),
    description="EsViT: Swin-T/S/B with windows of 7 or 14, ViT and ResNet-50, distilled over views and regions",
    layouts=("training file: student, teacher, optimizer, epoch, args, dino_loss; heads inside the network",),
    recognise=_recognise,
    plan=_plan,
)
