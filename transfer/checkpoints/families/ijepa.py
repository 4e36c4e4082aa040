"""I-JEPA (Assran et al., CVPR 2023; github.com/facebookresearch/ijepa): a joint-embedding predictive architecture."""

from __future__ import annotations

from transfer.checkpoints.keys.contents import Branch, Contents
from transfer.checkpoints.keys.family import Claim, Family, Plan
from transfer.checkpoints.keys.layouts import VIT, layout_of
from transfer.checkpoints.keys.weights import Copy, Traits, plan_copy
from transfer.schemas.checkpoint import IMAGENET_MEAN, IMAGENET_STD, InputContract

LABELS = ("target_encoder", "encoder")


def _recognise(contents: Contents) -> Claim | None:
    copies = _copies(contents)
    if not copies:
        return None
    beside = " and predictor" if "predictor" in contents.branches else " without class token"
    return Claim(f"{' and '.join(copies)}{beside}", decisive=True)


def _copies(contents: Contents) -> dict[str, Copy]:
    found = {label: contents.branches[label] for label in LABELS if label in contents.branches}
    own = "target_encoder" in found or "predictor" in contents.branches
    return {label: Copy(branch) for label, branch in found.items() if own and _is_ijepa(branch)}


def _is_ijepa(branch: Branch) -> bool:
    projected = any(name.startswith("fc.") for name in branch.tensors)
    return "cls_token" not in branch.tensors and not projected and layout_of(branch.tensors) == VIT


def _plan(contents: Contents, which: str | None) -> Plan | None:
    copies = _copies(contents)
    if not copies:
        return None
    # the original cannot stretch its positions: its code expects a class token there
    options = {"position_interpolation": "bicubic", "class_token": False}
    return plan_copy(contents, copies, which, Traits(InputContract(IMAGENET_MEAN, IMAGENET_STD), options))


FAMILY = Family(
    name="ijepa",
    aliases=("i-jepa",),
    description="I-JEPA: ViT-H with patches of 14 or 16, ViT-g with 16, without class token",
    layouts=("training file: encoder, predictor, target_encoder, opt, scaler, epoch, loss",),
    recognise=_recognise,
    plan=_plan,
)
