"""Google's vision_transformer (Dosovitskiy et al., ICLR 2021; Steiner et al., 2022): ViTs as NumPy archives of flax."""

from __future__ import annotations

from transfer.checkpoints.families.shared.flax_vit import VIT_RULES, flax_vit, heads_of, other_towers, unstacked
from transfer.checkpoints.keys.contents import Contents, StateDict
from transfer.checkpoints.keys.family import Claim, Family, FamilyDefaults, Plan, plan_weights
from transfer.checkpoints.keys.weights import KeyMapping, Weights
from transfer.schemas.checkpoint import InputContract

HALF = (0.5, 0.5, 0.5)
OPTIONS = {"gelu": "tanh", "position_interpolation": "flax"}


def _recognise(contents: Contents) -> Claim | None:
    found = _tower(contents)
    return Claim(f"Transformer/posembed_input in {found[0].where}", decisive=True) if found else None


def _tower(contents: Contents) -> tuple[StateDict, str] | None:
    found = flax_vit(contents)
    return found if found and any("posembed_input" in name for name in found[0].tensors) else None


def _plan(contents: Contents, which: str | None) -> Plan | None:
    found = _tower(contents)
    if found is None:
        return None
    state_dict, prefix = found
    defaults = FamilyDefaults(InputContract(HALF, HALF), OPTIONS, heads=heads_of(state_dict, prefix))
    key_mapping = KeyMapping("vit", (*unstacked(state_dict, prefix), *VIT_RULES))
    return plan_weights(
        contents, {"model": Weights(state_dict, prefix, other_towers(prefix))}, which, defaults, key_mapping
    )


FAMILY = Family(
    name="google_vit",
    aliases=("google-vit", "vision_transformer", "augreg"),
    description="Google's ViT and AugReg: Ti to H with patches of 8 to 32, from JAX",
    layouts=(
        "NumPy archive: cls, embedding/kernel, Transformer/posembed_input/pos_embedding, "
        "Transformer/encoderblock_0/...",
    ),
    recognise=_recognise,
    plan=_plan,
)
