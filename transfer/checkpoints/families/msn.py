"""MSN (Assran et al., ECCV 2022; github.com/facebookresearch/msn): masked Siamese networks."""

from __future__ import annotations

from transfer.checkpoints.keys.contents import Branch, Contents
from transfer.checkpoints.keys.family import Claim, Family, Plan
from transfer.checkpoints.keys.layouts import VIT, layout_of
from transfer.checkpoints.keys.rules import Drop
from transfer.checkpoints.keys.weights import Copy, Traits, plan_copy
from transfer.schemas.checkpoint import IMAGENET_MEAN, IMAGENET_STD, InputContract

LABELS = ("target_encoder", "encoder")
HEADS = Drop(r"(fc|pred)\..*", "projection head onto the prototypes")


def _recognise(contents: Contents) -> Claim | None:
    copies = _copies(contents)
    if not copies:
        return None
    beside = " and prototypes" if "prototypes" in contents.keys else " with a class token"
    return Claim(f"{' and '.join(copies)}{beside}", decisive=True)


def _copies(contents: Contents) -> dict[str, Copy]:
    found = {label: contents.branches[label] for label in LABELS if label in contents.branches}
    own = "target_encoder" in found or "prototypes" in contents.keys
    return {label: Copy(branch, beside=(HEADS,)) for label, branch in found.items() if own and _is_msn(branch)}


def _is_msn(branch: Branch) -> bool:
    """I-JEPA, whose file has the same keys, knows no class token and projects nothing."""
    own = "cls_token" in branch.tensors or any(name.startswith("fc.") for name in branch.tensors)
    return own and layout_of(branch.tensors) == VIT


def _plan(contents: Contents, which: str | None) -> Plan | None:
    copies = _copies(contents)
    if not copies:
        return None
    traits = Traits(InputContract(IMAGENET_MEAN, IMAGENET_STD), {"position_interpolation": "bicubic"})
    return plan_copy(contents, copies, which, traits)


FAMILY = Family(
    name="msn",
    aliases=(),
    description="MSN: ViT-S/B/L with patches of 16, 8, 7 or 4",
    layouts=("training file: encoder, target_encoder, prototypes, opt, epoch, loss",),
    recognise=_recognise,
    plan=_plan,
)
