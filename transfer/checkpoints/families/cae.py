"""CAE (Chen et al., IJCV 2023; github.com/lxtGH/CAE): a context autoencoder's encoder, with fixed positions."""

from __future__ import annotations

from collections.abc import Iterable

from transfer.checkpoints.families.beit import IMAGENET, beit_network, is_cae, trained_contract
from transfer.checkpoints.keys.contents import Contents, StateDict
from transfer.checkpoints.keys.family import Claim, Family, FamilyDefaults, Plan, plan_weights
from transfer.checkpoints.keys.layouts import BEIT, layout_of, names_under
from transfer.checkpoints.keys.rules import Drop
from transfer.checkpoints.keys.weights import Weights, key_mapping_of

PREFIXES = {"encoder": "encoder.", "teacher": "teacher."}
NECK = Drop(r"(pretext_neck\..*|mask_token|encoder_to_decoder.*)", "regressor and decoder of the masked patches")
PROBE = Drop(r"(attentive_blocks\..*|query_token)", "attentive probe: not part of the backbone")
SMALL = 384
"""CAE's small network has 12 heads instead of 6."""

UNSAID = "nothing in the file says how its images were normalised: ImageNet's mean and standard deviation are assumed."


def _recognise(contents: Contents) -> Claim | None:
    networks = _networks(contents)
    if not networks:
        return None
    return Claim(f"{' and '.join(networks)} of a context autoencoder", decisive=True)


def _networks(contents: Contents) -> dict[str, Weights]:
    state_dict = contents.first(_is_cae)
    if state_dict is not None:
        return {label: _weights(state_dict, label) for label in PREFIXES if names_under(state_dict, PREFIXES[label])}
    tuned = beit_network(contents) if is_cae(contents) else None
    return {"model": Weights(tuned, rest=(PROBE,))} if tuned else {}


def _is_cae(state_dict: StateDict) -> bool:
    neck = any(name.startswith("pretext_neck.") for name in state_dict.tensors)
    encoders = [name for prefix in PREFIXES.values() for name in names_under(state_dict, prefix)]
    both = all(names_under(state_dict, prefix) for prefix in PREFIXES.values())
    return (neck or both) and layout_of(encoders, (BEIT,)) is not None


def _weights(state_dict: StateDict, label: str) -> Weights:
    other = next(name for name in PREFIXES if name != label)
    return Weights(state_dict, PREFIXES[label], (NECK, Drop(rf"{other}\..*", f"{other}: the {label} was chosen")))


def _plan(contents: Contents, which: str | None) -> Plan | None:
    networks = _networks(contents)
    if not networks:
        return None
    weights = next(iter(networks.values()))
    contract, warnings = trained_contract(contents, IMAGENET, UNSAID)
    defaults = FamilyDefaults(contract, _options(weights.names), heads=_heads(weights), warnings=warnings)
    return plan_weights(contents, networks, which, defaults, key_mapping_of(weights.names, BEIT))


def _options(names: Iterable[str]) -> dict[str, str | bool]:
    """Return the options; positions are absolute, even where a damaged file lacks them."""
    biased = any(name.endswith("relative_position_bias_table") for name in names)
    absolute: dict[str, str | bool] = {"position_interpolation": "bicubic", "absolute": True}
    return absolute if biased else {**absolute, "bias": "none"}


def _heads(weights: Weights) -> int | None:
    token = weights.state_dict.tensors.get(f"{weights.prefix}cls_token")
    return 12 if token is not None and token.shape[-1] == SMALL else None


FAMILY = Family(
    name="cae",
    aliases=(),
    description="CAE: ViT-S (12 heads), ViT-B and ViT-L encoders of a context autoencoder",
    layouts=(
        "pre-training file: model with encoder.*, teacher.*, pretext_neck.*; args",
        "fine-tuning file: model, and args that name cae_*",
    ),
    recognise=_recognise,
    plan=_plan,
)
