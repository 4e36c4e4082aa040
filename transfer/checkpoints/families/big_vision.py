"""big_vision (Beyer et al., 2022; github.com/google-research/big_vision): ViTs and SigLIP as NumPy archives."""

from __future__ import annotations

from typing import Any

from transfer.checkpoints.families.shared.flax_vit import VIT_RULES, flax_vit, heads_of, other_towers, unstacked
from transfer.checkpoints.keys.contents import Contents, StateDict
from transfer.checkpoints.keys.family import Claim, Family, FamilyDefaults, Plan, plan_weights
from transfer.checkpoints.keys.weights import KeyMapping, Weights
from transfer.schemas.checkpoint import InputContract

HALF = (0.5, 0.5, 0.5)
FIXED = (
    "the file has no pos_embedding: fixed sine-cosine positions are computed, as big_vision's `sincos2d` models have "
    "them; a network with learnt positions that lost them looks the same."
)


def _recognise(contents: Contents) -> Claim | None:
    found = _tower(contents)
    return Claim(f"{found[1]}Transformer/encoderblock_* in {found[0].where}", decisive=True) if found else None


def _tower(contents: Contents) -> tuple[StateDict, str] | None:
    found = flax_vit(contents)
    return found if found and not any("posembed_input" in name for name in found[0].tensors) else None


def _plan(contents: Contents, which: str | None) -> Plan | None:
    found = _tower(contents)
    if found is None:
        return None
    state_dict, prefix = found
    learnt = prefix + "pos_embedding" in state_dict.tensors
    # positions belong to patches alone: a class token, where there is one, is put before them
    options: dict[str, Any] = {"gelu": "tanh", "position_interpolation": "flax"}
    options |= {"no_embed_class": True} if prefix + "cls" in state_dict.tensors else {"class_token": False}
    options |= {} if learnt else {"positions": "sincos2d"}
    warnings = () if learnt else (FIXED,)
    defaults = FamilyDefaults(InputContract(HALF, HALF), options, heads=heads_of(state_dict, prefix), warnings=warnings)
    key_mapping = KeyMapping("vit", (*unstacked(state_dict, prefix), *VIT_RULES))
    return plan_weights(
        contents, {"model": Weights(state_dict, prefix, other_towers(prefix))}, which, defaults, key_mapping
    )


FAMILY = Family(
    name="big_vision",
    aliases=("big-vision", "siglip"),
    description="big_vision: ViTs whose class token has no position, learnt or fixed positions, SigLIP's towers",
    layouts=(
        "NumPy archive at the root, or under params/, params/img/, opt/target/: embedding/kernel, pos_embedding, "
        "Transformer/encoderblock_0/... (or stacked blocks), MAPHead_0/...",
    ),
    recognise=_recognise,
    plan=_plan,
)
