"""DINO (Caron et al., ICCV 2021; github.com/facebookresearch/dino): self-distillation with a teacher and a student."""

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
from transfer.checkpoints.keys.layouts import (
    LAYOUTS,
    RESNET,
    VIT,
    Layout,
    has_deep_stem,
    has_head,
    layout_of,
    names_under,
)
from transfer.checkpoints.keys.rules import Drop
from transfer.checkpoints.keys.weights import Copy, Traits, plan_copy
from transfer.schemas.checkpoint import IMAGENET_MEAN, IMAGENET_STD, InputContract

IMAGENET = InputContract(IMAGENET_MEAN, IMAGENET_STD)
SUCCESSORS = r"(.*\.)?(masked_embed|mask_token|register_tokens|storage_tokens|ls1\.gamma|head_dense\..*|reg_token)$"
"""Names of methods that build on DINO: iBOT, EsViT, DINOv2, DINOv3."""

PREFIX = "backbone."
HEAD = Drop(r"head\..*", "projection head of the self-distillation")
BARE = (
    "a {layout} without head at the root is taken for a DINO backbone: ImageNet mean and standard deviation, DINO's "
    "position interpolation; timm writes the same names (pass --family timm, or fdsl for FractalDB)."
)
BARE_RESNET = (
    "a ResNet without classifier at the root is taken for a DINO backbone. Barlow Twins and VICReg publish the same "
    "names and normalise alike, with ImageNet's mean and standard deviation; FractalDB and SimCLR do not (pass "
    "--family barlow_twins, fdsl, simclr, ... to say whose it is)."
)


def _recognise(contents: Contents) -> Claim | None:
    copies = teacher_and_student(contents, _is_dino)
    if copies and not _is_newer(contents):
        return Claim(f"{' and '.join(copies)} with backbone.* names", decisive=True)
    root = contents.branches.get("")
    if root is None or contents.raw.container == "safetensors" or contents.timm_config or "version" in contents.keys:
        return None
    layout = _bare_layout(root)
    return Claim(f"{layout.name} names without head at the root") if layout else None


def _is_newer(contents: Contents) -> bool:
    """Whether one of the two networks, or the loss, is that of a method that builds on DINO."""
    names = [name for branch in teacher_and_student(contents, lambda _: True).values() for name in branch.tensors]
    return "ibot_loss" in contents.keys or any(re.match(SUCCESSORS, name) for name in names)


def _is_dino(branch: Branch) -> bool:
    return layout_of(names_under(branch, PREFIX), (RESNET, VIT)) is not None


def _bare_layout(root: Branch) -> Layout | None:
    layout = layout_of(root.tensors, LAYOUTS)
    newer = any(re.match(SUCCESSORS, name) or "_norm." in name for name in root.tensors)
    if layout not in (RESNET, VIT) or has_head(root, layout) or has_deep_stem(root) or newer:
        return None
    return layout


def _plan(contents: Contents, which: str | None) -> Plan | None:
    branches = teacher_and_student(contents, _is_dino)
    if branches:
        refuse_swapped(contents, "DINO")
        copies = {label: Copy(branch, PREFIX, (HEAD,)) for label, branch in branches.items()}
        layout = layout_of(name for copy in copies.values() for name in copy.names)
        return plan_copy(contents, copies, which, Traits(IMAGENET, trained_options(layout), trained_arch(contents)))
    found = contents.branches.get("") or next(iter(contents.branches.values()))
    layout = layout_of(found.tensors, (RESNET, VIT))
    if layout is None:
        return None
    bare = BARE_RESNET if layout == RESNET else BARE.format(layout=layout.name)
    warnings = () if found.path else (bare,)
    traits = Traits(IMAGENET, trained_options(layout), trained_arch(contents), warnings=warnings)
    return plan_copy(contents, {"backbone": Copy(found)}, which, traits)


FAMILY = Family(
    name="dino",
    aliases=(),
    description="DINO: self-distilled ViT-T/S/B with patches of 8 or 16, and ResNets",
    layouts=(
        "training file: student, teacher, optimizer, epoch, args, dino_loss",
        "the backbone's state dict at the root, without head",
    ),
    recognise=_recognise,
    plan=_plan,
)
