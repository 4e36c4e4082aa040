"""DINO (Caron et al., ICCV 2021; github.com/facebookresearch/dino): self-distillation with a teacher and a student."""

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
from transfer.checkpoints.keys.weights import Weights
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
    state_dicts = teacher_and_student(contents, _is_dino)
    if state_dicts and not _is_newer(contents):
        return Claim(f"{' and '.join(state_dicts)} with backbone.* names", decisive=True)
    root = contents.state_dicts.get("")
    if root is None or contents.raw.container == "safetensors" or contents.timm_config or "version" in contents.keys:
        return None
    layout = _bare_layout(root)
    return Claim(f"{layout.name} names without head at the root") if layout else None


def _is_newer(contents: Contents) -> bool:
    """Return whether one of the two networks, or the loss, is that of a method that builds on DINO."""
    names = [
        name for state_dict in teacher_and_student(contents, lambda _: True).values() for name in state_dict.tensors
    ]
    return "ibot_loss" in contents.keys or any(re.match(SUCCESSORS, name) for name in names)


def _is_dino(state_dict: StateDict) -> bool:
    return layout_of(names_under(state_dict, PREFIX), (RESNET, VIT)) is not None


def _bare_layout(root: StateDict) -> Layout | None:
    layout = layout_of(root.tensors, LAYOUTS)
    newer = any(re.match(SUCCESSORS, name) or "_norm." in name for name in root.tensors)
    if layout not in (RESNET, VIT) or has_head(root, layout) or has_deep_stem(root) or newer:
        return None
    return layout


def _plan(contents: Contents, which: str | None) -> Plan | None:
    state_dicts = teacher_and_student(contents, _is_dino)
    if state_dicts:
        refuse_swapped(contents, "DINO")
        networks = {label: Weights(state_dict, PREFIX, (HEAD,)) for label, state_dict in state_dicts.items()}
        layout = layout_of(name for weights in networks.values() for name in weights.names)
        return plan_weights(
            contents, networks, which, FamilyDefaults(IMAGENET, trained_options(layout), trained_arch(contents))
        )
    found = contents.state_dicts.get("") or next(iter(contents.state_dicts.values()))
    layout = layout_of(found.tensors, (RESNET, VIT))
    if layout is None:
        return None
    bare = BARE_RESNET if layout == RESNET else BARE.format(layout=layout.name)
    warnings = () if found.path else (bare,)
    defaults = FamilyDefaults(IMAGENET, trained_options(layout), trained_arch(contents), warnings=warnings)
    return plan_weights(contents, {"backbone": Weights(found)}, which, defaults)


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
