"""SimMIM (Xie et al., CVPR 2022; github.com/microsoft/SimMIM): masked image modelling with Swin and ViT."""

from __future__ import annotations

from transfer.checkpoints.families.beit import beit_network, is_simmim
from transfer.checkpoints.keys.contents import Branch, Contents
from transfer.checkpoints.keys.family import Claim, Family, Plan
from transfer.checkpoints.keys.layouts import BEIT, SWIN, layout_of, names_under
from transfer.checkpoints.keys.rules import Drop
from transfer.checkpoints.keys.weights import Copy, Traits, naming_of, plan_copy
from transfer.schemas.checkpoint import IMAGENET_MEAN, IMAGENET_STD, InputContract

PREFIX = "encoder."
BESIDE = (
    Drop(r"encoder\.mask_token", "token that stands in for masked patches in pre-training"),
    Drop(r"decoder\..*", "head that predicts pixels"),
)


def _recognise(contents: Contents) -> Claim | None:
    copy = _copy(contents)
    if copy is None:
        return None
    evidence = "encoder.mask_token" if copy.prefix else "SimMIM's trainer"
    return Claim(f"{evidence} in {copy.branch.where}", decisive=True)


def _copy(contents: Contents) -> Copy | None:
    branch = next((branch for branch in contents.branches.values() if _is_masked(branch)), None)
    if branch is not None:
        return Copy(branch, PREFIX, BESIDE)
    tuned = beit_network(contents) if is_simmim(contents) else None
    return Copy(tuned) if tuned else None


def _is_masked(branch: Branch) -> bool:
    masked = PREFIX + "mask_token" in branch.tensors or "decoder.0.weight" in branch.tensors
    return masked and layout_of(names_under(branch, PREFIX), (BEIT, SWIN)) is not None


def _plan(contents: Contents, which: str | None) -> Plan | None:
    copy = _copy(contents)
    layout = layout_of(copy.names, (BEIT, SWIN)) if copy else None
    if copy is None or layout is None:
        return None
    options = {"position_interpolation": "bicubic"} if layout == BEIT else {}
    traits = Traits(InputContract(IMAGENET_MEAN, IMAGENET_STD), options)
    return plan_copy(contents, {"model": copy}, which, traits, naming_of(copy.names, layout))


FAMILY = Family(
    name="simmim",
    aliases=(),
    description="SimMIM: Swin-B/L at 192 pixels with windows of 6 or 12, and ViT-B with a shared position bias",
    layouts=(
        "pre-training file: model with encoder.*, encoder.mask_token, decoder.*; optimizer, lr_scheduler, config",
        "fine-tuned ViT: model with biases in every block; max_accuracy, config (a fine-tuned Swin is timm's)",
    ),
    recognise=_recognise,
    plan=_plan,
)
