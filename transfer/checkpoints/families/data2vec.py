"""data2vec for images (Baevski et al., ICML 2022; github.com/facebookresearch/data2vec_vision): a BEiT on features."""

from __future__ import annotations

from transfer.checkpoints.families.beit import IMAGENET, beit_network, is_data2vec, trained_contract
from transfer.checkpoints.keys.contents import Contents
from transfer.checkpoints.keys.family import Claim, Family, FamilyDefaults, Plan, plan_weights
from transfer.checkpoints.keys.layouts import BEIT
from transfer.checkpoints.keys.rules import Drop
from transfer.checkpoints.keys.weights import Weights, key_mapping_of, with_average

JOINT = Drop(r"beit_head\..*", "head that predicts visual words")
UNSAID = "nothing in the file says how its images were normalised: ImageNet's mean and standard deviation are assumed."


def _recognise(contents: Contents) -> Claim | None:
    state_dict = beit_network(contents)
    if state_dict is None or not is_data2vec(contents, state_dict):
        return None
    return Claim(f"a BEiT in {state_dict.where} whose lm_head predicts features", decisive=True)


def _plan(contents: Contents, which: str | None) -> Plan | None:
    state_dict = beit_network(contents)
    if state_dict is None:
        return None
    contract, warnings = trained_contract(contents, IMAGENET, UNSAID)
    networks = with_average(Weights(state_dict, rest=(JOINT,)), contents)
    defaults = FamilyDefaults(contract, {"position_interpolation": "bicubic"}, warnings=warnings)
    return plan_weights(contents, networks, which, defaults, key_mapping_of(state_dict.tensors, BEIT))


FAMILY = Family(
    name="data2vec",
    aliases=("data2vec-vision",),
    description="data2vec for images: ViT-B/L with relative position biases, and its moving average",
    layouts=("training file: model and model_ema with mask_token, lm_head.*, rel_pos_bias.*; args",),
    recognise=_recognise,
    plan=_plan,
)
