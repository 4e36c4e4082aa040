"""I-JEPA (Assran et al., CVPR 2023; github.com/facebookresearch/ijepa): a joint-embedding predictive architecture."""

from __future__ import annotations

from transfer.checkpoints.keys.contents import Contents, StateDict
from transfer.checkpoints.keys.family import Claim, Family, FamilyDefaults, Plan, plan_weights
from transfer.checkpoints.keys.layouts import VIT, layout_of
from transfer.checkpoints.keys.weights import Weights
from transfer.schemas.checkpoint import IMAGENET_MEAN, IMAGENET_STD, InputContract

LABELS = ("target_encoder", "encoder")


def _recognise(contents: Contents) -> Claim | None:
    networks = _networks(contents)
    if not networks:
        return None
    evidence = " and predictor" if "predictor" in contents.state_dicts else " without class token"
    return Claim(f"{' and '.join(networks)}{evidence}", decisive=True)


def _networks(contents: Contents) -> dict[str, Weights]:
    found = {label: contents.state_dicts[label] for label in LABELS if label in contents.state_dicts}
    own = "target_encoder" in found or "predictor" in contents.state_dicts
    return {label: Weights(state_dict) for label, state_dict in found.items() if own and _is_ijepa(state_dict)}


def _is_ijepa(state_dict: StateDict) -> bool:
    projected = any(name.startswith("fc.") for name in state_dict.tensors)
    return "cls_token" not in state_dict.tensors and not projected and layout_of(state_dict.tensors) == VIT


def _plan(contents: Contents, which: str | None) -> Plan | None:
    networks = _networks(contents)
    if not networks:
        return None
    # the original cannot stretch its positions: its code expects a class token there
    options = {"position_interpolation": "bicubic", "class_token": False}
    return plan_weights(contents, networks, which, FamilyDefaults(InputContract(IMAGENET_MEAN, IMAGENET_STD), options))


FAMILY = Family(
    name="ijepa",
    aliases=("i-jepa",),
    description="I-JEPA: ViT-H with patches of 14 or 16, ViT-g with 16, without class token",
    layouts=("training file: encoder, predictor, target_encoder, opt, scaler, epoch, loss",),
    recognise=_recognise,
    plan=_plan,
)
