"""iBOT (Zhou et al., ICLR 2022; github.com/bytedance/ibot): self-distillation of masked images, as ViT or Swin."""

from __future__ import annotations

from transfer.checkpoints.families.shared.distillation import (
    refuse_swapped,
    teacher_and_student,
    trained_arch,
    trained_options,
)
from transfer.checkpoints.keys.contents import Contents, StateDict
from transfer.checkpoints.keys.family import Claim, Family, FamilyDefaults, Plan, plan_weights
from transfer.checkpoints.keys.layouts import SWIN, VIT, has_head, layout_of, names_under
from transfer.checkpoints.keys.rules import Drop
from transfer.checkpoints.keys.weights import Weights
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
    state_dicts = teacher_and_student(contents, _is_backbone)
    if state_dicts and (
        "ibot_loss" in contents.keys or any(_masked(state_dict) for state_dict in state_dicts.values())
    ):
        evidence = "ibot_loss" if "ibot_loss" in contents.keys else TOKEN
        return Claim(f"{' and '.join(state_dicts)} with backbone.* names, and {evidence}", decisive=True)
    extracted = _extracted(contents)
    if extracted is None:
        return None
    return Claim(TOKEN if _masked(extracted) else "a headless `state_dict` and nothing else", decisive=True)


def _is_backbone(state_dict: StateDict) -> bool:
    return layout_of(names_under(state_dict, PREFIX)) is not None


def _masked(state_dict: StateDict) -> bool:
    return bool({TOKEN, PREFIX + TOKEN} & state_dict.tensors.keys())


def _extracted(contents: Contents) -> StateDict | None:
    for path in ("state_dict", ""):
        state_dict = contents.state_dicts.get(path)
        layout = layout_of(state_dict.tensors) if state_dict else None
        if state_dict is None or layout not in (VIT, SWIN):
            continue
        alone = contents.keys == {"state_dict"} and not contents.raw.config and not has_head(state_dict, layout)
        if _masked(state_dict) or (alone and state_dict.wrapper == ""):
            return state_dict
    return None


def _plan(contents: Contents, which: str | None) -> Plan | None:
    state_dicts = teacher_and_student(contents, _is_backbone)
    refuse_swapped(contents, "iBOT", TOKEN)
    networks = {label: Weights(state_dict, PREFIX, (HEAD, MASK)) for label, state_dict in state_dicts.items()}
    warnings: tuple[str, ...] = ()
    if not networks:
        extracted = _extracted(contents)
        if extracted is None:
            return None
        # ImageNet-22k's release is the student, and says so by its token
        networks = {"student" if _masked(extracted) else "teacher": Weights(extracted, rest=(MASK,))}
        warnings = () if _masked(extracted) else (EXTRACTED,)
    layout = layout_of(name for weights in networks.values() for name in weights.names)
    contract = InputContract(IMAGENET_MEAN, IMAGENET_STD)
    defaults = FamilyDefaults(contract, trained_options(layout), trained_arch(contents), warnings=warnings)
    return plan_weights(contents, networks, which, defaults)


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
