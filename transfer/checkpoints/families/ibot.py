"""iBOT (Zhou et al., ICLR 2022; github.com/bytedance/ibot): self-distillation of masked images, as ViT or Swin."""

from __future__ import annotations

from transfer.checkpoints.families.shared.distillation import (
    refuse_swapped,
    teacher_and_student,
    trained_arch,
    trained_options,
)
from transfer.checkpoints.keys.contents import Branch, Contents
from transfer.checkpoints.keys.family import Claim, Family, Plan
from transfer.checkpoints.keys.layouts import SWIN, VIT, has_head, layout_of, names_under
from transfer.checkpoints.keys.rules import Drop
from transfer.checkpoints.keys.weights import Copy, Traits, plan_copy
from transfer.schemas.checkpoint import IMAGENET_MEAN, IMAGENET_STD, InputContract

PREFIX = "backbone."
TOKEN = "masked_embed"
HEAD = Drop(r"head\..*", "projection head of the self-distillation")
MASK = Drop(rf"(backbone\.)?{TOKEN}", "token that stands in for masked patches in pre-training")
EXTRACTED = (
    "only a `state_dict` without head, as iBOT's extract_backbone_weights.py writes it: ImageNet mean and standard "
    "deviation and iBOT's position interpolation are assumed; pass --family if it is another project's."
)


def _recognise(contents: Contents) -> Claim | None:
    copies = teacher_and_student(contents, _is_backbone)
    if copies and ("ibot_loss" in contents.keys or any(_masked(branch) for branch in copies.values())):
        evidence = "ibot_loss" if "ibot_loss" in contents.keys else TOKEN
        return Claim(f"{' and '.join(copies)} with backbone.* names, and {evidence}", decisive=True)
    extracted = _extracted(contents)
    if extracted is None:
        return None
    return Claim(TOKEN if _masked(extracted) else "a headless `state_dict` and nothing else", decisive=True)


def _is_backbone(branch: Branch) -> bool:
    return layout_of(names_under(branch, PREFIX)) is not None


def _masked(branch: Branch) -> bool:
    return bool({TOKEN, PREFIX + TOKEN} & branch.tensors.keys())


def _extracted(contents: Contents) -> Branch | None:
    for path in ("state_dict", ""):
        branch = contents.branches.get(path)
        layout = layout_of(branch.tensors) if branch else None
        if branch is None or layout not in (VIT, SWIN):
            continue
        alone = contents.keys == {"state_dict"} and not contents.raw.config and not has_head(branch, layout)
        if _masked(branch) or (alone and branch.wrapper == ""):
            return branch
    return None


def _plan(contents: Contents, which: str | None) -> Plan | None:
    branches = teacher_and_student(contents, _is_backbone)
    refuse_swapped(contents, "iBOT", TOKEN)
    copies = {label: Copy(branch, PREFIX, (HEAD, MASK)) for label, branch in branches.items()}
    warnings: tuple[str, ...] = ()
    if not copies:
        extracted = _extracted(contents)
        if extracted is None:
            return None
        # ImageNet-22k's release is the student, and says so by its token
        copies = {"student" if _masked(extracted) else "teacher": Copy(extracted, beside=(MASK,))}
        warnings = () if _masked(extracted) else (EXTRACTED,)
    layout = layout_of(name for copy in copies.values() for name in copy.names)
    contract = InputContract(IMAGENET_MEAN, IMAGENET_STD)
    traits = Traits(contract, trained_options(layout), trained_arch(contents), warnings=warnings)
    return plan_copy(contents, copies, which, traits)


FAMILY = Family(
    name="ibot",
    aliases=(),
    description="iBOT: ViT-S/B/L with patches of 16, and Swin-T, from masked self-distillation",
    layouts=(
        "training file: student, teacher, optimizer, epoch, args, ibot_loss",
        "extracted backbone: state_dict only, of the teacher or (with masked_embed) of the student",
    ),
    recognise=_recognise,
    plan=_plan,
)
