"""MSN (Assran et al., ECCV 2022; github.com/facebookresearch/msn): masked Siamese networks."""

from __future__ import annotations

from transfer.checkpoints.keys.contents import Contents, StateDict
from transfer.checkpoints.keys.family import Claim, Family, FamilyDefaults, Plan, plan_weights
from transfer.checkpoints.keys.layouts import VIT, layout_of
from transfer.checkpoints.keys.rules import Drop
from transfer.checkpoints.keys.weights import Weights
from transfer.schemas.checkpoint import IMAGENET_MEAN, IMAGENET_STD, InputContract

LABELS = ("target_encoder", "encoder")
HEADS = Drop(r"(fc|pred)\..*", "projection head onto the prototypes")


def _recognise(contents: Contents) -> Claim | None:
    networks = _networks(contents)
    if not networks:
        return None
    evidence = " and prototypes" if "prototypes" in contents.keys else " with a class token"
    return Claim(f"{' and '.join(networks)}{evidence}", decisive=True)


def _networks(contents: Contents) -> dict[str, Weights]:
    found = {label: contents.state_dicts[label] for label in LABELS if label in contents.state_dicts}
    own = "target_encoder" in found or "prototypes" in contents.keys
    return {
        label: Weights(state_dict, rest=(HEADS,)) for label, state_dict in found.items() if own and _is_msn(state_dict)
    }


def _is_msn(state_dict: StateDict) -> bool:
    """Tell it from I-JEPA, whose file has the same keys, but no class token and no projection."""
    own = "cls_token" in state_dict.tensors or any(name.startswith("fc.") for name in state_dict.tensors)
    return own and layout_of(state_dict.tensors) == VIT


def _plan(contents: Contents, which: str | None) -> Plan | None:
    networks = _networks(contents)
    if not networks:
        return None
    defaults = FamilyDefaults(InputContract(IMAGENET_MEAN, IMAGENET_STD), {"position_interpolation": "bicubic"})
    return plan_weights(contents, networks, which, defaults)


FAMILY = Family(
    name="msn",
    aliases=(),
    description="MSN: ViT-S/B/L with patches of 16, 8, 7 or 4",
    layouts=("training file: encoder, target_encoder, prototypes, opt, epoch, loss",),
    recognise=_recognise,
    plan=_plan,
)
